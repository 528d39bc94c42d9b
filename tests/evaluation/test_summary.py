from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from scipy import stats

from musicrec.errors import InputError
from musicrec.evaluation.bootstrap import BootstrapParams
from musicrec.evaluation.metrics import RANK_METRICS, ItemFacts, listener_metrics
from musicrec.evaluation.one_pass import evaluate_lists
from musicrec.evaluation.summary import EvaluationParams, summarise

MODELS = ("als", "empty", "popular")
PARAMS = EvaluationParams(ks=(2, 4), bootstrap=BootstrapParams(resamples=3000))
CATALOGUE, LISTENERS = 20, 60


class Judged:
    """Random lists of two models and a third without any, measured."""

    def __init__(self, spark: SparkSession) -> None:
        rng = random.Random(3)
        self.items = spark.createDataFrame(
            [(item, 5, item % 4) for item in range(CATALOGUE)], "item_idx int, plays long, artist_idx int"
        )
        wanted = [(user, rng.sample(range(10), 3), CATALOGUE) for user in range(LISTENERS)]
        # Listener 99 has a list but is not judged: it must not count.
        self.lists_of = {
            (model, user): rng.sample(range(width), 4)
            for model, width in (("als", 10), ("popular", 15))
            for user in [*range(LISTENERS), 99]
        } | {("als", 99): [18, 19]}
        self.lists = spark.createDataFrame(
            [(*key, items) for key, items in self.lists_of.items()], "model string, user_idx int, items array<int>"
        )
        self.relevant = spark.createDataFrame(wanted, "user_idx int, relevant array<int>, candidates long")
        self.measured = listener_metrics(self.lists, self.relevant, self.items, PARAMS.ks, MODELS)


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> Judged:
    return Judged(spark)


@pytest.fixture(scope="module")
def scores(judged: Judged) -> dict[tuple[str, str, int], Any]:
    rows = summarise(judged.lists, judged.relevant, judged.items, PARAMS, seed=1, models=MODELS).collect()
    found = {(row["model"], row["metric"], row["k"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def columns(measured: DataFrame, name: str) -> dict[str, np.ndarray]:
    rows = measured.toPandas().sort_values("user_idx")
    return {model: rows.loc[rows["model"] == model, name].to_numpy() for model in MODELS}


def test_means_are_over_the_listeners_that_have_a_value(
    judged: Judged, scores: dict[tuple[str, str, int], Any]
) -> None:
    for metric in RANK_METRICS:
        for model, values in columns(judged.measured, f"{metric}_4").items():
            row = scores[model, metric, 4]
            known = values[~np.isnan(values)]
            assert row["listeners"] == len(known)
            assert row["value"] == (pytest.approx(known.mean(), abs=1e-12) if len(known) else None)
    assert scores["empty", "recall", 2]["value"] == 0
    assert scores["empty", "recall", 2]["listeners"] == LISTENERS
    assert scores["empty", "novelty", 2]["listeners"] == 0


def test_coverage_counts_items_that_a_judged_listener_sees(
    judged: Judged, scores: dict[tuple[str, str, int], Any]
) -> None:
    for model in MODELS:
        for k in PARAMS.ks:
            seen = {i for (m, user), items in judged.lists_of.items() if m == model and user != 99 for i in items[:k]}
            assert scores[model, "coverage", k]["value"] == len(seen) / CATALOGUE


def test_ndcg_and_its_gain_have_the_intervals_of_scipys_bootstrap(
    judged: Judged, scores: dict[tuple[str, str, int], Any]
) -> None:
    ndcg = columns(judged.measured, "ndcg_4")
    for metric, values in (("ndcg", ndcg["als"]), ("ndcg_gain", ndcg["als"] - ndcg["popular"])):
        row = scores["als", metric, 4]
        ends = stats.bootstrap((values,), np.mean, n_resamples=5000, method="percentile", random_state=5)
        low, high = ends.confidence_interval
        assert row["value"] == pytest.approx(values.mean(), abs=1e-12)
        assert (row["low"], row["high"]) == pytest.approx((low, high), abs=0.06 * (high - low))
    assert ("popular", "ndcg_gain", 4) not in scores
    assert {key[1] for key, row in scores.items() if row["low"] is not None} == {"ndcg", "ndcg_gain"}


def test_neither_partitions_nor_a_second_run_change_a_digit(
    judged: Judged, scores: dict[tuple[str, str, int], Any]
) -> None:
    lists, relevant = judged.lists.repartition(5, "items"), judged.relevant.repartition(3, "relevant")
    again = summarise(lists, relevant, judged.items.repartition(4), PARAMS, seed=1, models=MODELS).collect()
    assert again == list(scores.values())


def test_an_unknown_baseline_is_refused_by_name(judged: Judged) -> None:
    params = EvaluationParams(ks=(2,), baseline="pop")
    with pytest.raises(InputError, match="expected one of als, empty, popular, found pop"):
        summarise(judged.lists, judged.relevant, judged.items, params, seed=1, models=MODELS)


def test_no_listener_judged_gives_no_rows(judged: Judged) -> None:
    nobody = judged.relevant.where("user_idx < 0")
    assert summarise(judged.lists, nobody, judged.items, PARAMS, seed=1, models=MODELS).collect() == []


def test_relevant_items_sent_or_joined_give_the_same(judged: Judged) -> None:
    facts, columns = ItemFacts.collect(judged.items), ["ndcg_4", "recall_2"]
    # Not all listeners have a list of each model, and one that is not judged has some.
    some = judged.lists.where("NOT (model = 'als' AND user_idx % 7 = 3)")
    for models in (None, MODELS, ("als",)):
        sent, joined = (
            evaluate_lists(some, judged.relevant, facts, (2, 4), columns, models, sent_items)
            for sent_items in (1000, 0)
        )
        assert sent.models == joined.models
        assert np.array_equal(sent.kept, joined.kept)
        for ours, theirs in zip(sent.totals, joined.totals, strict=True):
            assert np.array_equal(ours.counts, theirs.counts)
            assert np.array_equal(ours.shown, theirs.shown)
            means = [[totals.mean(column) for column in range(len(totals.counts))] for totals in (ours, theirs)]
            assert means[0] == means[1]


def test_two_lists_of_a_model_for_a_listener_are_refused(judged: Judged) -> None:
    twice = judged.lists.union(judged.lists.where("user_idx = 3 AND model = 'als'"))
    with pytest.raises(InputError, match="at most one for a model and listener"):
        summarise(twice, judged.relevant, judged.items, PARAMS, seed=1, models=MODELS)
