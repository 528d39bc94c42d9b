"""Judge every model on listens it has not seen: train before a time, test after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import TooLittleError
from musicrec.evaluation.enough import check_enough
from musicrec.evaluation.leaks import check_no_leak
from musicrec.evaluation.splits import relevant_items, split_at, with_candidates
from musicrec.evaluation.summary import EvaluationParams, summarise
from musicrec.io.runs import Run, Stage
from musicrec.models.ranker.params import RankerParams
from musicrec.pipelines.lists import (
    SecondStage,
    candidate_lists,
    check_retrievers,
    filled_list,
    spread_list,
    unpersist,
)
from musicrec.pipelines.model_fits import ModelFits
from musicrec.pipelines.models_at import ModelsAt, models_at
from musicrec.pipelines.ranking import RankerJob, stage_at
from musicrec.pipelines.settings import PUBLISHED, RANKER, SHELVES, EvaluateParams, RecommendParams, Shelf, ShelfHybrids
from musicrec.pipelines.training_data import TrainingData, midnight, training_data
from musicrec.ranking.fusion import HybridParams
from musicrec.schemas import TABLES
from musicrec.transforms.interactions import InteractionParams, heard_items, indexed_plays


def evaluate(
    run: Run,
    interaction: InteractionParams,
    fits: ModelFits,
    hybrids: ShelfHybrids,
    offered: RecommendParams,
    params: EvaluateParams,
    files: Path,
    ranker: RankerParams,
) -> Stage:
    """Replace the day's rows of gold.evaluation; there are none where there is too little to judge by.

    The last `params.test_days` are the test. Judged are the models that the night before published, where it ended at
    the split with the same settings: what they say was said before the test was played. Next-track models are, on a
    first night, those that chose the number of epochs, where the held-out days are the test: they are of before the
    split, and stand as after the last epoch that was planned, whichever the test said was best. Of others, models are
    fitted on what lies before the split by the code that fits the published ones. Their lists, up to `offered.depth`
    long as the published ones are fused from, pass the same filters and fill. `published` is judged too: the list that
    is published, its first places spread over artists as there. Only listeners of the test get lists.

    Raises
    ------
    LeakError : a test listen is among the training rows.
    """
    lake = run.lakehouse
    split = midnight(run.day) - timedelta(days=params.test_days)
    listens = lake.read("silver.listens")
    try:
        check_enough(listens, split, midnight(run.day), "evaluate")
        data = training_data(run, offered.item, interaction, until=split)
    except TooLittleError as error:
        _forget(run)
        return Stage(0, 0, str(error), is_skipped=True)
    return _judged(run, data, interaction, fits, hybrids, offered, params, files, ranker)


def _forget(run: Run) -> None:
    """Remove what an earlier run of the night said."""
    lake, today = run.lakehouse, f"as_of = '{run.day}'"
    if not lake.read_or_empty("gold.evaluation").where(today).isEmpty():
        none = lake.spark.createDataFrame([], TABLES["gold.evaluation"].schema)
        lake.overwrite("gold.evaluation", none, where=today)


def _judged(
    run: Run,
    data: TrainingData,
    interaction: InteractionParams,
    fits: ModelFits,
    hybrids: ShelfHybrids,
    offered: RecommendParams,
    params: EvaluateParams,
    files: Path,
    ranker: RankerParams,
) -> Stage:
    lake, item, depth, split = run.lakehouse, offered.item, offered.depth, data.until
    _, test = split_at(lake.read("silver.listens"), split)
    check_no_leak(data.plays, test)
    tested = sample_listeners(
        run, indexed_plays(test, item).select("user_idx", "item_idx"), params.max_listeners
    ).persist()
    listeners = tested.select("user_idx").distinct().persist()
    folder = files / "evaluate"
    job = RankerJob(item, interaction, fits, ranker, depth, folder / RANKER)
    with_users = job.params.enabled and job.params.with_users
    models = models_at(run, data, item, interaction, fits, folder, with_users=with_users, tonight=files).of(listeners)
    own = replace(data, heard=heard_items(data.interactions.join(listeners, "user_idx", "left_semi")).persist())
    stage = _ranker_then(run, own, models, job) if job.params.enabled else None
    scores = [_judge(run, models, own, tested, hybrids.of(shelf), shelf, params, stage, offered) for shelf in SHELVES]
    rows = reduce(DataFrame.unionByName, scores)
    marks = {"as_of": F.lit(run.day), "run_id": F.lit(run.run_id), "split_at": F.lit(split)}
    lake.overwrite("gold.evaluation", rows.withColumns(marks), where=f"as_of = '{run.day}'")
    written = lake.read("gold.evaluation").where(F.col("as_of") == F.lit(run.day)).count()
    note = f"trained before {split:%Y-%m-%d %H:%M}, {listeners.count():,} listeners tested from then on"
    return Stage(tested.count(), written, note)


def _ranker_then(run: Run, data: TrainingData, models: ModelsAt, job: RankerJob) -> SecondStage | None:
    """The ranker at the split; None, and a line in the log, where there was too little to learn from."""
    try:
        check_retrievers(job.params.retrievers, models.listed, job.fitted)
        return stage_at(run, data, models, job)
    except TooLittleError as error:
        run.log.warning("evaluate: no ranker", reason=str(error))
        return None


def sample_listeners(run: Run, tested: DataFrame, most: int) -> DataFrame:
    """The plays of at most `most` listeners, drawn by hash; of all for 0."""
    listeners = tested.select("user_idx").distinct()
    count = listeners.count() if most else 0
    if count <= most:
        return tested
    run.log.info("evaluate: a sample of the listeners", listeners=most, of=count)
    drawn = listeners.orderBy(F.xxhash64(F.lit(run.seed), "user_idx"), "user_idx").limit(most)
    return tested.join(drawn, "user_idx", "left_semi")


def _judge(
    run: Run,
    models: ModelsAt,
    data: TrainingData,
    tested: DataFrame,
    hybrid: HybridParams,
    shelf: Shelf,
    params: EvaluateParams,
    ranker: SecondStage | None,
    offered: RecommendParams,
) -> DataFrame:
    """(shelf, model, metric, k, value, low, high, listeners) of one shelf."""
    depth = offered.depth
    relevant = relevant_items(tested, data.heard, shelf)
    catalogue = played_catalogue(data).persist()
    judged = with_candidates(relevant, data.heard, catalogue, shelf).persist()
    lists = candidate_lists(
        models.vectors,
        data,
        hybrid,
        shelf,
        depth,
        rerank=models.rerank,
        neighbours=models.neighbours,
        user_neighbours=models.user_neighbours,
        ranker=ranker if shelf == "discover" else None,
    )
    if offered.of(shelf) in lists:
        chosen = lists[offered.of(shelf)]
        lists[PUBLISHED] = spread_list(chosen, data, relevant, shelf, offered, models.vectors, keep_rest=True)
    names = run.lakehouse.spark.createDataFrame([(name,) for name in sorted(lists)], "model string")
    made = [rows.select(F.lit(name).alias("model"), "user_idx", "items", "scores") for name, rows in lists.items()]
    of_all = reduce(DataFrame.unionByName, made)
    everyone = judged.select("user_idx").crossJoin(F.broadcast(names))
    filled = filled_list(of_all, data, everyone, shelf, depth).select("model", "user_idx", "items")
    metrics = EvaluationParams(ks=params.ks, bootstrap=params.bootstrap)
    scores = summarise(filled, judged, catalogue, metrics, run.seed, models=sorted(lists))
    unpersist(lists)
    for kept in (judged, catalogue):
        kept.unpersist()
    return scores.withColumn("shelf", F.lit(shelf))


def played_catalogue(data: TrainingData) -> DataFrame:
    """(item_idx, plays, artist_idx) of the items played in training."""
    plays = data.popular.select("item_idx", "plays")
    return plays.join(data.items.select("item_idx", "artist_idx"), "item_idx", "left")
