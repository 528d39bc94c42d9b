"""Fit each model on training data, wherever that ends. Publishing and evaluation both call these."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.artifacts import load_model, save_model
from musicrec.io.runs import Run
from musicrec.io.sequences import Snapshot, read_batches, write_snapshot
from musicrec.logs import progress
from musicrec.models.als import AlsParams, fit_als
from musicrec.models.embedding import EmbeddingModel, ItemMatrix
from musicrec.models.lstm import LstmModel, LstmParams, Places, lstm_vectors, make_lstm, warm_lstm
from musicrec.models.pca import PcaModel, PcaParams, fit_pca
from musicrec.models.training import (
    Batches,
    Epoch,
    Trained,
    TrainingParams,
    Weights,
    device_for_training,
    evaluate,
    train,
)
from musicrec.pipelines.training_data import TrainingData
from musicrec.transforms.sequences import SequenceParams, last_plays, train_windows, valid_windows

IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class SequenceFit:
    """What the LSTM is fitted with: its shape, training, windows, and how many last days choose the epochs."""

    model: LstmParams
    training: TrainingParams
    windows: SequenceParams
    valid_days: float


def fit_als_model(run: Run, data: TrainingData, params: AlsParams, start: ItemMatrix | None = None) -> EmbeddingModel:
    """ALS on the interactions, from the item vectors `start` where there are some."""
    return fit_als(data.interactions, params, run.seed, start=start, log=run.log)


def fit_pca_model(run: Run, data: TrainingData, params: PcaParams) -> PcaModel:
    """PCA of the listener × item matrix, with no more components than it has listeners or items: a night with few
    listeners still has its lists."""
    counts = [F.count_distinct("user_idx"), F.count_distinct("item_idx")]
    most = min(data.interactions.agg(*counts).collect()[0])
    if params.components > most:
        run.log.warning("pca: fewer components than configured", components=most, configured=params.components)
        params = params.model_copy(update={"components": most})
    return fit_pca(data.interactions, params, run.seed, log=run.log)


def fit_lstm_model(run: Run, data: TrainingData, fit: SequenceFit, folder: Path) -> tuple[EmbeddingModel, Trained]:
    """LSTM on the windows before `data.until`.

    First the last `valid_days` are held out and choose the number of epochs; then the model is trained anew on
    everything for as many, since the newest plays are worth most. Where `refresh_epochs` is set and an earlier night
    left a model with the same settings, that one is judged on what was played since and then trained on. Snapshots
    and weights go under `folder`.

    Returns
    -------
    The model as vectors, and the history of the run that chose, or of the model that was gone on from.
    """
    vocabulary = _vocabulary(run, data, fit.model)
    facts = {
        "model": "lstm",
        "params": fit.model.model_dump(mode="json"),
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
    plays = last_plays(data.sequences, fit.windows, data.until)
    return lstm_vectors(run.lakehouse.spark, final.weights, fit.model, plays), chosen


def _vocabulary(run: Run, data: TrainingData, params: LstmParams) -> Places | None:
    """The items by plays, as many as may be told apart; None for all where their order does not matter."""
    if not (params.max_items or params.negatives):
        return None
    plays = data.interactions.groupBy("item_idx").agg(F.sum("plays").alias("plays")).toArrow()
    items, counts = plays["item_idx"].to_numpy().astype(np.int64), plays["plays"].to_numpy()
    order = items[np.lexsort((items, -counts))]
    known: Places = order[: params.max_items or None]
    if len(known) < len(order):
        share = float(counts[np.isin(items, known)].sum() / counts.sum())
        run.log.info("lstm: most played items only", items=len(known), of=len(order), share_of_plays=round(share, 4))
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
) -> tuple[Trained, Trained]:
    """The final model, and the run that chose its number of epochs."""
    valid_from = data.until - timedelta(days=fit.valid_days)
    parts = {
        "train": train_windows(data.sequences, valid_from),
        "valid": valid_windows(data.sequences, valid_from, data.until),
        "all": train_windows(data.sequences, data.until),
    }
    snapshots = {name: _snapshot(run, data, fit, rows, folder / name) for name, rows in parts.items()}
    if snapshots["all"].rows == 0:
        raise InputError("table silver.sequences", f"listeners with two plays or more before {data.until}", "none")
    chosen = _choose_epochs(run, data, fit, snapshots, folder, vocabulary)
    fresh = make_lstm(data.n_items, fit.model, run.seed, vocabulary)
    return _train(run, fit, fresh, snapshots["all"], None, chosen.best_epoch + 1, None), chosen


def _train_on(
    run: Run, data: TrainingData, fit: SequenceFit, folder: Path, vocabulary: Places | None, before: Weights
) -> tuple[Trained, Trained]:
    """The earlier model trained on, and how good it was, as it came, on the days since: plays it has not seen."""
    valid_from = data.until - timedelta(days=fit.valid_days)
    everything = _snapshot(run, data, fit, train_windows(data.sequences, data.until), folder / "all")
    valid = _snapshot(run, data, fit, valid_windows(data.sequences, valid_from, data.until), folder / "valid")
    model = warm_lstm(data.n_items, fit.model, run.seed, vocabulary, before)
    started = time.perf_counter()
    loss, accuracy = evaluate(model, _batches(valid, fit.training.batch_size, None)(0), device_for_training())
    run.log.info("lstm: going on from an earlier night", valid_loss=round(loss, 4), accuracy=round(accuracy, 4))
    epochs = fit.training.refresh_epochs
    final = _train(run, fit, model, everything, None, epochs, None)
    judged = Epoch(0, final.history[-1].train_loss, loss, accuracy, valid.rows, time.perf_counter() - started)
    return final, Trained(final.weights, epochs - 1, (judged,))


def _snapshot(run: Run, data: TrainingData, fit: SequenceFit, rows: DataFrame, folder: Path) -> Snapshot:
    """The windows as files, about `max_windows` of them: which ones depends on the night."""
    most = fit.training.max_windows
    if most:
        # No window holds transitions of another, so their number says how large a share to take.
        share = min(most / max(data.sequences.count(), 1), 1.0)
        salt = F.lit(f"{run.seed} {data.until:%Y-%m-%d}")
        drawn = F.pmod(F.xxhash64(salt, "user_id", "window"), F.lit(1 << 20)) < int(share * (1 << 20))
        rows = rows.where(drawn) if share < 1 else rows
    made = write_snapshot(rows, folder, fit.windows.length, data.sequences_version)
    if most and share < 1:
        run.log.info("lstm: a share of the windows", part=folder.name, windows=made.rows, share=round(share, 4))
    return made


def _choose_epochs(
    run: Run,
    data: TrainingData,
    fit: SequenceFit,
    snapshots: dict[str, Snapshot],
    folder: Path,
    vocabulary: Places | None,
) -> Trained:
    """Train with the last days held out; too short a history to hold any out trains all epochs."""
    if snapshots["train"].rows == 0 or snapshots["valid"].rows == 0:
        run.log.warning("lstm: nothing to validate on, so every epoch is run", epochs=fit.training.epochs)
        last = fit.training.epochs - 1
        return Trained({}, last, ())

    def keep_best(epoch: int, weights: Weights) -> None:
        save_model(folder / "best", weights, {"epoch": epoch, "params": fit.model.model_dump(mode="json")})

    model = make_lstm(data.n_items, fit.model, run.seed, vocabulary)
    return _train(run, fit, model, snapshots["train"], snapshots["valid"], fit.training.epochs, keep_best)


def _train(
    run: Run,
    fit: SequenceFit,
    model: LstmModel,
    train_on: Snapshot,
    validate_on: Snapshot | None,
    epochs: int,
    keep_best: Callable[[int, Weights], None] | None,
) -> Trained:
    params = fit.training.model_copy(update={"epochs": epochs})
    what = "lstm: choosing the epochs" if validate_on else "lstm: training on everything"
    with progress(run.log, what, epochs) as ticker:
        valid = _batches(validate_on, params.batch_size, None) if validate_on else None
        return train(model, _batches(train_on, params.batch_size, run.seed), valid, params, ticker, keep_best)


def _batches(snapshot: Snapshot, batch_size: int, seed: int | None) -> Batches:
    def one_epoch(epoch: int) -> Iterator[tuple[IntArray, IntArray]]:
        return read_batches(snapshot, batch_size, None if seed is None else seed + epoch)

    return one_epoch
