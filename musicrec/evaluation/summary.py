"""The evaluation's table: each model's means over the judged listeners, with how sure they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.evaluation.bootstrap import BootstrapParams, interval, resampled_means
from musicrec.evaluation.metrics import metric_columns
from musicrec.params import Params


class EvaluationParams(Params):
    """How models are judged.

    Attributes
    ----------
    ks : the cut-offs of the lists.
    baseline : the model that `ndcg_gain` compares the others with.
    bootstrap : how the intervals are drawn.
    """

    ks: tuple[int, ...] = Field(default=(10, 50), min_length=1)
    baseline: str = "popular"
    bootstrap: BootstrapParams = BootstrapParams()


class Score(NamedTuple):
    """A row of the evaluation: `listeners` is how many the value is a mean of; low and high only where drawn."""

    model: str
    metric: str
    k: int
    value: float | None
    low: float | None
    high: float | None
    listeners: int


SCORES = "model string, metric string, k int, value double, low double, high double, listeners long"


def summarise(
    measured: DataFrame, lists: DataFrame, items: DataFrame, params: EvaluationParams, seed: int
) -> DataFrame:
    """Means of every metric, catalogue coverage, and the bootstrap intervals of NDCG and of its gain over the baseline.

    Coverage at k is the share of the catalogue that is in at least one judged listener's first k. `ndcg_gain` is the
    model's mean NDCG less the baseline's, its interval from the same resamples of listeners (paired). Sums are exact
    decimals and the bootstrap sorts listeners, so partitioning changes no digit. Runs at once; `measured` is read
    twice and kept in memory meanwhile.

    Parameters
    ----------
    measured : of `metrics.listener_metrics` with the same cut-offs.
    lists : DataFrame (model, user_idx, items), as judged.
    items : DataFrame (item_idx), the catalogue, one row an item.
    params : cut-offs, baseline and intervals.
    seed : of the bootstrap.

    Returns
    -------
    DataFrame (model, metric, k, value, low, high, listeners), by model, metric and k; no rows if no one was judged.

    Raises
    ------
    InputError : the baseline is not among the models.
    """
    was_cached = measured.is_cached
    measured.persist()
    try:
        means = list(_means(measured, params.ks))
        models = sorted({score.model for score in means})
        if models and params.baseline not in models:
            raise InputError("the evaluation's baseline", f"one of {', '.join(models)}", params.baseline)
        intervals = _intervals(measured, models, params, seed) if models else []
        coverage = _coverage(measured, lists, items, models, params.ks)
    finally:
        if not was_cached:
            measured.unpersist()
    drawn = {(score.model, score.metric, score.k) for score in intervals}
    scores = [score for score in means if score[:3] not in drawn] + [*intervals, *coverage]
    return measured.sparkSession.createDataFrame(sorted(scores, key=lambda score: score[:3]), SCORES)


def _means(measured: DataFrame, ks: Sequence[int]) -> Iterator[Score]:
    """Exact to 1e-15: a sum of doubles would depend on the order of the rows."""
    columns = metric_columns(ks)
    sums = [F.sum(F.col(name).cast("decimal(28, 15)")).alias(name) for name in columns]
    counts = [F.count(name).alias(f"{name} count") for name in columns]
    for row in measured.groupBy("model").agg(*sums, *counts).collect():
        for name, (metric, k) in columns.items():
            count = row[f"{name} count"]
            yield Score(row["model"], metric, k, float(row[name] / count) if count else None, None, None, count)


def _intervals(measured: DataFrame, models: Sequence[str], params: EvaluationParams, seed: int) -> list[Score]:
    """NDCG of each model and its gain over the baseline, at each k, from one set of resamples for all models."""
    scores = []
    columns = [f"ndcg_{k}" for k in params.ks]
    rows = measured.select("model", "user_idx", *columns).toArrow().to_pandas()
    for k, column in zip(params.ks, columns, strict=True):
        values = _by_listener(rows, models, column)
        baseline = list(models).index(params.baseline)
        samples = resampled_means(values, params.bootstrap.resamples, seed)
        for metric, origin in (("ndcg", np.zeros_like(values[:, 0])), ("ndcg_gain", values[:, baseline])):
            shift = samples[:, [baseline]] if metric == "ndcg_gain" else 0.0
            low, high = interval(samples - shift, params.bootstrap.level)
            value = (values - origin[:, None]).mean(axis=0)
            for place, model in enumerate(models):
                if metric == "ndcg" or place != baseline:
                    ends = float(value[place]), float(low[place]), float(high[place])
                    scores.append(Score(model, metric, k, *ends, len(values)))
    return scores


def _by_listener(rows: pd.DataFrame, models: Sequence[str], column: str) -> NDArray[np.float64]:
    """[listeners x models], listeners in the order of user_idx: a draw must mean the same listener for every model."""
    wide = rows.pivot(index="user_idx", columns="model", values=column)
    values: NDArray[np.float64] = wide.sort_index()[list(models)].to_numpy(dtype=np.float64)
    return values


def _coverage(
    measured: DataFrame, lists: DataFrame, items: DataFrame, models: Sequence[str], ks: Sequence[int]
) -> list[Score]:
    judged = lists.join(measured.select("model", "user_idx"), ["model", "user_idx"], how="left_semi")
    first = F.slice("items", 1, max(ks))
    places = judged.select("model", F.posexplode(first).alias("place", "item_idx"))
    best = places.groupBy("model", "item_idx").agg(F.min("place").alias("place"))
    best = best.join(items.select("item_idx"), "item_idx", how="left_semi")
    counts = best.groupBy("model").agg(*(F.count_if(F.col("place") < k).alias(str(k)) for k in ks))
    listed = {row["model"]: row for row in counts.collect()}
    size = items.count()
    listeners = {row["model"]: row["count"] for row in measured.groupBy("model").count().collect()}
    shares = {(model, k): listed[model][str(k)] / size if model in listed else 0.0 for model in models for k in ks}
    return [Score(model, "coverage", k, share, None, None, listeners[model]) for (model, k), share in shares.items()]
