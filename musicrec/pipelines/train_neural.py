"""The training jobs of the neural models: fit, publish, keep the history."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import functions as F

from musicrec.io.artifacts import load_facts
from musicrec.io.runs import Run, Stage
from musicrec.models.neural.checkpoint import Weights
from musicrec.models.neural.dot_bias import dot_bias_vectors, loved
from musicrec.pipelines.fit_pairs import fit_pair_model
from musicrec.pipelines.fit_sequence import fit_sequence_model
from musicrec.pipelines.model_fits import PairFit, SequenceFit
from musicrec.pipelines.publish import publish, register
from musicrec.pipelines.sequence_job import Fitted
from musicrec.pipelines.settings import RERANKER
from musicrec.pipelines.training_data import TrainingData, training_data
from musicrec.transforms.interactions import InteractionParams, ItemKind

# So many of the most and of the least loved items are kept.
_LOVED = 100


def train_sequence(run: Run, item: ItemKind, interaction: InteractionParams, fit: SequenceFit, files: Path) -> Stage:
    """Fit and publish the LSTM; its history goes to ops.metrics, one step an epoch. Files lie under `files`."""
    return _train_sequence(run, training_data(run, item, interaction, read_often=False), fit, files)


def train_neural(
    run: Run,
    item: ItemKind,
    interaction: InteractionParams,
    fits: tuple[SequenceFit | PairFit, ...],
    files: Path,
) -> Stage:
    """Fit and publish the neural models that the configuration names beside the LSTM, one after the other."""
    if not fits:
        return Stage(0, 0, "neural.models names none")
    data = training_data(run, item, interaction, read_often=False)
    stages = []
    for fit in fits:
        if isinstance(fit, SequenceFit):
            stages.append(_train_sequence(run, data, fit, files))
        else:
            stages.append(_train_pairs(run, data, fit, files))
    names = ", ".join(fit.kind for fit in fits)
    return Stage(sum(stage.rows_in for stage in stages), sum(stage.rows_out for stage in stages), names)


def record_history(run: Run, name: str, fitted: Fitted) -> None:
    """Keep the figures of every epoch."""
    for epoch in fitted.history:
        rate = epoch.events / max(epoch.seconds, 1e-9)
        figures = {"train_loss": epoch.train_loss, **epoch.figures, "events_per_second": rate, "waited": epoch.waited}
        for figure, value in figures.items():
            run.metric(figure, value, step=epoch.epoch, model=name)


def _train_sequence(run: Run, data: TrainingData, fit: SequenceFit, files: Path) -> Stage:
    folder = files / fit.kind
    model, chosen = fit_sequence_model(run, data, fit, folder)
    record_history(run, fit.kind, chosen)
    # With what was planned where `auto` was said; ops.runs has what was said.
    planned = type(fit.model).model_validate(load_facts(folder / "model")["model"])
    return publish(run, model, planned, data.plays.count(), str(folder / "model"))


def _train_pairs(run: Run, data: TrainingData, fit: PairFit, files: Path) -> Stage:
    folder = files / fit.kind
    fitted = fit_pair_model(run, data, fit, folder)
    record_history(run, fit.kind, fitted)
    rows_in, saved = data.interactions.count(), str(folder / "model")
    if fit.kind == RERANKER:
        register(run, fit.kind, fit.model, saved, {})
        return Stage(rows_in, 0, fit.kind)
    _write_loved(run, data, fitted.weights)
    return publish(run, dot_bias_vectors(run.lakehouse.spark, fitted.weights), fit.model, rows_in, saved)


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
