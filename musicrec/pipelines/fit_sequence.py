"""Fit a next-track model on silver's windows: snapshots by Spark, training from files, vectors by Spark."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import TooLittleError
from musicrec.io.artifacts import load_model, save_model
from musicrec.io.runs import Run
from musicrec.io.sequences import Snapshot, SnapshotSource
from musicrec.io.snapshots import write_snapshot
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.neural.checkpoint import Epoch, Weights
from musicrec.models.neural.kinds import make_model
from musicrec.models.neural.next_track import Places
from musicrec.models.neural.processes import ALONE
from musicrec.models.neural.vectors import next_track_vectors
from musicrec.pipelines.model_fits import SequenceFit
from musicrec.pipelines.sequence_job import Fitted, SequenceJob, clear_checkpoints, judge_windows, write_job
from musicrec.pipelines.trainers import run_trainers
from musicrec.pipelines.training_data import TrainingData
from musicrec.transforms.sequences import last_plays, train_windows, valid_windows


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
    vocabulary = _vocabulary(run, data, fit)
    facts = {
        "kind": fit.kind,
        "model": fit.model.model_dump(mode="json"),
        "training": fit.training.model_dump(mode="json"),
        "windows": fit.windows.model_dump(mode="json"),
        "seed": run.seed,
        "until": data.until.isoformat(),
    }
    before = _earlier_model(folder, facts) if fit.training.refresh_epochs else None
    if before is None:
        final, chosen = _train_afresh(run, data, fit, folder, vocabulary)
    else:
        final, chosen = _train_on(run, data, fit, folder, vocabulary, before)
    counts = {"n_items": data.n_items, "epochs": chosen.best_epoch + 1, "sequences_version": data.sequences_version}
    save_model(folder / "model", final.weights, facts | counts | {"is_refreshed": before is not None})
    for job in ("choose", "final"):
        clear_checkpoints(folder / job)
    plays = last_plays(data.sequences, fit.windows, data.until)
    return next_track_vectors(run.lakehouse.spark, fit.kind, final.weights, fit.model, plays), chosen


def _vocabulary(run: Run, data: TrainingData, fit: SequenceFit) -> Places | None:
    """The items by plays, as many as may be told apart; None for all where their order does not matter."""
    if not (fit.model.max_items or fit.model.loss.negatives):
        return None
    plays = data.interactions.groupBy("item_idx").agg(F.sum("plays").alias("plays")).toArrow()
    items, counts = plays["item_idx"].to_numpy().astype(np.int64), plays["plays"].to_numpy()
    order = items[np.lexsort((items, -counts))]
    known: Places = order[: fit.model.max_items or None]
    if len(known) < len(order):
        share = float(counts[np.isin(items, known)].sum() / counts.sum())
        shares = {"items": len(known), "of": len(order), "share_of_plays": round(share, 4)}
        run.log.info(f"{fit.kind}: most played items only", **shares)
    return known


def _earlier_model(folder: Path, facts: dict[str, Any]) -> Weights | None:
    """The newest saved model from before `facts["until"]` with the same settings.

    A model is kept aside before a later one takes its place, so a night that is run again starts from the same.
    """
    current, previous = folder / "model", folder / "previous"
    for place in (current, previous):
        if not place.is_dir():
            continue
        weights, known = load_model(place)
        same = all(known.get(name) == value for name, value in facts.items() if name != "until")
        if same and known["until"] < facts["until"]:
            if place == current:
                save_model(previous, weights, known)
            return weights
    return None


def _train_afresh(
    run: Run, data: TrainingData, fit: SequenceFit, folder: Path, vocabulary: Places | None
) -> tuple[Fitted, Fitted]:
    """The final model, and the run that chose its number of epochs."""
    valid_from = data.until - timedelta(days=fit.valid_days)
    parts = {
        "train": train_windows(data.sequences, valid_from),
        "valid": valid_windows(data.sequences, valid_from, data.until),
        "all": train_windows(data.sequences, data.until),
    }
    made = {name: _snapshot(run, data, fit, rows, folder / name) for name, rows in parts.items()}
    if made["all"].rows == 0:
        raise TooLittleError(
            f"{fit.kind}, table silver.sequences", f"listeners with two plays in a row before {data.until}", "none"
        )
    if made["train"].rows and made["valid"].rows:
        choose = _job(run, data, fit, "../train", "../valid", fit.training.epochs)
        chosen = _run(run, fit, folder / "choose", choose, vocabulary)
    else:
        run.log.warning(f"{fit.kind}: nothing to validate on, so every epoch is run", epochs=fit.training.epochs)
        chosen = Fitted({}, fit.training.epochs - 1, ())
    final = _job(run, data, fit, "../all", None, chosen.best_epoch + 1)
    return _run(run, fit, folder / "final", final, vocabulary), chosen


def _train_on(
    run: Run, data: TrainingData, fit: SequenceFit, folder: Path, vocabulary: Places | None, before: Weights
) -> tuple[Fitted, Fitted]:
    """The earlier model trained on, and how good it was, as it came, on the days since: plays it has not seen."""
    valid_from = data.until - timedelta(days=fit.valid_days)
    _snapshot(run, data, fit, train_windows(data.sequences, data.until), folder / "all")
    valid = _snapshot(run, data, fit, valid_windows(data.sequences, valid_from, data.until), folder / "valid")
    model = make_model(data.n_items, fit.model, run.seed, vocabulary).start_from(before).to(ALONE.device()).eval()
    started = time.perf_counter()
    sums, events = judge_windows(SnapshotSource(valid, fit.training.batch_size, None))(model)
    figures = {name: value / max(events, 1) for name, value in sums.items()}
    shown = {name: round(value, 4) for name, value in figures.items()}
    run.log.info(f"{fit.kind}: going on from an earlier night", **shown)
    job = _job(run, data, fit, "../all", None, fit.training.refresh_epochs)
    final = _run(run, fit, folder / "final", job, vocabulary, before)
    seconds = time.perf_counter() - started
    judged = Epoch(0, final.history[-1].train_loss, figures, valid.rows, int(events), seconds, 0.0)
    return final, Fitted(final.weights, job.training.epochs - 1, (judged,))


def _snapshot(run: Run, data: TrainingData, fit: SequenceFit, rows: DataFrame, folder: Path) -> Snapshot:
    """The windows as files, about `max_windows` of them: which ones depends on the night."""
    most = fit.training.max_windows
    # No window holds transitions of another, so their number says how large a share to take.
    share = min(most / max(data.sequences.count(), 1), 1.0) if most else 1.0
    if share < 1:
        salt = F.lit(f"{run.seed} {data.until:%Y-%m-%d}")
        rows = rows.where(F.pmod(F.xxhash64(salt, "user_id", "window"), F.lit(1 << 20)) < int(share * (1 << 20)))
    made = write_snapshot(rows, folder, fit.windows.length, data.sequences_version, data.n_items, fit.trainers)
    if share < 1:
        taken = {"part": folder.name, "windows": made.rows, "share": round(share, 4)}
        run.log.info(f"{fit.kind}: a share of the windows", **taken)
    return made


def _job(run: Run, data: TrainingData, fit: SequenceFit, train: str, valid: str | None, epochs: int) -> SequenceJob:
    return SequenceJob(
        kind=fit.kind,
        model=fit.model.model_dump(mode="json"),
        training=fit.training.model_copy(update={"epochs": epochs}),
        seed=run.seed,
        n_items=data.n_items,
        train=train,
        valid=valid,
        note={"until": data.until.isoformat(), "sequences_version": data.sequences_version},
    )


def _run(
    run: Run,
    fit: SequenceFit,
    folder: Path,
    job: SequenceJob,
    vocabulary: Places | None,
    start: Weights | None = None,
) -> Fitted:
    write_job(folder, job, vocabulary, start)
    return run_trainers(folder, fit.trainers, run.log)
