"""Train a next-track model from a folder of files: no Spark, no Delta, any number of trainers.

A job is a folder: `job.json` (its settings), snapshots of windows, and where there are some the vocabulary and the
weights to start from. The trained model, its history and its pictures come to lie beside them.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, ValidationError
from torch import nn

from musicrec.errors import InputError
from musicrec.io.artifacts import load_model, save_model
from musicrec.io.checkpoints import FolderStore
from musicrec.io.sequences import SnapshotSource, open_snapshot
from musicrec.io.training_plots import plot_history, plot_lr_find
from musicrec.logs import Logger, progress
from musicrec.models.neural.checkpoint import Epoch, Weights
from musicrec.models.neural.kinds import KINDS, make_model, model_of_weights
from musicrec.models.neural.lr_find import lr_find
from musicrec.models.neural.next_track import NextTrackModel, NextTrackParams, Places
from musicrec.models.neural.processes import ALONE, Processes
from musicrec.models.neural.training import Judge, Source, Trained, train
from musicrec.models.neural.training_params import TrainingParams
from musicrec.params import Params

_JOB, _MODEL, _LAST = "job.json", "model", "last"
_VOCABULARY, _START, _CHECKPOINTS = "vocabulary", "start", "checkpoints"


class SequenceJob(Params):
    """What is to be trained on what.

    Attributes
    ----------
    kind : of the model.
    model : its settings.
    training : epochs, rate and so on.
    seed : of the weights, the order and all draws.
    n_items : size of the catalogue.
    train, valid : folders of the snapshots, relative to the job's; without `valid` every epoch is run.
    note : what the trained model's facts should say besides.
    """

    kind: Literal["lstm", "attention"]
    model: dict[str, Any] = Field(default_factory=dict)
    training: TrainingParams
    seed: int = Field(ge=0)
    n_items: int = Field(ge=1)
    train: str = "train"
    valid: str | None = None
    note: dict[str, Any] = Field(default_factory=dict)

    def shape(self) -> NextTrackParams:
        """The model's settings, checked."""
        return KINDS[self.kind].params.model_validate(self.model)


@dataclass(frozen=True)
class Fitted:
    """What a job gave: the kept weights, their epoch (from 0), the history, and the weights after the last epoch."""

    weights: Weights
    best_epoch: int
    history: tuple[Epoch, ...]
    last_weights: Weights


def write_job(folder: Path, job: SequenceJob, vocabulary: Places | None = None, start: Weights | None = None) -> None:
    """Make the folder a job; a checkpoint of the same job that is there is gone on from, any other is dropped."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(job.model_dump(mode="json"), indent=1, sort_keys=True)
    path = folder / _JOB
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        FolderStore(folder / _CHECKPOINTS).clear()
    given = None if vocabulary is None else {"items": torch.from_numpy(vocabulary.astype(np.int64))}
    for name, tensors in ((_VOCABULARY, given), (_START, start)):
        shutil.rmtree(folder / name, ignore_errors=True)
        if tensors is not None:
            save_model(folder / name, tensors, {})
    path.write_text(text, encoding="utf-8")


def read_job(folder: Path) -> SequenceJob:
    """The job of a folder.

    Raises
    ------
    InputError : there is none, or a setting is wrong.
    """
    path = folder / _JOB
    try:
        job = SequenceJob.model_validate_json(path.read_text(encoding="utf-8"))
        job.shape()
    except FileNotFoundError:
        raise InputError(path, "a job", "no such file") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {key}", first["msg"], str(first["input"])[:60]) from None
    return job


def run_job(folder: Path, log: Logger, processes: Processes = ALONE) -> Fitted:
    """Train, from the last checkpoint where there is one, and save the model, its history and its pictures.

    With several trainers each calls this, with its own `processes`.

    Raises
    ------
    InputError : a snapshot is missing, empty, of another catalogue or has fewer row groups than there are trainers; or
        the checkpoint is of another job.
    NonFiniteError : the loss is not a number; the last checkpoint stays.
    """
    job = read_job(folder)
    model = _model(job, folder)
    params = job.training
    source = _source(folder / job.train, job, params.batch_size, job.seed, processes)
    judge = None if job.valid is None else _judge(folder / job.valid, job, processes)
    if not params.learning_rate:
        params = params.model_copy(update={"learning_rate": _found_rate(folder, model, source, params, processes)})
    # From here on each trainer has random numbers of its own, for dropout.
    torch.manual_seed(job.seed + 1000 * processes.rank + 1)
    config = job.model_dump(mode="json", exclude={"training", "note"})
    with progress(log, f"{job.kind}: training", params.epochs * source.steps(), shown=processes.rank == 0) as ticker:
        store = FolderStore(folder / _CHECKPOINTS)
        trained = train(model, source, params, ticker, judge, store, config, processes)
    if processes.rank == 0:
        _save(folder, job, trained)
    return Fitted(trained.weights, trained.best_epoch, trained.history, trained.last_weights)


def fitted(folder: Path) -> Fitted:
    """What `run_job` saved."""
    weights, facts = load_model(folder / _MODEL)
    last_weights = load_model(folder / _LAST)[0] if (folder / _LAST).is_dir() else weights
    return Fitted(weights, facts["best_epoch"], tuple(Epoch(**epoch) for epoch in facts["history"]), last_weights)


def load_next_track(folder: Path) -> NextTrackModel:
    """A trained model, ready for `recommend(history, n)`; needs no Spark.

    Parameters
    ----------
    folder : that a job or the nightly saved it in, `files/lstm/model` for one.

    Raises
    ------
    InputError : there is no next-track model.
    """
    weights, facts = load_model(folder)
    if facts.get("kind") not in KINDS:
        raise InputError(folder, f"a model of kind {' or '.join(KINDS)}", str(facts.get("kind")))
    return model_of_weights(weights, KINDS[facts["kind"]].params.model_validate(facts["model"])).eval()


def clear_checkpoints(folder: Path) -> None:
    """Forget how the job's model was made."""
    FolderStore(folder / _CHECKPOINTS).clear()


