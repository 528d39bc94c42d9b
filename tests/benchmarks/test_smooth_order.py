from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import smooth_order


def test_it_measures_and_notices_a_bad_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smooth_order, "_SIZES", (6,))
    measured = CliRunner().invoke(smooth_order.main, ["--lists", "3"])
    assert measured.exit_code == 0, measured.output
    assert "6 songs: seconds" in measured.output
    assert "worst_over_best" in measured.output
    monkeypatch.setattr(smooth_order, "smooth_order", lambda costs, **_: np.arange(len(costs)))
    bad = CliRunner().invoke(smooth_order.main, ["--lists", "3"])
    assert bad.exit_code == 1
