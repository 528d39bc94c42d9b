from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import reader

SMALL = ["--sequences", "3000", "--batch-size", "64", "--repeats", "1"]
ENGINES = ["petastorm_rows", "petastorm_batches", "musicrec", "pyarrow", "pyarrow_views", "training"]


def test_every_engine_reads_the_same_windows(tmp_path: Path) -> None:
    result = CliRunner().invoke(reader.main, [*SMALL, "--json", str(tmp_path / "rows.json")])
    assert result.exit_code == 0, result.output
    rows = {row["engine"]: row for row in json.loads((tmp_path / "rows.json").read_text())}
    assert list(rows) == ENGINES
    assert {rows[name]["sequences"] for name in ENGINES[1:-1]} == {3000}
    assert len({rows[name]["items"] for name in ENGINES[1:-1]}) == 1
    assert rows["petastorm_rows"]["sequences"] == 30
    for row in rows.values():
        assert row["sequences_per_s"] == pytest.approx(row["sequences"] / row["seconds"], rel=0.2)
    assert 0 <= rows["training"]["wait_share"] < 1


def test_items_that_do_not_add_up_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = reader.read_musicrec

    def one_lost(problem: reader.Problem) -> Iterator[Any]:
        return islice(right(problem), 1, None)

    monkeypatch.setitem(reader._ENGINES, "musicrec", one_lost)
    result = CliRunner().invoke(reader.main, SMALL)
    assert result.exit_code == 1
    assert "do not add up: musicrec" in result.output
