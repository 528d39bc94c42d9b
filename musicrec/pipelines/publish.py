"""Trained models as tables: published by the training jobs, loaded by the jobs that make lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError, TooLittleError
from musicrec.io.artifacts import load_model
from musicrec.io.run_log import was_skipped
from musicrec.io.runs import Run, Stage
from musicrec.models.content import CONTENT
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.neural.ncf import NcfParams
from musicrec.params import Params
from musicrec.pipelines.earlier_models import job_of
from musicrec.pipelines.lists import Rerank, ncf_order
from musicrec.pipelines.settings import KNN, RERANKER
from musicrec.pipelines.telling import check_tells_apart
from musicrec.schemas import TABLES


def publish(
    run: Run,
    model: EmbeddingModel,
    params: Params,
    rows_in: int,
    files: str,
    *,
    pairs: DataFrame | None = None,
    places: int = 20,
) -> Stage:
    """Replace the model's vectors and register it with the Delta versions of what it was made from.

    Parameters
    ----------
    pairs : DataFrame (user_idx, item_idx, weight) of what it learnt from; None where what it can tell apart is its
        items' vectors.
    places : of a published list.

    Raises
    ------
    DegenerateModelError : its scores cannot tell items apart; nothing was written.
    """
    check_tells_apart(model, params, pairs, places)
    lake = run.lakehouse
    marks = {"model": F.lit(model.name), "run_id": F.lit(run.run_id)}
    where = f"model = '{model.name}'"
    users = lake.overwrite("models.user_vectors", model.user_vectors.withColumns(marks), where=where)
    items = lake.overwrite("models.item_vectors", model.item_vectors.withColumns(marks), where=where)
    for name, value in model.figures.items():
        run.metric(name, value, model=model.name)
    register(run, model.name, params, files, model.figures, users, items)
    vectors = [load_vectors(run, model.name, table).select("vector") for table in ("user_vectors", "item_vectors")]
    return Stage(rows_in, vectors[0].union(vectors[1]).count(), model.name)


def register(
    run: Run,
    name: str,
    params: Params,
    files: str,
    figures: Mapping[str, float],
    users: int | None = None,
    items: int | None = None,
) -> None:
    """Add a model to ops.models, with the Delta versions of its inputs and, where it has them, of its vectors."""
    inputs = {table: version for table, version in run.lakehouse.versions_read.items() if table.startswith("silver.")}
    settings = json.dumps(params.model_dump(mode="json"), sort_keys=True)
    marks = (name, run.run_id, run.now, run.day, run.seed, settings)
    run.lakehouse.append_rows("ops.models", [(*marks, inputs, users, items, files, dict(figures))])


def published_or_left_out(run: Run, name: str, made: Callable[[], Stage]) -> Stage:
    """What a training job ends with; where there was too little to fit the model on, `withdraw` has removed it."""
    try:
        return made()
    except TooLittleError as error:
        withdraw(run, name)
        return Stage(0, 0, str(error), is_skipped=True)


def withdraw(run: Run, name: str) -> None:
    """Remove a model's vectors: those of an earlier night would be taken for tonight's."""
    lake = run.lakehouse
    for table in ("models.user_vectors", "models.item_vectors"):
        if not load_vectors(run, name, table.partition(".")[2]).isEmpty():
            none = lake.spark.createDataFrame([], TABLES[table].schema)
            lake.overwrite(table, none, where=f"model = '{name}'")


def load_models(run: Run, names: Iterable[str]) -> dict[str, EmbeddingModel]:
    """The newest trained models, by name; those that there was too little for are not there.

    Raises
    ------
    InputError : one of them was never trained.
    """
    names = list(names)
    models = load_if_there(run, names)
    for name in names:
        if name not in models and not was_left_out(run, name):
            location = run.lakehouse.location("models.user_vectors")
            raise InputError(f"table models.user_vectors at {location}", f"vectors of the model {name}", "none")
    return models


def load_if_there(run: Run, names: Iterable[str]) -> dict[str, EmbeddingModel]:
    """Those of the newest trained models that have vectors, by name."""
    found = {}
    for name in names:
        users, items = (load_vectors(run, name, table).persist() for table in ("user_vectors", "item_vectors"))
        if not users.isEmpty():
            found[name] = EmbeddingModel(name, users, items)
    return found


def was_left_out(run: Run, name: str) -> bool:
    """Whether a model may lack vectors: its job was skipped, or no track with features was played."""
    return name == CONTENT or was_skipped(run.lakehouse, job_of(name))


def load_vectors(run: Run, name: str, table: str) -> DataFrame:
    """One model's rows of models.user_vectors or models.item_vectors."""
    return run.lakehouse.read_or_empty(f"models.{table}").where(F.col("model") == name).drop("model", "run_id")


def load_neighbours(run: Run, items: DataFrame, version: int | None = None) -> DataFrame | None:
    """Each item's nearest neighbours from gold.similar_tracks, as `fit_knn` gave them; None where there was too little.

    Parameters
    ----------
    items : DataFrame (item_idx, item_id) of the kind of item that they were found for.
    version : of the table; the newest where None.

    Raises
    ------
    InputError : they were never found.
    """
    table, lake = "gold.similar_tracks", run.lakehouse
    newest = version is None
    rows = lake.read_or_empty(table) if newest else lake.read(table, version, is_input=False)
    rows = rows.where(F.col("model") == KNN)
    if rows.isEmpty():
        if was_left_out(run, KNN):
            return None
        raise InputError(f"table {table} at {run.lakehouse.location(table)}", "neighbours by the model knn", "none")
    asked = items.select("item_idx", F.col("item_id").alias("item"))
    similar = items.select(F.col("item_idx").alias("similar_idx"), F.col("item_id").alias("similar"))
    pairs = (
        rows.select("item", "similar", "rank", "score").join(asked, "item", "inner").join(similar, "similar", "inner")
    )
    entries = F.array_sort(F.collect_list(F.struct("rank", "similar_idx", "score"))).alias("entries")
    lists = pairs.groupBy("item_idx").agg(entries)
    return lists.select(
        "item_idx", F.col("entries.similar_idx").alias("neighbours"), F.col("entries.score").alias("scores")
    )


def load_reranker(run: Run, files: Path) -> Rerank | None:
    """NCF as the newest training left it; None where there was too little.

    Raises
    ------
    InputError : it was never trained.
    """
    folder = files / RERANKER / "model"
    if not folder.is_dir() and was_left_out(run, RERANKER):
        return None
    weights, facts = load_model(folder)
    return ncf_order(run, weights, NcfParams.model_validate(facts["model"]))
