"""Which items are alike: nearest neighbours over the matrix of listeners and, where asked for, by models' vectors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any, Literal

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError, TooLittleError
from musicrec.io.runs import Run, Stage
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.knn.fit import fit_knn
from musicrec.models.knn.matrix import KnnParams
from musicrec.params import Params
from musicrec.pipelines.earlier_models import has_settings
from musicrec.pipelines.publish import load_vectors, was_left_out
from musicrec.pipelines.settings import KNN
from musicrec.pipelines.training_data import TrainingData, training_data
from musicrec.ranking.topn import top_n
from musicrec.transforms.interactions import InteractionParams, ItemKind

# The rows of gold.similar_tracks that are replaced here; other jobs write others.
_OWN = "model IN ('knn', 'als', 'pca', 'lstm')"


class SimilarParams(Params):
    """What gold.similar_tracks holds beside the neighbours over the matrix.

    Attributes
    ----------
    models : trained models by whose vectors, too, each item's nearest are published: as many, by the cosine.
    refit_days : days from one set of neighbours to the next, which change slowly; between, the last ones stay.
    """

    models: tuple[Literal["als", "pca", "lstm"], ...] = ()
    refit_days: int = Field(default=1, ge=1)


def train_knn(
    run: Run, item: ItemKind, interaction: InteractionParams, params: KnnParams, similar: SimilarParams
) -> Stage:
    """Replace the neighbours by plays and vectors in gold.similar_tracks in one commit: each played item's nearest.

    They stand best first, under the name of each model. What other jobs write there stays. Where no listener has played
    two items the step counts as skipped, and there are no rows.

    Raises
    ------
    InputError, TableMissingError : no plays of this kind of item, or one of `similar.models` was never trained.
    """
    parts = {"interactions": interaction, "knn": params, "similar": similar}
    settings = {key: part.model_dump(mode="json") for key, part in parts.items()}
    kept = neighbours_that_stay(run, similar.refit_days, {"recommend.item": item, **settings}, _OWN)
    if kept:
        return kept
    data = training_data(run, item, interaction, read_often=False)
    played = data.interactions.select("item_idx").distinct()
    found = {KNN: fit_knn(data.interactions, params)}
    for name in similar.models:
        vectors = _item_vectors(run, name)
        if vectors is not None:
            found[name] = vector_neighbours(vectors.join(played, "item_idx", "left_semi"), params.k)
    rows = [_rows(neighbours, data).withColumn("model", F.lit(name)) for name, neighbours in found.items()]
    marks = {"as_of": F.lit(run.day), "run_id": F.lit(run.run_id)}
    made = reduce(DataFrame.unionByName, rows).withColumns(marks)
    # In the order of items, so that an app that asks for one reads few row groups.
    ordered = made.repartitionByRange("item").sortWithinPartitions("item", "model", "rank")
    run.lakehouse.overwrite("gold.similar_tracks", ordered, where=_OWN)
    written = run.lakehouse.read("gold.similar_tracks").where(_OWN)
    counts = written.agg(F.count("*"), F.count_distinct("item")).collect()[0]
    items = played.count()
    run.metric("items_with_neighbours", counts[1])
    pairs = data.interactions.count()
    if not counts[0]:
        why = TooLittleError("knn", "items that share a listener", f"{items:,} items, none that do")
        return Stage(pairs, 0, str(why), is_skipped=True)
    return Stage(pairs, counts[0], f"{counts[1]:,} of {items:,} items have neighbours")


def neighbours_that_stay(run: Run, refit_days: int, settings: Mapping[str, Any], own: str) -> Stage | None:
    """What an earlier night's job found with these settings, where that stays for tonight; None where it does not.

    A night that is run again finds them again. `own` is the condition on gold.similar_tracks of the job's rows.
    """
    lake, name = run.lakehouse, "gold.similar_tracks"
    if refit_days == 1 or not lake.exists(name):
        return None
    rows = lake.read(name, is_input=False).where(own).groupBy("as_of", "run_id").agg(F.count("*").alias("n")).collect()
    if len(rows) != 1 or not 1 <= (run.day - rows[0].as_of).days < refit_days:
        return None
    if not has_settings(run, rows[0].run_id, run.job, settings):
        return None
    return Stage(0, rows[0].n, f"the neighbours of {rows[0].as_of} stay")


def vector_neighbours(item_vectors: DataFrame, k: int) -> DataFrame:
    """The k items with the highest cosine to each item, itself left out, exactly.

    Parameters
    ----------
    item_vectors : DataFrame (item_idx int, vector array<float>), one row per item.

    Returns
    -------
    DataFrame (item_idx int, neighbours array<int>, scores array<double>), best first.
    """
    unbiased = item_vectors.select("item_idx", "vector", F.lit(0.0).cast("float").alias("bias"))
    asking = item_vectors.select(F.col("item_idx").alias("user_idx"), "vector")
    itself = item_vectors.select(F.col("item_idx").alias("user_idx"), "item_idx")
    lists = top_n(EmbeddingModel("items", asking, unbiased), itself, k, "discover", metric="cosine")
    return lists.select(F.col("user_idx").alias("item_idx"), F.col("items").alias("neighbours"), "scores")


def _item_vectors(run: Run, name: str) -> DataFrame | None:
    """Of a trained model; None where there was too little for it."""
    vectors = load_vectors(run, name, "item_vectors")
    if vectors.isEmpty():
        if was_left_out(run, name):
            run.log.warning("similar: left out", model=name)
            return None
        location = run.lakehouse.location("models.item_vectors")
        raise InputError(f"table models.item_vectors at {location}", f"vectors of the model {name}", "none")
    return vectors


def _rows(neighbours: DataFrame, data: TrainingData) -> DataFrame:
    """(item, rank, similar, title, artist, score): one row per neighbour, with its names."""
    ranked = ranked_entries(neighbours)
    asked = data.items.select("item_idx", F.col("item_id").alias("item"))
    offered = data.items.select(
        F.col("item_idx").alias("similar_idx"), F.col("item_id").alias("similar"), "title", "artist"
    )
    named = ranked.join(asked, "item_idx", "inner").join(offered, "similar_idx", "inner")
    return named.select("item", "rank", "similar", "title", "artist", "score")


def ranked_entries(neighbours: DataFrame) -> DataFrame:
    """(item_idx, rank, similar_idx, score) of (item_idx, neighbours array<int>, scores array<double>)."""
    entries = F.posexplode(F.arrays_zip("neighbours", "scores")).alias("place", "entry")
    return neighbours.select("item_idx", entries).select(
        "item_idx",
        (F.col("place") + 1).alias("rank"),
        F.col("entry.neighbours").alias("similar_idx"),
        F.col("entry.scores").alias("score"),
    )