def judge_windows(source: Source) -> Judge:
    """The next-track figures of a model on all windows of `source`."""

    def judge(model: nn.Module) -> tuple[dict[str, float], float]:
        assert isinstance(model, NextTrackModel)
        device, sums, count = model.bias.device, dict[str, float](), 0
        for items, first_target in source.batches(0):
            part, events = model.judge(items.to(device), first_target.to(device))
            sums = {name: sums.get(name, 0.0) + value for name, value in part.items()}
            count += events
        return sums, count

    return judge


def _model(job: SequenceJob, folder: Path) -> NextTrackModel:
    has_vocabulary = (folder / _VOCABULARY).is_dir()
    vocabulary = load_model(folder / _VOCABULARY)[0]["items"].numpy() if has_vocabulary else None
    model = make_model(job.n_items, job.shape(), job.seed, vocabulary)
    return model.start_from(load_model(folder / _START)[0]) if (folder / _START).is_dir() else model


def _source(folder: Path, job: SequenceJob, batch: int, seed: int | None, processes: Processes) -> SnapshotSource:
    """The windows of a snapshot.

    Raises
    ------
    InputError : it is empty, or of another catalogue.
    """
    snapshot = open_snapshot(folder)
    if snapshot.n_items > job.n_items:
        raise InputError(folder, f"a snapshot of at most {job.n_items} items", f"one of {snapshot.n_items}")
    source = SnapshotSource(snapshot, batch, seed, processes.rank, processes.world)
    if source.steps() == 0:
        raise InputError(folder, "a snapshot with windows", "an empty one")
    return source


def _judge(folder: Path, job: SequenceJob, processes: Processes) -> Judge:
    return judge_windows(_source(folder, job, job.training.batch_size, None, processes))


def _found_rate(
    folder: Path, model: NextTrackModel, source: Source, params: TrainingParams, processes: Processes
) -> float:
    """What a range test suggests; a job that goes on keeps the rate that it began with."""
    path, rate = folder / "lr_find.json", 0.0
    if processes.rank == 0 and FolderStore(folder / _CHECKPOINTS).load() is not None and path.is_file():
        rate = json.loads(path.read_text(encoding="utf-8"))["suggested"]
    elif processes.rank == 0:
        found = lr_find(model, source, params)
        path.write_text(json.dumps(asdict(found)), encoding="utf-8")
        plot_lr_find(found, path.with_suffix(".png"))
        rate = found.suggested
    return float(processes.sum(torch.tensor([rate], dtype=torch.float64, device=processes.device()))[0])


def _save(folder: Path, job: SequenceJob, trained: Trained) -> None:
    facts = {"best_epoch": trained.best_epoch, "history": [asdict(epoch) for epoch in trained.history]}
    save_model(folder / _MODEL, trained.weights, {**job.model_dump(mode="json"), **job.note, **facts})
    shutil.rmtree(folder / _LAST, ignore_errors=True)
    if trained.best_epoch + 1 < len(trained.history):
        save_model(folder / _LAST, trained.last_weights, {})
    plot_history(trained.history, trained.best_epoch, f"{job.kind}, {job.n_items:,} items", folder / "history.png")
