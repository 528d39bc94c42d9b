from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.next_track_settings import main
from benchmarks.reader import write_snapshot_files
from tests.pipelines.test_sequence_job import N_ITEMS, rounds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_snapshot_files(tmp_path / "train", rounds(64, 1), N_ITEMS)
    write_snapshot_files(tmp_path / "valid", rounds(16, 2), N_ITEMS)
    return tmp_path


def test_each_set_of_settings_is_trained_and_judged(folder: Path) -> None:
    path = folder / "rows.json"
    tries = ["--try", "dim=8 learning_rate=0.03 epochs=6 batch_size=16", "--try", "dim=8 negatives=4 epochs=2"]
    ended = CliRunner().invoke(main, [str(folder), *tries, "--json", str(path)])
    assert ended.exit_code == 0, ended.output
    whole, drawn = json.loads(path.read_text())
    assert (whole["steps"], drawn["steps"]) == (4, 2)
    figures = [[float(value) for value in row["ndcg_at_10"].split()] for row in (whole, drawn)]
    assert (len(figures[0]), len(figures[1])) == (6, 2)
    assert figures[0][-1] > max(figures[0][0], 0.6)  # the next follows from the last


@pytest.mark.parametrize("text", ["epoch=3", "epochs=many", "epochs=0", "negatives"])
def test_wrong_settings_end_with_one_line(folder: Path, text: str) -> None:
    ended = CliRunner().invoke(main, [str(folder), "--try", text])
    assert ended.exit_code != 0
    assert "--try: expected settings as key=value" in ended.output
