from __future__ import annotations

import pytest

from benchmarks import nightly

ROWS = [{"night": "first", "sum": 479.9}, {"night": "increment", "sum": 480.0}]


def test_a_night_that_takes_too_long_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert nightly.are_below(ROWS[:1], 480)
    assert not nightly.are_below(ROWS, 480)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "increment night: 480.0 s, NOT below 480 s"
    assert lines[0] == "first night: 479.9 s, below 480 s"
