"""Judge every model on listens it has not seen: train before a time, test after it."""

from __future__ import annotations

from datetime import timedelta
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.evaluation.leaks import check_no_leak
from musicrec.evaluation.splits import relevant_items, split_at, with_candidates
from musicrec.evaluation.summary import EvaluationParams, summarise
from musicrec.io.runs import Run, Stage
from musicrec.models.als import AlsParams
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.pca import PcaParams
from musicrec.pipelines.build_silver import indexed_plays
from musicrec.pipelines.fitting import SequenceFit, fit_als_model, fit_lstm_model, fit_pca_model
from musicrec.pipelines.lists import candidate_lists, filled_list, unpersist
from musicrec.pipelines.settings import SHELVES, EvaluateParams, Shelf, ShelfHybrids
from musicrec.pipelines.training_data import TrainingData, midnight, training_data
from musicrec.ranking.fusion import HybridParams
from musicrec.transforms.interactions import InteractionParams, ItemKind


def evaluate(
    run: Run,
    item: ItemKind,
    interaction: InteractionParams,
    als: AlsParams,
    pca: PcaParams,
    lstm: SequenceFit,
    hybrids: ShelfHybrids,
    depth: int,
    params: EvaluateParams,
    files: Path,
) -> Stage:
    """Replace the day's rows of gold.evaluation.

    The last `params.test_days` are the test. Models are fitted on what lies before by the code that fits the published
    ones, and their lists, up to `depth` long as the published ones are fused from, pass the same filters and fill.

    Raises
    ------
    LeakError : a test listen is among the training rows.
    InputError : nothing was played on one of the two sides.
    """
    lake = run.lakehouse
    split = midnight(run.day) - timedelta(days=params.test_days)
    _, test = split_at(lake.read("silver.listens"), split)
    data = training_data(run, item, interaction, until=split)
    check_no_leak(data.plays, test)
    tested = indexed_plays(test, lake.read("silver.user_index"), lake.read("silver.item_index"), item).persist()
    if tested.isEmpty():
        raise InputError("table silver.listens", f"listens from {split} on, to test with", "none")

    models: dict[str, EmbeddingModel] = {
        "als": fit_als_model(run, data, als),
        "pca": fit_pca_model(run, data, pca).embedding,
        "lstm": fit_lstm_model(run, data, lstm, files / "evaluate" / "lstm")[0],
    }
    models = {
        name: EmbeddingModel(name, model.user_vectors.persist(), model.item_vectors.persist())
        for name, model in models.items()
    }
    scores = [_judge(run, models, data, tested, hybrids.of(shelf), shelf, depth, params) for shelf in SHELVES]
    rows = reduce(DataFrame.unionByName, scores)
    marks = {"as_of": F.lit(run.day), "run_id": F.lit(run.run_id), "split_at": F.lit(split)}
    lake.overwrite("gold.evaluation", rows.withColumns(marks), where=f"as_of = '{run.day}'")
    written = lake.read("gold.evaluation").where(F.col("as_of") == F.lit(run.day)).count()
    return Stage(tested.count(), written, f"trained before {split:%Y-%m-%d %H:%M}, tested from then on")


def _judge(
    run: Run,
    models: dict[str, EmbeddingModel],
    data: TrainingData,
    tested: DataFrame,
    hybrid: HybridParams,
    shelf: Shelf,
    depth: int,
    params: EvaluateParams,
) -> DataFrame:
    """(shelf, model, metric, k, value, low, high, listeners) of one shelf."""
    relevant = relevant_items(tested, data.heard, shelf)
    catalogue = _catalogue(data).persist()
    judged = with_candidates(relevant, data.heard, catalogue, shelf).persist()
    lists = candidate_lists(models, data, hybrid, shelf, depth)
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


def _catalogue(data: TrainingData) -> DataFrame:
    """(item_idx, plays, artist_idx) of the items played in training."""
    plays = data.interactions.groupBy("item_idx").agg(F.sum("plays").alias("plays"))
    return plays.join(data.items.select("item_idx", "artist_idx"), "item_idx", "left")
