from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.fold_in import main
from musicrec.pipelines.fold_in import ListenerLists, Offer

SMALL = ["--items", "400", "--rank", "8", "--plays", "12", "--requests", "30", "--n", "10"]


def test_lists_are_timed_and_are_those_of_the_formula(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [*SMALL, "--json", str(tmp_path / "rows.json")])
    assert result.exit_code == 0, result.output
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["engine"] == "musicrec"
    assert 0 < row["seconds"] <= row["p99_seconds"] < row["load_seconds"] + row["total_seconds"]


def test_a_wrong_list_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ListenerLists.recommend

    def second_best(self: ListenerLists, plays: Any, n: int) -> list[Offer]:
        return right(self, plays, n + 1)[1:]

    monkeypatch.setattr(ListenerLists, "recommend", second_best)
    result = CliRunner().invoke(main, SMALL)
    assert result.exit_code == 1
    assert "differ from the formula's: listener 0" in result.output
