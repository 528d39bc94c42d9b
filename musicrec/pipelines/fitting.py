"""Fit each model on training data, wherever that ends. Publishing and evaluation both call these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.artifacts import save_model
from musicrec.io.runs import Run
from musicrec.io.sequences import Snapshot, read_batches, write_snapshot
from musicrec.logs import progress
from musicrec.models.als import AlsParams, fit_als
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.lstm import LstmParams, lstm_vectors, make_lstm
from musicrec.models.pca import PcaModel, PcaParams, fit_pca
from musicrec.models.training import Batches, Trained, TrainingParams, Weights, train
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


def fit_als_model(run: Run, data: TrainingData, params: AlsParams) -> EmbeddingModel:
    """ALS on the interactions."""
    return fit_als(data.interactions, params, run.seed)


def fit_pca_model(run: Run, data: TrainingData, params: PcaParams) -> PcaModel:
    """PCA of the listener × item matrix, with no more components than it has listeners or items: a night with few
    listeners still has its lists."""
    counts = [F.count_distinct("user_idx"), F.count_distinct("item_idx")]
    most = min(data.interactions.agg(*counts).collect()[0])
    if params.components > most:
        run.log.warning("pca: fewer components than configured", components=most, configured=params.components)
        params = params.model_copy(update={"components": most})
    return fit_pca(data.interactions, params, run.seed)


def fit_lstm_model(run: Run, data: TrainingData, fit: SequenceFit, folder: Path) -> tuple[EmbeddingModel, Trained]:
    """LSTM on the windows before `data.until`.

    First the last `valid_days` are held out and choose the number of epochs; then the model is trained anew on
    everything for as many, since the newest plays are worth most. Snapshots and weights go under `folder`.

    Returns
    -------
    The model as vectors, and the history of the run that chose.
    """
    valid_from = data.until - timedelta(days=fit.valid_days)
    parts = {
        "train": train_windows(data.sequences, valid_from),
        "valid": valid_windows(data.sequences, valid_from, data.until),
        "all": train_windows(data.sequences, data.until),
    }
    snapshots = {
        name: write_snapshot(rows, folder / name, fit.windows.length, data.sequences_version)
        for name, rows in parts.items()
    }
    if snapshots["all"].rows == 0:
        raise InputError("table silver.sequences", f"listeners with two plays or more before {data.until}", "none")
    chosen = _choose_epochs(run, data, fit, snapshots, folder)
    final = _train(run, data, fit, snapshots["all"], None, chosen.best_epoch + 1, None)
    facts = {
        "model": "lstm",
        "n_items": data.n_items,
        "params": fit.model.model_dump(mode="json"),
        "training": fit.training.model_dump(mode="json"),
        "epochs": chosen.best_epoch + 1,
        "sequences_version": data.sequences_version,
        "until": data.until.isoformat(),
        "seed": run.seed,
    }
    save_model(folder / "model", final.weights, facts)
    plays = last_plays(data.plays, fit.windows.length)
    return lstm_vectors(run.lakehouse.spark, final.weights, data.n_items, fit.model, plays), chosen


def _choose_epochs(
    run: Run, data: TrainingData, fit: SequenceFit, snapshots: dict[str, Snapshot], folder: Path
) -> Trained:
    """Train with the last days held out; too short a history to hold any out trains all epochs."""
    if snapshots["train"].rows == 0 or snapshots["valid"].rows == 0:
        run.log.warning("lstm: nothing to validate on, so every epoch is run", epochs=fit.training.epochs)
        last = fit.training.epochs - 1
        return Trained({}, last, ())

    def keep_best(epoch: int, weights: Weights) -> None:
        save_model(folder / "best", weights, {"epoch": epoch, "params": fit.model.model_dump(mode="json")})

    return _train(run, data, fit, snapshots["train"], snapshots["valid"], fit.training.epochs, keep_best)


def _train(
    run: Run,
    data: TrainingData,
    fit: SequenceFit,
    train_on: Snapshot,
    validate_on: Snapshot | None,
    epochs: int,
    keep_best: Callable[[int, Weights], None] | None,
) -> Trained:
    model = make_lstm(data.n_items, fit.model, run.seed)
    params = fit.training.model_copy(update={"epochs": epochs})
    what = "lstm: choosing the epochs" if validate_on else "lstm: training on everything"
    with progress(run.log, what, epochs) as ticker:
        valid = _batches(validate_on, params.batch_size, None) if validate_on else None
        return train(model, _batches(train_on, params.batch_size, run.seed), valid, params, ticker, keep_best)


def _batches(snapshot: Snapshot, batch_size: int, seed: int | None) -> Batches:
    def one_epoch(epoch: int) -> Iterator[tuple[IntArray, IntArray]]:
        return read_batches(snapshot, batch_size, None if seed is None else seed + epoch)

    return one_epoch
