"""Write each listener's lists to gold.recommendations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.io.runs import Run, Stage
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.knn.fit import fit_knn
from musicrec.pipelines.context import shelves_by_part
from musicrec.pipelines.fresh import fresh_rows
from musicrec.pipelines.lists import Rerank, SecondStage, candidate_lists, filled_list, spread_list
from musicrec.pipelines.publish import content_if_published, load_models, load_neighbours, load_reranker
from musicrec.pipelines.ranking import RankerJob, Retrieval, content_vectors, load_ranker
from musicrec.pipelines.settings import (
    EMBEDDING_MODELS,
    HYBRID,
    KNN,
    RANKER,
    RERANKER,
    SHELVES,
    NeuralParams,
    RecommendParams,
    Shelf,
    ShelfHybrids,
)
from musicrec.pipelines.training_data import TrainingData, training_data
from musicrec.ranking.explain import explain_again, explain_discover
from musicrec.ranking.fusion import HybridParams
from musicrec.transforms.interactions import InteractionParams

# The model whose item vectors say which of a listener's artists stand behind an offer.
_EXPLAINED_BY = "pca"

# Files of a night's lists, for each core.
_PARTS_A_CORE = 4


def recommend(
    run: Run,
    interaction: InteractionParams,
    params: RecommendParams,
    hybrids: ShelfHybrids,
    neural: NeuralParams,
    files: Path,
    ranker: RankerJob,
) -> Stage:
    """Replace the day's rows of gold.recommendations, all shelves at once, by what the newest models say."""
    data = training_data(run, params.item, interaction)
    trained = _trained(run, data, params, hybrids, neural, files, ranker)
    parts = run.lakehouse.spark.sparkContext.defaultParallelism * _PARTS_A_CORE
    users = _in_ranges(data.users, parts).persist()
    shelves = [made for shelf in SHELVES for made in _shelves(trained, data, users, shelf, params, hybrids.of(shelf))]
    # Joined and ordered a list at a time, not a row at a time; in the order of listeners, so that an app that asks for
    # one reads few row groups.
    lists = reduce(DataFrame.unionByName, shelves).join(users, "user_idx", "inner")
    rows = _rows(lists.repartition(parts, "part").sortWithinPartitions("user_id", "shelf"), data.items)
    fresh = None
    if params.item == "recording":
        cap = params.diversity.cap(params.fresh)
        fresh = fresh_rows(run, trained.vectors["als"], data, users, params.fresh, cap)
    rows = rows if fresh is None else rows.unionByName(fresh)
    rows = rows.withColumns({"as_of": F.lit(run.day), "run_id": F.lit(run.run_id)})
    run.lakehouse.overwrite("gold.recommendations", rows, where=f"as_of = '{run.day}'")
    written = run.lakehouse.read("gold.recommendations").where(F.col("as_of") == F.lit(run.day))
    listeners, rows_out, filled = written.agg(
        # Each of a listener's lists has one first place, so few rows are told apart.
        F.count_distinct(F.when(F.col("rank") == 1, F.col("user_id"))),
        F.count("*"),
        F.count_if((F.col("model") == "popular") & (params.discover != "popular")),
    ).collect()[0]
    run.metric("listeners", listeners)
    run.metric("rows_filled", filled)
    users.unpersist()
    return Stage(data.users.count(), rows_out, f"{listeners:,} listeners, {filled:,} rows filled from the popular")


@dataclass(frozen=True)
class _Trained:
    """The newest models, and what makes lists beside them where a shelf needs it."""

    vectors: Mapping[str, EmbeddingModel]
    rerank: Rerank | None
    neighbours: DataFrame | None
    alike: DataFrame | None
    stage: SecondStage | None


