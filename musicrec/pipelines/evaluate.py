"""Judge every model on listens it has not seen: train before a time, test after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial, reduce
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.evaluation.leaks import check_no_leak
from musicrec.evaluation.splits import relevant_items, split_at, with_candidates
from musicrec.evaluation.summary import EvaluationParams, summarise
from musicrec.io.runs import Run, Stage
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.neural.dot_bias import dot_bias_vectors
from musicrec.models.neural.ncf import NcfParams
from musicrec.pipelines.content import fit_content_model
from musicrec.pipelines.earlier_models import published_on, settings_of
from musicrec.pipelines.fit_pairs import fit_pair_model
from musicrec.pipelines.fit_sequence import fit_sequence_model
from musicrec.pipelines.fitting import fit_als_model, fit_pca_model
from musicrec.pipelines.lists import Rerank, candidate_lists, filled_list, ncf_order, unpersist
from musicrec.pipelines.model_fits import ModelFits, PairFit, SequenceFit
from musicrec.pipelines.settings import RERANKER, SHELVES, EvaluateParams, Shelf, ShelfHybrids
from musicrec.pipelines.training_data import TrainingData, midnight, training_data
from musicrec.ranking.fusion import HybridParams
from musicrec.transforms.interactions import InteractionParams, ItemKind, heard_items, indexed_plays


def evaluate(
    run: Run,
    item: ItemKind,
    interaction: InteractionParams,
    fits: ModelFits,
    hybrids: ShelfHybrids,
    depth: int,
    params: EvaluateParams,
    files: Path,
) -> Stage:
    """Replace the day's rows of gold.evaluation.

    The last `params.test_days` are the test. Judged are the models that the night before published, where it ended at
    the split with the same settings: what they say was said before the test was played. Of others, models are fitted
    on what lies before the split by the code that fits the published ones. Their lists, up to `depth` long as the
    published ones are fused from, pass the same filters and fill. Only listeners of the test get lists.

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
    tested = _sample(run, indexed_plays(test, item).select("user_idx", "item_idx"), params.max_listeners).persist()
    if tested.isEmpty():
        raise InputError("table silver.listens", f"listens from {split} on, to test with", "none")
    listeners = tested.select("user_idx").distinct().persist()
    models = _models(run, data, split, item, interaction, fits, files)
    rerank = _reranker(run, data, fits, files)
    models = {
        name: EmbeddingModel(
            name,
            model.user_vectors.join(listeners, "user_idx", "left_semi").persist(),
            model.item_vectors.persist(),
        )
        for name, model in models.items()
    }
    own = replace(data, heard=heard_items(data.interactions.join(listeners, "user_idx", "left_semi")).persist())
    scores = [_judge(run, models, rerank, own, tested, hybrids.of(shelf), shelf, depth, params) for shelf in SHELVES]
    rows = reduce(DataFrame.unionByName, scores)
    marks = {"as_of": F.lit(run.day), "run_id": F.lit(run.run_id), "split_at": F.lit(split)}
    lake.overwrite("gold.evaluation", rows.withColumns(marks), where=f"as_of = '{run.day}'")
    written = lake.read("gold.evaluation").where(F.col("as_of") == F.lit(run.day)).count()
    note = f"trained before {split:%Y-%m-%d %H:%M}, {listeners.count():,} listeners tested from then on"
    return Stage(tested.count(), written, note)


def _sample(run: Run, tested: DataFrame, most: int) -> DataFrame:
    """The plays of at most `most` listeners, drawn by hash; of all for 0."""
    listeners = tested.select("user_idx").distinct()
    count = listeners.count() if most else 0
    if count <= most:
        return tested
    run.log.info("evaluate: a sample of the listeners", listeners=most, of=count)
    drawn = listeners.orderBy(F.xxhash64(F.lit(run.seed), "user_idx"), "user_idx").limit(most)
    return tested.join(drawn, "user_idx", "left_semi")


def _models(
    run: Run,
    data: TrainingData,
    split: datetime,
    item: ItemKind,
    interaction: InteractionParams,
    fits: ModelFits,
    files: Path,
) -> dict[str, EmbeddingModel]:
    """Each model as it was or would have been published at the split."""
    makers: dict[str, Callable[[], EmbeddingModel]] = {
        "als": lambda: fit_als_model(run, data, fits.als),
        "pca": lambda: fit_pca_model(run, data, fits.pca).embedding,
    }
    for fit in fits.neural:
        if fit.kind != RERANKER:
            makers[fit.kind] = partial(_neural_vectors, run, data, fit, files / "evaluate" / fit.kind)
    standing: dict[str, EmbeddingModel] = {}
    if split == midnight(split.date()):
        standing = published_on(run, split.date(), settings_of(item, interaction, fits))
    content = None if "content" in standing else fit_content_model(run, data)
    if content:
        makers["content"] = lambda: content
    fitted = sorted(makers.keys() - standing.keys())
    run.log.info("evaluate: models", of_the_night_before=sorted(standing), fitted=fitted)
    return {**standing, **{name: make() for name, make in makers.items() if name not in standing}}


def _neural_vectors(run: Run, data: TrainingData, fit: SequenceFit | PairFit, folder: Path) -> EmbeddingModel:
    if isinstance(fit, SequenceFit):
        return fit_sequence_model(run, data, fit, folder)[0]
    return dot_bias_vectors(run.lakehouse.spark, fit_pair_model(run, data, fit, folder).weights)


def _reranker(run: Run, data: TrainingData, fits: ModelFits, files: Path) -> Rerank | None:
    """NCF as it would have been published at the split; None where the configuration does not name it."""
    for fit in fits.others:
        if fit.kind == RERANKER and isinstance(fit.model, NcfParams):
            weights = fit_pair_model(run, data, fit, files / "evaluate" / RERANKER).weights
            return ncf_order(run, weights, fit.model)
    return None


def _judge(
    run: Run,
    models: dict[str, EmbeddingModel],
    rerank: Rerank | None,
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
    lists = candidate_lists(models, data, hybrid, shelf, depth, rerank=rerank)
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
    plays = data.popular.select("item_idx", "plays")
    return plays.join(data.items.select("item_idx", "artist_idx"), "item_idx", "left")
