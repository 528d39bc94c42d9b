"""Training from files, without Spark: one trainer, two, and what can be wrong with the files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.reader import write_snapshot_files
from musicrec.errors import InputError, MusicrecError
from musicrec.io.artifacts import load_model
from musicrec.io.checkpoints import FolderStore
from musicrec.logs import make_logger
from musicrec.models.neural.training_params import TrainingParams
from musicrec.pipelines import sequence_job
from musicrec.pipelines.sequence_job import SequenceJob, fitted, load_next_track, run_job, write_job
from musicrec.pipelines.trainers import run_trainers
from tests.conftest import ROOT

# 50 plays round one of two circles of five items: the next follows from the last.
N_ITEMS, LENGTH = 10, 50
LOG = make_logger("test")


def rounds(windows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base, start = 5 * rng.integers(2, size=(windows, 1)), rng.integers(5, size=(windows, 1))
    return (base + (start + np.arange(LENGTH)) % 5).astype(np.int32)


def make_job(folder: Path, shards: int = 1, windows: int = 64, **training: object) -> Path:
    write_snapshot_files(folder / "train", rounds(windows, 1), N_ITEMS, shards)
    write_snapshot_files(folder / "valid", rounds(16, 2), N_ITEMS, shards)
    params = {"epochs": 4, "batch_size": 16, "learning_rate": 0.03, **training}
    job = SequenceJob(
        kind="lstm",
        model={"dim": 8, "dropout": 0.0},
        training=TrainingParams.model_validate(params),
        seed=3,
        n_items=N_ITEMS,
        train="../train",
        valid="../valid",
    )
    write_job(folder / "job", job, vocabulary=np.arange(N_ITEMS)[::-1])
    return folder / "job"


def test_a_job_leaves_its_model_history_and_picture(tmp_path: Path) -> None:
    folder = make_job(tmp_path, epochs=8, patience=8)
    done = run_job(folder, LOG)
    assert done.history[-1].figures["ndcg_at_10"] > done.history[0].figures["ndcg_at_10"]
    assert [epoch.sequences for epoch in done.history] == [64] * 8
    assert [epoch.events for epoch in done.history] == [64 * 49] * 8
    assert load_model(folder / "model")[1]["n_items"] == N_ITEMS
    assert fitted(folder).history == done.history
    assert load_next_track(folder / "model").recommend([5, 6, 7], 1)[0][0] == 8
    assert (folder / "history.png").read_bytes().startswith(b"\x89PNG")


def read(folder: Path) -> SequenceJob:
    return sequence_job.read_job(folder)


def test_a_job_that_was_cut_short_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_job(make_job(tmp_path / "whole", checkpoint_steps=3, learning_rate=0.0), LOG)
    folder = make_job(tmp_path / "broken", checkpoint_steps=3, learning_rate=0.0)
    saves, save = [], FolderStore.save

    def killed(store: FolderStore, *what: object) -> None:
        save(store, *what)  # type: ignore[arg-type]
        saves.append(1)
        if len(saves) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            run_job(folder, LOG)
    resumed = run_job(folder, LOG)
    assert all(torch.equal(resumed.weights[name], whole.weights[name]) for name in whole.weights)
    assert (folder / "lr_find.png").is_file()


def test_a_job_that_is_changed_starts_afresh_but_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = make_job(tmp_path)
    run_job(folder, LOG)
    job = read(folder)
    write_job(folder, job)
    assert FolderStore(folder / "checkpoints").load() is not None
    write_job(folder, job.model_copy(update={"seed": 4}))
    assert FolderStore(folder / "checkpoints").load() is None
    run_job(folder, LOG)
    text = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps({**text, "seed": 5}))
    with pytest.raises(InputError, match="checkpoint: expected one of seed = 5, found 4"):
        run_job(folder, LOG)
    assert FolderStore(folder / "checkpoints").load() is not None


@pytest.mark.slow
def test_two_trainers_give_the_metric_of_one_and_see_each_window_once(tmp_path: Path, spark: object) -> None:
    # Of 65 windows one trainer has 33, so the other has none left for the last step.
    one = run_trainers(make_job(tmp_path / "one", windows=65, epochs=6), 1, LOG)
    folder = make_job(tmp_path / "two", shards=2, windows=65, epochs=6)
    two = run_trainers(folder, 2, LOG)
    assert [epoch.events for epoch in one.history] == [65 * 49] * 6
    assert [epoch.events for epoch in two.history] == [65 * 49] * 6
    best = [max(epoch.figures["ndcg_at_10"] for epoch in done.history) for done in (one, two)]
    assert best[1] == pytest.approx(best[0], rel=0.01)
    assert FolderStore(folder / "checkpoints").load() is not None


@pytest.mark.slow
def test_what_fails_in_one_of_several_trainers_is_said_in_one_line(tmp_path: Path, spark: object) -> None:
    folder = make_job(tmp_path / "narrow")
    with pytest.raises(MusicrecError, match=r"train: expected a row group for each of 2 trainers, found 1$") as caught:
        run_trainers(folder, 2, LOG)
    assert caught.value.exit_code == 2


def test_a_trainer_needs_no_spark(tmp_path: Path) -> None:
    folder = make_job(tmp_path, epochs=1)
    code = (
        "import sys; sys.modules['pyspark'] = None; sys.argv = ['train_files', sys.argv[1]]\n"
        "from musicrec.train_files import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert (folder / "model" / "weights.safetensors").is_file()
    again = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 2
    assert again.stderr.strip().splitlines() == [f"error: {tmp_path}/job.json: expected a job, found no such file"]


def test_what_is_wrong_with_the_files_is_named(tmp_path: Path) -> None:
    folder = make_job(tmp_path)
    job = read(folder)
    for change, words in (
        ({"n_items": 9}, r"train: expected a snapshot of at most 9 items, found one of 10"),
        ({"train": "../nowhere"}, r"nowhere.*expected"),
    ):
        write_job(folder, job.model_copy(update=change))
        with pytest.raises(InputError, match=words):
            run_job(folder, LOG)
    (folder / "job.json").write_text('{"kind": "gru"}')
    with pytest.raises(InputError, match=r"job.json: kind: expected .*lstm.*found gru"):
        run_job(folder, LOG)
    shutil.rmtree(tmp_path / "valid")
    write_job(folder, job)
    with pytest.raises(InputError, match="valid"):
        run_job(folder, LOG)
    assert not (folder / "model").exists()
