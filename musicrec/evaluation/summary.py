"""The evaluation's table: each model's means over the judged listeners, with how sure they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pyspark.sql import DataFrame

from musicrec.errors import InputError
from musicrec.evaluation.bootstrap import BootstrapParams, interval, resampled_means
from musicrec.evaluation.metrics import ItemFacts, metric_columns
from musicrec.evaluation.one_pass import evaluate_lists
from musicrec.evaluation.totals import Totals
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
    lists: DataFrame,
    relevant: DataFrame,
    items: DataFrame,
    params: EvaluationParams,
    seed: int,
    models: Sequence[str] | None = None,
) -> DataFrame:
    """Means of every metric, catalogue coverage, and the bootstrap intervals of NDCG and of its gain over the baseline.

    Coverage at k is the share of the catalogue that is in at least one judged listener's first k. `ndcg_gain` is the
    model's mean NDCG less the baseline's, its interval from the same resamples of listeners (paired). The lists are
    read once, in one stage; of each listener only the NDCG comes to the driver. Sums are exact and the bootstrap sorts
    listeners, so partitioning changes no digit. Runs at once.

    Parameters
    ----------
    lists, relevant, models : as of `metrics.listener_metrics`.
    items : DataFrame (item_idx, plays, artist_idx), the catalogue, one row an item.
    params : cut-offs, baseline and intervals.
    seed : of the bootstrap.

    Returns
    -------
    DataFrame (model, metric, k, value, low, high, listeners), by model, metric and k; no rows if no one was judged.

    Raises
    ------
    InputError : the baseline is not among the models, or a model has two lists for a listener.
    """
    ks = sorted(set(params.ks))
    facts = ItemFacts.collect(items)
    found = evaluate_lists(lists, relevant, facts, ks, [f"ndcg_{k}" for k in ks], models)
    if found.models and params.baseline not in found.models:
        raise InputError("the evaluation's baseline", f"one of {', '.join(found.models)}", params.baseline)
    by_model = zip(found.models, found.totals, strict=True)
    scores = [score for model, totals in by_model for score in _of_model(model, totals, ks, facts)]
    if found.models:
        intervals = _intervals(found.kept, found.models, ks, params, seed)
        drawn = {score[:3] for score in intervals}
        scores = [score for score in scores if score[:3] not in drawn] + intervals
    return lists.sparkSession.createDataFrame(sorted(scores, key=lambda score: score[:3]), SCORES)


def _of_model(model: str, totals: Totals, ks: Sequence[int], facts: ItemFacts) -> Iterator[Score]:
    columns = metric_columns(ks)
    for place, (metric, k) in enumerate(columns.values()):
        yield Score(model, metric, k, totals.mean(place), None, None, int(totals.counts[place]))
    everyone = int(totals.counts[list(columns).index(f"recall_{ks[0]}")])
    for cut, k in enumerate(ks):
        yield Score(model, "coverage", k, totals.shown_items(cut) / int(facts.is_known.sum()), None, None, everyone)


def _intervals(
    ndcg: NDArray[np.float64], models: Sequence[str], ks: Sequence[int], params: EvaluationParams, seed: int
) -> list[Score]:
    """NDCG of each model and its gain over the baseline, at each k, from one set of resamples for all.

    Parameters
    ----------
    ndcg : [listeners, models, cut-offs].
    """
    baseline = list(models).index(params.baseline)
    samples = resampled_means(ndcg.reshape(len(ndcg), -1), params.bootstrap.resamples, seed)
    samples = samples.reshape(-1, len(models), len(ks))
    scores = []
    for cut, k in enumerate(ks):
        for metric in ("ndcg", "ndcg_gain"):
            values, means = ndcg[:, :, cut], samples[:, :, cut]
            if metric == "ndcg_gain":
                values, means = values - values[:, [baseline]], means - means[:, [baseline]]
            low, high = interval(means, params.bootstrap.level)
            value = values.mean(axis=0)
            for place, model in enumerate(models):
                if metric == "ndcg" or place != baseline:
                    ends = float(value[place]), float(low[place]), float(high[place])
                    scores.append(Score(model, metric, k, *ends, len(ndcg)))
    return scores
