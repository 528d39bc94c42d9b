"""From fitted models to each listener's lists. Publishing and evaluation both call these, filters and fill included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError, TooLittleError
from musicrec.evaluation.baselines import artist_popular_lists, own_top_lists, popular_lists
from musicrec.io.runs import Run
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.knn.lists import knn_lists
from musicrec.models.neural.checkpoint import Weights
from musicrec.models.neural.ncf import NcfParams
from musicrec.models.neural.ncf_rerank import ncf_rerank
from musicrec.pipelines.settings import HYBRID, KNN, RANKER, RERANKER, USER_KNN, RecommendParams, Shelf
from musicrec.pipelines.training_data import TrainingData
from musicrec.ranking.blocks import with_blocked, without_blocked
from musicrec.ranking.diversity import diversify
from musicrec.ranking.fill import fill
from musicrec.ranking.fusion import HybridParams, fuse
from musicrec.ranking.topn import top_n

Lists = dict[str, DataFrame]
# (user_idx, items, ...) → (user_idx, items, scores) in a better order
Rerank = Callable[[DataFrame], DataFrame]


@dataclass(frozen=True)
class SecondStage:
    """A maker of lists from others' lists.

    Attributes
    ----------
    retrievers : whose lists it is given.
    order : these, by name → (user_idx, items, scores).
    """

    retrievers: tuple[str, ...]
    order: Callable[[Mapping[str, DataFrame]], DataFrame]


def candidate_lists(
    models: Mapping[str, EmbeddingModel],
    data: TrainingData,
    hybrid: HybridParams,
    shelf: Shelf,
    depth: int,
    wanted: str | None = None,
    rerank: Rerank | None = None,
    neighbours: DataFrame | None = None,
    user_neighbours: DataFrame | None = None,
    ranker: SecondStage | None = None,
) -> Lists:
    """Each model's, each baseline's and the hybrid's list of up to `depth` items, by name.

    Each is a DataFrame (user_idx, items array<int>, scores array<double>), best first, of the listeners of
    `data.heard`, without what they block. Only items that were played before `data.until` are offered. With `wanted`
    only that list is there.
    With `rerank` there is ALS's list in that order too, with `neighbours` (of items, as `fit_knn` gives them) kNN's,
    with `user_neighbours` that of alike listeners, and with `ranker` what it makes of others' lists. The hybrid is made
    of those of its members that are there; where none is, there is no hybrid.
    Lists that are read twice, by themselves and for the hybrid, are persisted.
    """
    makers = list_makers(models, data, shelf, depth, rerank, neighbours, user_neighbours)
    made: Lists = {}

    def of(name: str) -> DataFrame:
        if name not in made:
            made[name] = makers[name]() if wanted else makers[name]().persist()
        return made[name]

    if ranker is not None:
        second = ranker
        check_retrievers(second.retrievers, makers)
        makers[RANKER] = lambda: second.order({name: of(name) for name in second.retrievers})
    members = [name for name, weight in hybrid.weights.items() if weight > 0 and name in makers]
    if wanted and wanted != HYBRID:
        return {wanted: of(wanted)}
    lists = {name: of(name) for name in (members if wanted else list(makers))}
    if not members:
        return lists
    weights = {name: hybrid.weights[name] for name in members}
    fused = fuse({name: lists[name] for name in members}, hybrid.model_copy(update={"weights": weights}), depth)
    return {HYBRID: fused} if wanted else {**lists, HYBRID: fused}


def check_retrievers(names: Iterable[str], makers: Iterable[str], fitted: Iterable[str] = ()) -> None:
    """Raise where a ranker's retriever has no lists.

    Raises
    ------
    InputError : it is none of the models that the configuration has fitted.
    TooLittleError : it is one of `fitted`, but there was too little to fit it.
    """
    known = frozenset(makers)
    lacking = sorted(set(names) - known)
    if set(lacking) - set(fitted):
        raise InputError("ranker.retrievers", f"some of {', '.join(sorted(known))}", ", ".join(lacking))
    if lacking:
        raise TooLittleError("ranker", f"lists by each of ranker.retrievers, {', '.join(lacking)} too", "too little")


def list_makers(
    models: Mapping[str, EmbeddingModel],
    data: TrainingData,
    shelf: Shelf,
    depth: int,
    rerank: Rerank | None = None,
    neighbours: DataFrame | None = None,
    user_neighbours: DataFrame | None = None,
) -> dict[str, Callable[[], DataFrame]]:
    """What makes each model's and each baseline's lists, by name; arguments as of `candidate_lists`."""
    pairs, heard = data.interactions, with_blocked(data.heard, data.blocked, shelf)
    played = data.popular.select("item_idx")
    makers: dict[str, Callable[[], DataFrame]] = {
        name: partial(top_n, model, heard, depth, shelf, allowed_items=played) for name, model in models.items()
    }
    if rerank is not None and "als" in makers:
        of_als, in_order = makers["als"], rerank
        makers[RERANKER] = lambda: in_order(of_als())
    if neighbours is not None:
        own = pairs.join(heard.select("user_idx"), "user_idx", "left_semi")
        makers[KNN] = partial(knn_lists, neighbours, own, heard, depth, shelf)
    if user_neighbours is not None:
        makers[USER_KNN] = partial(knn_lists, user_neighbours, pairs, heard, depth, shelf)
    makers["popular"] = partial(popular_lists, data.popular, heard.select("user_idx"), heard, depth, shelf)
    makers["artist_popular"] = partial(artist_popular_lists, pairs, data.popular, data.items, heard, depth, shelf)
    if shelf == "again":
        makers["own_top"] = partial(own_top_lists, heard, depth, shelf)
    return makers


def ncf_order(run: Run, weights: Weights, params: NcfParams) -> Rerank:
    """Lists in the order of NCF's scores; what the network was not trained with comes last, as far below the lowest
    score as that is below the highest, and 1 more."""

    def rerank(lists: DataFrame) -> DataFrame:
        made = ncf_rerank(run.lakehouse.spark, weights, params, lists)
        lowest = F.array_min("scores")
        unknown = F.coalesce(2 * lowest - F.array_max("scores") - 1, F.lit(-1.0))
        # As an array, so that it is found once a list and not once an entry.
        below = F.array_repeat(unknown, F.size("scores"))
        return made.withColumn("scores", F.zip_with("scores", below, lambda score, floor: F.coalesce(score, floor)))

    return rerank


def filled_list(made: DataFrame, data: TrainingData, users: DataFrame, shelf: Shelf, n: int) -> DataFrame:
    """The first n of each list: (the columns of `users`, items, scores, filled array<boolean>).

    `made` and `users` have user_idx, and both or neither have model. On `discover` every listener of `users` gets n
    items, the missing ones from the popular, where the catalogue allows. On `again` nothing can be added that the
    listener has not played, so a list may be shorter.
    """
    made = without_blocked(made, data.blocked)
    if shelf == "again":
        first = [F.slice(column, 1, n).alias(column) for column in ("items", "scores")]
        kept = made.join(users, users.columns, "left_semi").select(*users.columns, *first)
        return kept.withColumn("filled", F.transform("items", lambda _: F.lit(False)))
    popular = data.popular.select("item_idx", popularity_score().alias("score"))
    return fill(made, users, popular, with_blocked(data.heard, data.blocked, shelf), n)


def spread_list(
    made: DataFrame,
    data: TrainingData,
    users: DataFrame,
    shelf: Shelf,
    params: RecommendParams,
    models: Mapping[str, EmbeddingModel],
    *,
    keep_rest: bool = False,
) -> DataFrame:
    """The first `params.n` of each list as they are published: (user_idx, items, scores, filled array<boolean>).

    By `params.diversity`, its missing places on `discover` filled from the popular under the same cap; on `again`
    nothing can be added. With `keep_rest` the rest of a list follows. What is blocked is in none.
    """
    popular = data.popular.select("item_idx", popularity_score().alias("score"))
    lists = users.select("user_idx").join(without_blocked(made, data.blocked), "user_idx", "left")
    taken = with_blocked(data.heard, data.blocked, shelf) if shelf == "discover" else None
    by = models.get(params.diversity.similarity)
    # Without the model that was to say what is alike, the artists do.
    spread = params.diversity if by else params.diversity.model_copy(update={"similarity": "artist"})
    return diversify(
        lists.select("user_idx", "items", "scores"),
        data.items,
        popular,
        taken,
        spread,
        params.n,
        vectors=by.item_vectors if by else None,
        keep_rest=keep_rest,
    )


def popularity_score() -> Column:
    """Listeners first, plays where they tie: one number that falls as popularity does."""
    return F.col("listeners") + F.col("plays") / (F.col("plays") + F.lit(1.0))


def unpersist(lists: Lists) -> None:
    """Release what `candidate_lists` keeps."""
    for made in lists.values():
        made.unpersist()
