"""Fit the models of pairs (NCF, EmbeddingDotBias) on silver's interactions; these fit in the driver's memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pyspark.sql import functions as F
from torch import nn

from musicrec.io.artifacts import save_model
from musicrec.io.checkpoints import FolderStore
from musicrec.io.runs import Run
from musicrec.io.training_plots import plot_history, plot_lr_find
from musicrec.logs import progress
from musicrec.models.neural.dot_bias import DotBiasModel, DotBiasParams, make_dot_bias, pair_accuracy
from musicrec.models.neural.lr_find import lr_find
from musicrec.models.neural.ncf import NcfModel, NcfParams, make_ncf, pretrain, pretrain_steps
from musicrec.models.neural.negatives import UnheardItems
from musicrec.models.neural.sources import ArraySource
from musicrec.models.neural.training import Judge, Trained, train
from musicrec.pipelines.model_fits import PairFit
from musicrec.pipelines.sequence_job import Fitted
from musicrec.pipelines.training_data import TrainingData

Ints = NDArray[np.int64]

# Listeners whose new items are ranked among all to judge an epoch.
_JUDGED = 1000
_K = 10


@dataclass(frozen=True)
class Pairs:
    """Listeners and what they played, one place a pair; `values` are the confidences."""

    users: Ints
    items: Ints
    values: NDArray[np.float32]

    def where(self, mask: NDArray[np.bool_]) -> Pairs:
        """Those that `mask` says."""
        return Pairs(self.users[mask], self.items[mask], self.values[mask])


def fit_pair_model(run: Run, data: TrainingData, fit: PairFit, folder: Path) -> Fitted:
    """A model of pairs on everything before `data.until`.

    First the pairs that were new in the last `valid_days` are held out: their ranks among all unheard items choose the
    number of epochs. Then the model is trained anew on all pairs for as many. Checkpoints, pictures and weights go
    under `folder`.

    Returns
    -------
    The final weights, and the history of the run that chose.
    """
    pairs, is_new = _pairs(data, fit)
    n_users = int(pairs.users.max()) + 1
    if is_new.any() and not is_new.all():
        known, held_out = pairs.where(~is_new), pairs.where(is_new)
        model, chosen = _train(run, data, fit, folder / "choose", known, n_users, fit.training.epochs, held_out)
        epochs = chosen.best_epoch + 1
        if isinstance(model, DotBiasModel) and model.params.loss == "bce":
            held = (torch.from_numpy(held_out.users), torch.from_numpy(held_out.items))
            for name, value in pair_accuracy(model.eval(), *held, run.seed).items():
                run.metric(f"pair_{name}", value, model=fit.kind)
    else:
        run.log.warning(f"{fit.kind}: nothing to validate on, so every epoch is run", epochs=fit.training.epochs)
        epochs, chosen = fit.training.epochs, Trained({}, fit.training.epochs - 1, (), {})
    _, final = _train(run, data, fit, folder / "final", pairs, n_users, epochs, None)
    facts = {"kind": fit.kind, "model": fit.model.model_dump(mode="json"), "n_items": data.n_items, "epochs": epochs}
    save_model(folder / "model", final.weights, {**facts, "until": data.until.isoformat(), "seed": run.seed})
    if chosen.history:
        plot_history(chosen.history, chosen.best_epoch, f"{fit.kind}, {data.n_items:,} items", folder / "history.png")
    for part in ("choose", "final"):
        FolderStore(folder / part / "checkpoints").clear()
    return Fitted(final.weights, chosen.best_epoch, chosen.history, final.last_weights)


def _pairs(data: TrainingData, fit: PairFit) -> tuple[Pairs, NDArray[np.bool_]]:
    """All pairs in a total order, and which are new in the last days."""
    since = data.until - timedelta(days=fit.valid_days)
    is_new = (F.col("first_listened_at") >= F.lit(since)).alias("is_new")
    rows = data.interactions.select("user_idx", "item_idx", F.col("weight").cast("float"), is_new).toArrow()
    users, items = (rows[name].to_numpy().astype(np.int64) for name in ("user_idx", "item_idx"))
    order = np.lexsort((items, users))
    pairs = Pairs(users[order], items[order], rows["weight"].to_numpy()[order])
    return pairs, rows["is_new"].to_numpy(zero_copy_only=False)[order] if len(order) else np.zeros(0, np.bool_)


def _train(
    run: Run,
    data: TrainingData,
    fit: PairFit,
    folder: Path,
    pairs: Pairs,
    n_users: int,
    epochs: int,
    held_out: Pairs | None,
) -> tuple[NcfModel | DotBiasModel, Trained]:
    params = fit.training.model_copy(update={"epochs": epochs})
    model = _make(fit, pairs, n_users, data.n_items, run.seed)
    columns: tuple[NDArray[np.generic], ...] = (pairs.users, pairs.items)
    if isinstance(fit.model, DotBiasParams) and fit.model.loss == "mse":
        columns = (*columns, pairs.values)
    source = ArraySource(columns, params.batch_size, run.seed)
    config = {"kind": fit.kind, "model": fit.model.model_dump(mode="json"), "seed": run.seed, "n_items": data.n_items}
    store = FolderStore(folder / "checkpoints" / f"{data.until:%Y-%m-%d}-{len(pairs.users)}")
    judge = None if held_out is None else _judge(pairs, held_out, run.seed)
    extra = pretrain_steps(fit.model, source) if isinstance(fit.model, NcfParams) else 0
    with progress(run.log, f"{fit.kind}: training", extra + epochs * source.steps()) as ticker:
        if isinstance(model, NcfModel):
            pretrain(model, source, params, ticker)
        if not params.learning_rate:
            found = lr_find(model, source, params)
            plot_lr_find(found, folder / "lr_find.png")
            params = params.model_copy(update={"learning_rate": found.suggested})
        return model, train(model, source, params, ticker, judge, store, config)


def _make(fit: PairFit, pairs: Pairs, n_users: int, n_items: int, seed: int) -> NcfModel | DotBiasModel:
    unheard = UnheardItems(n_items, torch.from_numpy(pairs.users), torch.from_numpy(pairs.items))
    if isinstance(fit.model, NcfParams):
        return make_ncf(n_users, n_items, fit.model, seed, unheard)
    mean = float(pairs.values.mean()) if fit.model.loss == "mse" else 0.0
    return make_dot_bias(n_users, n_items, fit.model, seed, unheard, mean)


def _judge(known: Pairs, held_out: Pairs, seed: int) -> Judge:
    """NDCG and recall at 10 of each listener's new items among all that they had not heard; of 1,000 listeners."""
    listeners = np.unique(held_out.users)
    if len(listeners) > _JUDGED:
        listeners = np.sort(np.random.default_rng(seed).choice(listeners, _JUDGED, replace=False))
    wanted, heard = (_items_of(pairs, listeners) for pairs in (held_out, known))
    gains = 1 / np.log2(np.arange(_K) + 2)

    def judge(model: nn.Module) -> tuple[dict[str, float], float]:
        assert isinstance(model, NcfModel | DotBiasModel)
        device = next(model.parameters()).device
        scores = model.all_scores(torch.from_numpy(listeners).to(device)).cpu().numpy()
        sums = {"ndcg_at_10": 0.0, "recall_at_10": 0.0}
        for row, own in enumerate(scores):
            own[heard[row]] = -np.inf
            best = np.lexsort((np.arange(len(own)), -own))[:_K]
            is_hit = np.isin(best, wanted[row])
            sums["ndcg_at_10"] += float(gains[: len(best)][is_hit].sum() / gains[: len(wanted[row])].sum())
            sums["recall_at_10"] += float(is_hit.sum() / len(wanted[row]))
        return sums, len(listeners)

    return judge


def _items_of(pairs: Pairs, listeners: Ints) -> list[Ints]:
    """Each listener's items; the pairs stand by listener."""
    starts = np.searchsorted(pairs.users, listeners)
    ends = np.searchsorted(pairs.users, listeners, side="right")
    return [pairs.items[start:end] for start, end in zip(starts, ends, strict=True)]
