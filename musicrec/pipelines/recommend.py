"""Write each listener's lists to gold.recommendations."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.io.runs import Run, Stage
from musicrec.pipelines.lists import candidate_lists, filled_list, unpersist
from musicrec.pipelines.settings import EMBEDDING_MODELS, SHELVES, RecommendParams, Shelf, ShelfHybrids
from musicrec.pipelines.train import load_models
from musicrec.pipelines.training_data import TrainingData, training_data
from musicrec.ranking.explain import explain_again, explain_discover
from musicrec.transforms.interactions import InteractionParams

# The model whose item vectors say which of a listener's artists stand behind an offer.
_EXPLAINED_BY = "pca"


def recommend(run: Run, interaction: InteractionParams, params: RecommendParams, hybrids: ShelfHybrids) -> Stage:
    """Replace the day's rows of gold.recommendations, all shelves at once, by what the newest models say."""
    models = load_models(run, EMBEDDING_MODELS)
    data = training_data(run, params.item, interaction)
    shelves = []
    for shelf in SHELVES:
        lists = candidate_lists(models, data, hybrids.of(shelf), shelf, max(params.depth, params.n))
        chosen = params.discover if shelf == "discover" else params.again
        shelves.append(
            _rows(lists[chosen], chosen, models[_EXPLAINED_BY].item_vectors, data, shelf, params.n).persist()
        )
        shelves[-1].count()
        unpersist(lists)
    rows = shelves[0].unionByName(shelves[1]).withColumns({"as_of": F.lit(run.day), "run_id": F.lit(run.run_id)})
    # In the order of listeners, so that an app that asks for one reads few row groups.
    rows = rows.repartitionByRange("user_id").sortWithinPartitions("user_id", "shelf", "rank")
    run.lakehouse.overwrite("gold.recommendations", rows, where=f"as_of = '{run.day}'")
    written = run.lakehouse.read("gold.recommendations").where(F.col("as_of") == F.lit(run.day))
    listeners, rows_out, filled = written.agg(
        F.count_distinct("user_id"),
        F.count("*"),
        F.count_if((F.col("model") == "popular") & (params.discover != "popular")),
    ).collect()[0]
    run.metric("listeners", listeners)
    run.metric("rows_filled", filled)
    for made in shelves:
        made.unpersist()
    return Stage(data.users.count(), rows_out, f"{listeners:,} listeners, {filled:,} rows filled from the popular")


def _rows(made: DataFrame, name: str, item_vectors: DataFrame, data: TrainingData, shelf: Shelf, n: int) -> DataFrame:
    """(shelf, user_id, rank, item, title, artist, score, model, reason) of one shelf."""
    lists = filled_list(made, data, data.users.select("user_idx"), shelf, n)
    ranked = lists.select("user_idx", F.posexplode(F.arrays_zip("items", "scores", "filled")).alias("place", "pick"))
    ranked = ranked.select(
        "user_idx",
        (F.col("place") + 1).alias("rank"),
        F.col("pick.items").alias("item_idx"),
        F.col("pick.scores").alias("score"),
        F.col("pick.filled").alias("filled"),
    )
    if shelf == "discover":
        reasoned = explain_discover(ranked, data.interactions, item_vectors, data.items)
    else:
        reasoned = explain_again(ranked, data.interactions)
    named = reasoned.join(data.items, "item_idx", "inner").join(data.users, "user_idx", "inner")
    model = F.when(F.col("filled"), F.lit("popular")).otherwise(F.lit(name))
    return named.select(
        F.lit(shelf).alias("shelf"),
        "user_id",
        "rank",
        F.col("item_id").alias("item"),
        "title",
        "artist",
        F.round("score", 6).alias("score"),
        model.alias("model"),
        "reason",
    )
