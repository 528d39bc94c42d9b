"""The neural models under a sequence protocol whose answer is known."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.accuracy import main
from benchmarks.neural_models import AttentionSettings, LstmSettings, cut, next_track
from benchmarks.protocols import load_task
from musicrec.models.blocks import Ragged

ITEMS = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Each listener walks on by one item from wherever they start."""
    rng = np.random.default_rng(1)
    rows = [(start + np.arange(rng.integers(6, 14))) % ITEMS + 1 for start in rng.integers(ITEMS, size=150)]
    lines = [" ".join(map(str, [user + 1, *row])) for user, row in enumerate(rows)]
    (tmp_path / "walks.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("stage", ["valid", "test"])
def test_a_rule_that_is_known_is_found_for_the_right_items(folder: Path, stage: str) -> None:
    task = load_task("sequence", folder, stage)  # type: ignore[arg-type]
    values = {"training": {"epochs": 12, "batch_size": 16, "learning_rate": 0.02}, "length": 8}
    found = task.judge(next_track(task, LstmSettings.model_validate({**values, "model": {"dim": 16, "dropout": 0}}), 1))
    assert found["ndcg_at_10"] > 0.95
    if stage == "test":
        shape = {"dim": 16, "dropout": 0, "blocks": 1}
        found = task.judge(next_track(task, AttentionSettings.model_validate({**values, "model": shape}), 1))
        assert found["ndcg_at_10"] > 0.9


def test_windows_hold_each_transition_once() -> None:
    rows = [np.arange(n, dtype=np.int32) + 100 * n for n in (2, 7, 1, 4, 13)]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    items, first = cut(Ragged(np.concatenate(rows), starts), 4)
    found = [
        (int(a), int(b))
        for window, begin in zip(items, first, strict=True)
        for a, b in zip(window[begin - 1 : -1], window[begin:], strict=True)
    ]
    expected = [(int(a), int(b)) for row in rows for a, b in pairwise(row)]
    assert sorted(found) == sorted(expected)


def test_the_command_gives_each_seed_and_the_mean(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    settings = ["--set", "lstm.training.epochs=1", "--set", "lstm.model.dim=8", "--set", "lstm.length=6"]
    arguments = ["sequence", str(folder), "--models", "lstm", "--seed", "1,2", "--json", str(path), *settings]
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 0, ended.output
    rows = json.loads(path.read_text())
    assert [row["seed"] for row in rows] == [1, 2, "mean"]
    assert rows[2]["ndcg_at_10"] == pytest.approx((rows[0]["ndcg_at_10"] + rows[1]["ndcg_at_10"]) / 2)
    refused = CliRunner().invoke(main, ["sequence", str(folder), "--models", "lstm", "--seed", "x"])
    assert refused.exit_code == 2
    assert "--seed: expected whole numbers with commas, found x" in refused.output
