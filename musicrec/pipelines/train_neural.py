"""The training jobs of the neural models: fit, publish, keep the history."""

from __future__ import annotations

import shutil
from pathlib import Path

from pyspark.sql import functions as F

from musicrec.io.artifacts import load_facts
from musicrec.io.runs import Run, Stage
from musicrec.models.neural.checkpoint import Weights
from musicrec.models.neural.dot_bias import dot_bias_vectors, loved
from musicrec.models.neural.ncf import NcfParams
from musicrec.pipelines.fit_pairs import fit_pair_model
from musicrec.pipelines.fit_sequence import fit_sequence_model
from musicrec.pipelines.model_fits import PairFit, SequenceFit
from musicrec.pipelines.publish import publish, published_or_left_out, register
from musicrec.pipelines.sequence_job import Fitted
from musicrec.pipelines.telling import check_reranker
from musicrec.pipelines.training_data import TrainingData, training_data
from musicrec.transforms.interactions import InteractionParams, ItemKind

# So many of the most and of the least loved items are kept.
_LOVED = 100


def train_sequence(
    run: Run, item: ItemKind, interaction: InteractionParams, fit: SequenceFit, files: Path, places: int = 20
) -> Stage:
    """Fit and publish the LSTM; its history goes to ops.metrics, one step an epoch. Files lie under `files`.

    Raises
    ------
    DegenerateModelError : its scores cannot tell `places` items apart, though the plays can.
    """
    data = training_data(run, item, interaction, read_often=False)
    return published_or_left_out(run, fit.kind, lambda: _train_sequence(run, data, fit, files, places))


def train_neural(
    run: Run,
    item: ItemKind,
    interaction: InteractionParams,
    fits: tuple[SequenceFit | PairFit, ...],
    files: Path,
    places: int = 20,
) -> Stage:
    """Fit and publish the neural models that the configuration names beside the LSTM, one after the other.

    It counts as skipped where there was too little for one of them.

    Raises
    ------
    DegenerateModelError : one's scores cannot tell `places` items apart, though the plays can.
    """
    if not fits:
        return Stage(0, 0, "neural.models names none")
    data = training_data(run, item, interaction, read_often=False)
    stages = [_one_of_others(run, data, fit, files, places) for fit in fits]
    left_out = [stage.note for stage in stages if stage.is_skipped]
    note = "; ".join(left_out) or ", ".join(fit.kind for fit in fits)
    rows_in, rows_out = (sum(getattr(stage, name) for stage in stages) for name in ("rows_in", "rows_out"))
    return Stage(rows_in, rows_out, note, is_skipped=bool(left_out))


def record_history(run: Run, name: str, fitted: Fitted) -> None:
    """Keep the figures of every epoch."""
    for epoch in fitted.history:
        rate = epoch.events / max(epoch.seconds, 1e-9)
        figures = {"train_loss": epoch.train_loss, **epoch.figures, "events_per_second": rate, "waited": epoch.waited}
        for figure, value in figures.items():
            run.metric(figure, value, step=epoch.epoch, model=name)


def _one_of_others(run: Run, data: TrainingData, fit: SequenceFit | PairFit, files: Path, places: int) -> Stage:
    if isinstance(fit, SequenceFit):
        return published_or_left_out(run, fit.kind, lambda: _train_sequence(run, data, fit, files, places))
    stage = published_or_left_out(run, fit.kind, lambda: _train_pairs(run, data, fit, files, places))
    if stage.is_skipped:
        shutil.rmtree(files / fit.kind / "model", ignore_errors=True)  # it would be taken for tonight's
    return stage


def _train_sequence(run: Run, data: TrainingData, fit: SequenceFit, files: Path, places: int) -> Stage:
    folder = files / fit.kind
    model, chosen = fit_sequence_model(run, data, fit, folder)
    record_history(run, fit.kind, chosen)
    # With what was planned where `auto` was said; ops.runs has what was said.
    planned = type(fit.model).model_validate(load_facts(folder / "model")["model"])
    saved, pairs = str(folder / "model"), data.interactions
    return publish(run, model, planned, data.plays.count(), saved, pairs=pairs, places=places)


def _train_pairs(run: Run, data: TrainingData, fit: PairFit, files: Path, places: int) -> Stage:
    folder = files / fit.kind
    fitted = fit_pair_model(run, data, fit, folder)
    record_history(run, fit.kind, fitted)
    rows_in, saved = data.interactions.count(), str(folder / "model")
    if isinstance(fit.model, NcfParams):
        check_reranker(fitted.weights, fit.model, data.interactions, places)
        register(run, fit.kind, fit.model, saved, {})
        return Stage(rows_in, 0, fit.kind)
    _write_loved(run, data, fitted.weights)
    model = dot_bias_vectors(run.lakehouse.spark, fitted.weights)
    return publish(run, model, fit.model, rows_in, saved, pairs=data.interactions, places=places)


def _write_loved(run: Run, data: TrainingData, weights: Weights) -> None:
    """Replace gold.loved_items: what is liked, and disliked, whoever listens."""
    rows = run.lakehouse.spark.createDataFrame(
        [tuple(row) for row in loved(weights, _LOVED)], "item_idx int, bias double, rank int"
    )
    # An item that no one has played has the bias that it was drawn with.
    played = rows.join(data.popular.select("item_idx", "plays"), "item_idx", "inner")
    named = played.join(data.items, "item_idx", "inner").withColumnRenamed("item_id", "item")
    run.lakehouse.overwrite(
        "gold.loved_items", named.withColumns({"as_of": F.lit(run.day), "run_id": F.lit(run.run_id)})
    )
