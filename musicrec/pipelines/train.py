"""The training jobs: fit a model on all of silver, keep its vectors as tables and its facts in ops.models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.runs import Run, Stage
from musicrec.models.als import AlsParams
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.pca import PcaParams
from musicrec.models.training import Trained
from musicrec.params import Params
from musicrec.pipelines.earlier_models import als_items_before
from musicrec.pipelines.fitting import SequenceFit, fit_als_model, fit_lstm_model, fit_pca_model
from musicrec.pipelines.fold_in import fold_in_als
from musicrec.pipelines.training_data import training_data
from musicrec.transforms.interactions import InteractionParams, ItemKind


def train_als(run: Run, item: ItemKind, interaction: InteractionParams, params: AlsParams) -> Stage:
    """Fit and publish ALS, from an earlier night's item vectors where there are some.

    On nights between fits (`params.refit_days`) the listeners are folded in instead.
    """
    data = training_data(run, item, interaction, read_often=False)
    model = fold_in_als(run, data, params) or fit_als_model(run, data, params, als_items_before(run, params))
    return publish(run, model, params, data.interactions.count(), "")


def train_pca(run: Run, item: ItemKind, interaction: InteractionParams, params: PcaParams) -> Stage:
    """Fit and publish PCA; its explained variance ratios go to ops.metrics, one step a component."""
    data = training_data(run, item, interaction, read_often=False)
    model = fit_pca_model(run, data, params)
    cumulative = 0.0
    for component, ratio in enumerate(model.explained_variance_ratio):
        cumulative += float(ratio)
        run.metric("explained_variance_ratio", float(ratio), step=component, model="pca")
        run.metric("explained_variance_cumulative", cumulative, step=component, model="pca")
    found = len(model.explained_variance_ratio)
    run.log.info("pca: explained variance", components=found, cumulative=round(cumulative, 4))
    return publish(run, model.embedding, params, data.interactions.count(), "")


def train_sequence(run: Run, item: ItemKind, interaction: InteractionParams, fit: SequenceFit, files: Path) -> Stage:
    """Fit and publish the LSTM; its history goes to ops.metrics, one step an epoch. Files lie under `files`."""
    data = training_data(run, item, interaction, read_often=False)
    folder = files / "lstm"
    model, chosen = fit_lstm_model(run, data, fit, folder)
    record_history(run, chosen)
    return publish(run, model, fit.model, data.plays.count(), str(folder / "model"))


def record_history(run: Run, trained: Trained) -> None:
    """Keep loss and accuracy of every epoch."""
    for epoch in trained.history:
        for name in ("train_loss", "valid_loss", "valid_accuracy"):
            run.metric(name, getattr(epoch, name), step=epoch.epoch, model="lstm")
        run.metric("events_per_second", epoch.events / epoch.seconds, step=epoch.epoch, model="lstm")


def publish(run: Run, model: EmbeddingModel, params: Params, rows_in: int, files: str) -> Stage:
    """Replace the model's vectors and register it with the Delta versions of what it was made from."""
    lake = run.lakehouse
    inputs = {name: version for name, version in lake.versions_read.items() if name.startswith("silver.")}
    marks = {"model": F.lit(model.name), "run_id": F.lit(run.run_id)}
    where = f"model = '{model.name}'"
    users = lake.overwrite("models.user_vectors", model.user_vectors.withColumns(marks), where=where)
    items = lake.overwrite("models.item_vectors", model.item_vectors.withColumns(marks), where=where)
    for name, value in model.figures.items():
        run.metric(name, value, model=model.name)
    facts = (
        model.name,
        run.run_id,
        run.now,
        run.day,
        run.seed,
        json.dumps(params.model_dump(mode="json"), sort_keys=True),
        inputs,
        users,
        items,
        files,
        model.figures,
    )
    lake.append_rows("ops.models", [facts])
    vectors = [load_vectors(run, model.name, table).select("vector") for table in ("user_vectors", "item_vectors")]
    return Stage(rows_in, vectors[0].union(vectors[1]).count(), model.name)


def load_models(run: Run, names: tuple[str, ...]) -> Mapping[str, EmbeddingModel]:
    """The newest trained models, by name.

    Raises
    ------
    TableMissingError, InputError : one of them was never trained.
    """
    models = {}
    for name in names:
        users = load_vectors(run, name, "user_vectors").persist()
        items = load_vectors(run, name, "item_vectors").persist()
        if users.isEmpty():
            location = run.lakehouse.location("models.user_vectors")
            raise InputError(f"table models.user_vectors at {location}", f"vectors of the model {name}", "none")
        models[name] = EmbeddingModel(name, users, items)
    return models


def load_vectors(run: Run, name: str, table: str) -> DataFrame:
    """One model's rows of models.user_vectors or models.item_vectors."""
    return run.lakehouse.read(f"models.{table}").where(F.col("model") == name).drop("model", "run_id")
