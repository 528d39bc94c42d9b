"""Fit a next-track model on silver's windows: snapshots by Spark, training from files, vectors by Spark."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import TooLittleError
from musicrec.io.artifacts import load_model, save_model
from musicrec.io.runs import Run
from musicrec.io.sequences import Snapshot, SnapshotSource
from musicrec.io.snapshots import write_snapshot
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.neural.checkpoint import Epoch, Weights
from musicrec.models.neural.kinds import KINDS, make_model
from musicrec.models.neural.next_track import NextTrackParams, Places
from musicrec.models.neural.processes import ALONE
from musicrec.models.neural.vectors import next_track_vectors
from musicrec.pipelines.model_fits import SequenceFit
from musicrec.pipelines.sequence_job import Fitted, SequenceJob, clear_checkpoints, judge_windows, write_job
from musicrec.pipelines.sequence_night import SequenceNight, plan_night, told
from musicrec.pipelines.trainers import run_trainers
from musicrec.pipelines.training_data import TrainingData
from musicrec.transforms.sequences import last_plays, train_windows, valid_windows

# The model that chose the number of epochs, after the last one that was planned.
_HELD_OUT = "held_out"


def fit_sequence_model(run: Run, data: TrainingData, fit: SequenceFit, folder: Path) -> tuple[EmbeddingModel, Fitted]:
    """A next-track model on the windows before `data.until`.

    First the last `valid_days` are held out and choose the number of epochs; then the model is trained anew on
    everything for as many, since the newest plays are worth most. Where `refresh_epochs` is set and an earlier night
    left a model with the same settings, that one is judged on what was played since and then trained on. Snapshots,
    checkpoints and weights go under `folder`; a run that was cut short goes on from its last checkpoint.

    Raises
    ------
    TooLittleError : no listener has two plays in one session.

    Returns
    -------
    The model as vectors, and the history of the run that chose, or of the model that was gone on from.
    """
    night = plan_night(run, data, fit, folder)
    before = _earlier_model(night) if fit.training.refresh_epochs else None
    final, chosen = _train_afresh(night) if before is None else _train_on(night, before)
    counts = {"epochs": chosen.best_epoch + 1, "is_refreshed": before is not None}
    save_model(folder / "model", final.weights, night.facts(data.until) | counts)
    for job in ("choose", "final"):
        clear_checkpoints(folder / job)
    return _vectors(run, data, fit, final.weights, night.shape), chosen


def held_out_model(run: Run, data: TrainingData, fit: SequenceFit, folder: Path) -> EmbeddingModel | None:
    """The model that chose the number of epochs in a fit under `folder`, as it stood after the last planned one, if it
    was trained on this very data: on the same windows before `data.until`, with the same settings.

    It has learnt nothing of what was played from then on, nor was its number of epochs chosen by that.
    """
    if not (folder / _HELD_OUT).is_dir():
        return None
    weights, facts = load_model(folder / _HELD_OUT)
    expected = {
        "told": told(run, fit),
        "sequences_version": data.sequences_version,
        "until": data.until.isoformat(),
    }
    if any(facts.get(name) != value for name, value in expected.items()):
        return None
    return _vectors(run, data, fit, weights, KINDS[fit.kind].params.model_validate(facts["model"]))


def _vectors(
    run: Run, data: TrainingData, fit: SequenceFit, weights: Weights, shape: NextTrackParams
) -> EmbeddingModel:
    plays = last_plays(data.sequences, fit.windows, data.until)
    return next_track_vectors(run.lakehouse.spark, fit.kind, weights, shape, plays)


def _earlier_model(night: SequenceNight) -> Weights | None:
    """The newest saved model from before the night's data ended, with the same settings.

    A model is kept aside before a later one takes its place, so a night that is run again starts from the same.
    """
    current, previous = night.folder / "model", night.folder / "previous"
    until = night.data.until.isoformat()
    for place in (current, previous):
        if not place.is_dir():
            continue
        weights, known = load_model(place)
        if known.get("told") == told(night.run, night.fit) and known["until"] < until:
            if place == current:
                save_model(previous, weights, known)
            return weights
    return None


def _train_afresh(night: SequenceNight) -> tuple[Fitted, Fitted]:
    """The final model, and the run that chose its number of epochs."""
    run, data, fit, training = night.run, night.data, night.fit, night.plan.training
    parts = {
        "train": train_windows(data.sequences, night.valid_from),
        "valid": valid_windows(data.sequences, night.valid_from, data.until),
        "all": train_windows(data.sequences, data.until),
    }
    made = {name: _snapshot(night, rows, name) for name, rows in parts.items()}
    if made["all"].rows == 0:
        raise TooLittleError(
            f"{fit.kind}, table silver.sequences", f"listeners with two plays in a row before {data.until}", "none"
        )
    shutil.rmtree(night.folder / _HELD_OUT, ignore_errors=True)
    if made["train"].rows and made["valid"].rows:
        chosen = _run(night, "choose", _job(night, "../train", "../valid", training.epochs), night.vocabulary(2))
        if len(chosen.history) == training.epochs:
            save_model(night.folder / _HELD_OUT, chosen.last_weights, night.facts(night.valid_from))
    else:
        run.log.warning(f"{fit.kind}: nothing to validate on, so every epoch is run", epochs=training.epochs)
        chosen = Fitted({}, training.epochs - 1, (), {})
    final = _job(night, "../all", None, chosen.best_epoch + 1)
    return _run(night, "final", final, night.vocabulary(1)), chosen


def _train_on(night: SequenceNight, before: Weights) -> tuple[Fitted, Fitted]:
    """The earlier model trained on, and how good it was, as it came, on the days since: plays it has not seen."""
    run, data, fit = night.run, night.data, night.fit
    _snapshot(night, train_windows(data.sequences, data.until), "all")
    valid = _snapshot(night, valid_windows(data.sequences, night.valid_from, data.until), "valid")
    vocabulary = night.vocabulary(1)
    model = make_model(data.n_items, night.shape, run.seed, vocabulary).start_from(before).to(ALONE.device()).eval()
    started = time.perf_counter()
    sums, events = judge_windows(SnapshotSource(valid, night.plan.training.batch_size, None))(model)
    figures = {name: value / max(events, 1) for name, value in sums.items()}
    shown = {name: round(value, 4) for name, value in figures.items()}
    run.log.info(f"{fit.kind}: going on from an earlier night", **shown)
    job = _job(night, "../all", None, fit.training.refresh_epochs)
    final = _run(night, "final", job, vocabulary, before)
    seconds = time.perf_counter() - started
    judged = Epoch(0, final.history[-1].train_loss, figures, valid.rows, int(events), seconds, 0.0)
    return final, Fitted(final.weights, job.training.epochs - 1, (judged,), final.last_weights)


def _snapshot(night: SequenceNight, rows: DataFrame, part: str) -> Snapshot:
    """The windows as files, about `max_windows` of them: which ones depends on the night."""
    run, data, fit, most = night.run, night.data, night.fit, night.plan.training.max_windows
    # No window holds transitions of another, so their number says how large a share to take; of what lies before the
    # held-out days their own, so that nothing of those days is known.
    windows = night.amount.windows if part == "train" or not most else data.sequences.count()
    share = min(most / max(windows, 1), 1.0) if most else 1.0
    if share < 1:
        salt = F.lit(f"{run.seed} {data.until:%Y-%m-%d}")
        rows = rows.where(F.pmod(F.xxhash64(salt, "user_id", "window"), F.lit(1 << 20)) < int(share * (1 << 20)))
    folder, length = night.folder / part, fit.windows.length
    made = write_snapshot(rows, folder, length, data.sequences_version, data.n_items, fit.trainers)
    if share < 1:
        taken = {"part": part, "windows": made.rows, "share": round(share, 4)}
        run.log.info(f"{fit.kind}: a share of the windows", **taken)
    return made


def _job(night: SequenceNight, train: str, valid: str | None, epochs: int) -> SequenceJob:
    return SequenceJob(
        kind=night.fit.kind,
        model=night.shape.model_dump(mode="json"),
        training=night.plan.training.model_copy(update={"epochs": epochs}),
        seed=night.run.seed,
        n_items=night.data.n_items,
        train=train,
        valid=valid,
        note={"until": night.data.until.isoformat(), "sequences_version": night.data.sequences_version},
    )


def _run(
    night: SequenceNight, name: str, job: SequenceJob, vocabulary: Places | None, start: Weights | None = None
) -> Fitted:
    write_job(night.folder / name, job, vocabulary, start)
    return run_trainers(night.folder / name, night.fit.trainers, night.run.log)