def _trained(
    run: Run,
    data: TrainingData,
    params: RecommendParams,
    hybrids: ShelfHybrids,
    neural: NeuralParams,
    files: Path,
    ranker: RankerJob,
) -> _Trained:
    vectors = load_models(run, (*EMBEDDING_MODELS, *neural.embeddings, *content_if_published(run)))
    rerank = load_reranker(run, files) if RERANKER in neural.models else None
    by_ranker = _uses(RANKER, params, hybrids, "discover")
    by_knn = by_ranker or any(_uses(KNN, params, hybrids, shelf) for shelf in SHELVES)
    neighbours = load_neighbours(run, data.items) if by_knn else None
    alike = fit_knn(data.interactions, ranker.fits.knn, "user") if by_ranker and ranker.params.with_users else None
    stage = None
    if by_ranker:
        content = content_vectors(run, data, params.item)
        stage = Retrieval(data, neighbours, content, ranker).stage(load_ranker(ranker, files))
    return _Trained(vectors, rerank, neighbours, alike, stage)


def _shelves(
    trained: _Trained,
    data: TrainingData,
    users: DataFrame,
    shelf: Shelf,
    params: RecommendParams,
    hybrid: HybridParams,
) -> list[DataFrame]:
    """(user_idx, items, scores, filled, reasons, shelf, model) of a shelf, and of its parts of the day."""
    chosen = params.of(shelf)
    needs_more = chosen in (HYBRID, RANKER) or params.diversity.changes_lists
    depth = max(params.depth, params.n) if needs_more else params.n
    second = trained.stage if shelf == "discover" else None
    beside = (trained.rerank, trained.neighbours, trained.alike, second)
    made = candidate_lists(trained.vectors, data, hybrid, shelf, depth, chosen, *beside)[chosen]
    named: dict[str, DataFrame] = {shelf: made}
    if shelf == "discover" and params.context.enabled:
        named |= shelves_by_part(made.persist(), data, params.context)
    shelves = []
    for name, lists in named.items():
        listed = users if name == shelf else users.join(lists, "user_idx", "left_semi")
        reasoned = _reasoned(lists, trained.vectors, data, listed, shelf, params)
        shelves.append(reasoned.withColumns({"shelf": F.lit(name), "model": F.lit(chosen)}))
    return shelves


def _uses(name: str, params: RecommendParams, hybrids: ShelfHybrids, shelf: Shelf) -> bool:
    """Whether a shelf's lists are made of this model's."""
    chosen = params.of(shelf)
    return chosen == name or (chosen == HYBRID and hybrids.of(shelf).weights.get(name, 0.0) > 0)


def _in_ranges(users: DataFrame, parts: int) -> DataFrame:
    """(user_idx, user_id, part): listeners with neighbouring ids have one `part`."""
    ranged = users.select("user_idx", "user_id").repartitionByRange(parts, "user_id")
    return ranged.withColumn("part", F.spark_partition_id())


def _reasoned(
    made: DataFrame,
    models: Mapping[str, EmbeddingModel],
    data: TrainingData,
    users: DataFrame,
    shelf: Shelf,
    params: RecommendParams,
) -> DataFrame:
    """(user_idx, items, scores, filled, reasons) of one shelf, the arrays side by side."""
    if params.diversity.changes_lists:
        lists = spread_list(made, data, users, shelf, params, models)
    else:
        lists = filled_list(made, data, users.select("user_idx"), shelf, params.n)
    if shelf == "discover":
        return explain_discover(lists, data.heard, models[_EXPLAINED_BY].item_vectors, data.items, data.popular)
    return explain_again(lists, data.heard, data.popular)


def _rows(lists: DataFrame, items: DataFrame) -> DataFrame:
    """(shelf, user_id, rank, item, title, artist, score, model, reason), in the order of the lists."""
    picks = F.posexplode(F.arrays_zip("items", "scores", "filled", "reasons")).alias("place", "pick")
    ranked = lists.select("shelf", "user_id", "model", picks).select("shelf", "user_id", "model", "place", "pick.*")
    named = ranked.join(F.broadcast(items), F.col("items") == F.col("item_idx"), "inner")
    return named.select(
        "shelf",
        "user_id",
        (F.col("place") + 1).alias("rank"),
        F.col("item_id").alias("item"),
        "title",
        "artist",
        F.col("scores").alias("score"),
        F.when(F.col("filled"), F.lit("popular")).otherwise(F.col("model")).alias("model"),
        F.col("reasons").alias("reason"),
    )
