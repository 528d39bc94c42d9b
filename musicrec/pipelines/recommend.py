"""Write each listener's lists to gold.recommendations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.runs import Run, Stage
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.knn.fit import fit_knn
from musicrec.pipelines.context import shelves_by_part
from musicrec.pipelines.fresh import fresh_rows
from musicrec.pipelines.lists import SecondStage, candidate_lists, filled_list, spread_list
from musicrec.pipelines.models_at import ModelsAt
from musicrec.pipelines.publish import load_if_there, load_models, load_neighbours, load_reranker, was_left_out
from musicrec.pipelines.ranking import RankerJob, Retrieval, content_vectors, load_ranker
from musicrec.pipelines.settings import (
    BASELINES,
    HYBRID,
    KNN,
    RANKER,
    RERANKER,
    SHELVES,
    USER_KNN,
    RecommendParams,
    Shelf,
    ShelfHybrids,
    models_of_list,
    models_of_lists,
)
from musicrec.pipelines.training_data import TrainingData, training_data
from musicrec.ranking.explain import explain_again, explain_discover
from musicrec.ranking.fusion import HybridParams
from musicrec.transforms.interactions import InteractionParams

# The model whose item vectors say which of a listener's artists stand behind an offer: the first that is there.
_EXPLAINED_BY = ("pca", "als", "lstm")

# Files of a night's lists, for each core.
_PARTS_A_CORE = 4


def recommend(
    run: Run,
    interaction: InteractionParams,
    params: RecommendParams,
    hybrids: ShelfHybrids,
    files: Path,
    ranker: RankerJob,
) -> Stage:
    """Replace the day's rows of gold.recommendations, all shelves at once, by what the newest models say.

    A model that there was too little for is left out: a hybrid is made of the others, and where none is left, lists
    are what most listeners play.

    Raises
    ------
    InputError : a model that lists are to be made of was never trained.
    """
    data = training_data(run, params.item, interaction)
    trained = _trained(run, data, params, hybrids, files, ranker)
    parts = run.lakehouse.spark.sparkContext.defaultParallelism * _PARTS_A_CORE
    users = _in_ranges(data.users, parts).persist()
    shelves = [
        made for shelf in SHELVES for made in _shelves(run, trained, data, users, shelf, params, hybrids.of(shelf))
    ]
    # Joined and ordered a list at a time, not a row at a time; in the order of listeners, so that an app that asks for
    # one reads few row groups.
    lists = reduce(DataFrame.unionByName, shelves).join(users, "user_idx", "inner")
    rows = _rows(lists.repartition(parts, "part").sortWithinPartitions("user_id", "shelf"), data.items)
    fresh = None
    als = trained.models.vectors.get("als")
    if params.item == "recording" and als is not None:
        cap = params.diversity.cap(params.fresh)
        fresh = fresh_rows(run, als, data, users, params.fresh, cap)
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
    """The newest models that lists are made of, and the ranker where one is to be asked."""

    models: ModelsAt
    stage: SecondStage | None

    def published(self, run: Run, shelf: Shelf, params: RecommendParams, hybrid: HybridParams) -> str:
        """The list to publish: the configured one, else the hybrid, else what most play, of what there is."""
        there = self.models.listed | ({"own_top"} if shelf == "again" else {RANKER} if self.stage else set())
        members = {name for name, weight in hybrid.weights.items() if weight > 0}
        there |= {HYBRID} if members & there else set()
        wanted = params.of(shelf)
        chosen = next(name for name in (wanted, HYBRID, "popular") if name in there)
        lacking = sorted((members if wanted == HYBRID else {wanted}) - there)
        if lacking:
            run.log.warning("recommend: lists without some models", shelf=shelf, lacking=lacking, list=chosen)
        return chosen


def _trained(
    run: Run,
    data: TrainingData,
    params: RecommendParams,
    hybrids: ShelfHybrids,
    files: Path,
    ranker: RankerJob,
) -> _Trained:
    used = models_of_lists(params, hybrids, ranker.params)
    vectors = load_models(run, sorted(used - {KNN, USER_KNN, RANKER, RERANKER, *BASELINES}))
    vectors |= load_if_there(run, {*_EXPLAINED_BY, params.diversity.similarity} - {"artist", *vectors})
    rerank = load_reranker(run, files) if RERANKER in used else None
    neighbours = load_neighbours(run, data.items) if KNN in used else None
    by_ranker = RANKER in models_of_list(params.discover, hybrids.discover, ranker.params)
    alike = fit_knn(data.interactions, ranker.fits.knn, "user") if by_ranker and ranker.params.with_users else None
    models = ModelsAt(vectors, neighbours, rerank, alike)
    return _Trained(models, _stage(run, data, params, models, files, ranker) if by_ranker else None)


def _stage(
    run: Run, data: TrainingData, params: RecommendParams, models: ModelsAt, files: Path, ranker: RankerJob
) -> SecondStage | None:
    """The ranker as the newest training left it; None where there was too little for it or its retrievers."""
    try:
        model = load_ranker(ranker, files)
    except InputError:
        if was_left_out(run, RANKER):
            return None
        raise
    if not models.listed >= {*model.retrievers}:
        return None
    content = content_vectors(run, data, params.item)
    return Retrieval(data, models.neighbours, content, ranker).stage(model)


def _shelves(
    run: Run,
    trained: _Trained,
    data: TrainingData,
    users: DataFrame,
    shelf: Shelf,
    params: RecommendParams,
    hybrid: HybridParams,
) -> list[DataFrame]:
    """(user_idx, items, scores, filled, reasons, shelf, model) of a shelf, and of its parts of the day."""
    chosen, models = trained.published(run, shelf, params, hybrid), trained.models
    needs_more = chosen in (HYBRID, RANKER) or params.diversity.changes_lists
    depth = max(params.depth, params.n) if needs_more else params.n
    second = trained.stage if shelf == "discover" else None
    beside = (models.rerank, models.neighbours, models.user_neighbours, second)
    made = candidate_lists(models.vectors, data, hybrid, shelf, depth, chosen, *beside)[chosen]
    named: dict[str, DataFrame] = {shelf: made}
    if shelf == "discover" and params.context.enabled:
        named |= shelves_by_part(made.persist(), data, params.context)
    shelves = []
    for name, lists in named.items():
        listed = users if name == shelf else users.join(lists, "user_idx", "left_semi")
        reasoned = _reasoned(lists, models.vectors, data, listed, shelf, params)
        shelves.append(reasoned.withColumns({"shelf": F.lit(name), "model": F.lit(chosen)}))
    return shelves


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
        speaking = next((models[name].item_vectors for name in _EXPLAINED_BY if name in models), None)
        if speaking is None:
            speaking = users.sparkSession.createDataFrame([], "item_idx int, vector array<float>, bias float")
        return explain_discover(lists, data.heard, speaking, data.items, data.popular)
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
