"""Metrics against plain Python from the formulas, scikit-learn and MLlib."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.ml.evaluation import RankingEvaluator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from musicrec.evaluation.judged import Judged
from musicrec.evaluation.metrics import ItemFacts, listener_metrics, measure, metric_columns
from musicrec.models.blocks import Ragged

CATALOGUE = 12
Case = tuple[list[int], list[int]]  # a list, best first, and the relevant items

cases = st.tuples(
    st.lists(st.integers(0, CATALOGUE - 1), unique=True, max_size=CATALOGUE),
    st.lists(st.integers(0, CATALOGUE - 1), unique=True, min_size=1, max_size=CATALOGUE).map(sorted),
)
batches = st.lists(cases, min_size=1, max_size=6)


NO_FACTS = ItemFacts.of(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def ragged(lists: Iterable[list[int]]) -> Ragged:
    many = list(lists)
    starts = np.concatenate([[0], np.cumsum([len(one) for one in many])]).astype(np.int64)
    return Ragged(np.array([item for one in many for item in one], dtype=np.int32), starts)


def measured_by_list(
    batch: list[Case], *ks: int, facts: ItemFacts = NO_FACTS, candidates: int = CATALOGUE
) -> list[dict[str, float]]:
    """Of each list, its value in each column."""
    listed, relevant = (ragged(many) for many in zip(*batch, strict=True))
    judged = Judged(np.arange(len(batch)), relevant, np.full(len(batch), candidates))
    values = measure(listed, judged, np.arange(len(batch)), facts, ks)
    return [dict(zip(metric_columns(ks), one, strict=True)) for one in values.T]


def by_formula(listed: list[int], relevant: list[int], k: int) -> dict[str, float]:
    hits = [item in relevant for item in listed[:k]]
    found = sum(hits)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(relevant), k) + 1))
    precision, recall = found / k, found / len(relevant)
    return {
        "recall": recall,
        "precision": precision,
        "f1": 0.0 if found == 0 else 2 * precision * recall / (precision + recall),
        "ndcg": sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits, 1) if hit) / ideal,
        "map": sum(sum(hits[:rank]) / rank for rank, hit in enumerate(hits, 1) if hit) / min(len(relevant), k),
        "mrr": next((1 / rank for rank, hit in enumerate(hits, 1) if hit), 0.0),
        "hit_rate": float(found > 0),
    }


def scores_of(listed: list[int]) -> list[float]:
    """A score for the whole catalogue: by place in the list, and equal and lowest for what is not in it."""
    return [float(len(listed) - listed.index(item)) if item in listed else 0.0 for item in range(CATALOGUE)]


def truth_of(relevant: list[int]) -> list[int]:
    return [int(item in relevant) for item in range(CATALOGUE)]


@settings(deadline=None)  # the first call loads the kernels
@given(batches, st.sets(st.integers(1, CATALOGUE + 3), min_size=1, max_size=3).map(sorted))
def test_accuracy_is_what_the_formulas_say(batch: list[Case], ks: list[int]) -> None:
    for found, (listed, relevant) in zip(measured_by_list(batch, *ks), batch, strict=True):
        for k in ks:
            for name, value in by_formula(listed, relevant, k).items():
                assert found[f"{name}_{k}"] == pytest.approx(value, abs=1e-12), name


@settings(deadline=None)
@given(batches)
def test_auc_is_scikit_learns_with_unlisted_items_tied_below(batch: list[Case]) -> None:
    for found, (listed, relevant) in zip(measured_by_list(batch, 2), batch, strict=True):
        if len(relevant) == CATALOGUE:
            assert np.isnan(found["auc"])
        else:
            assert found["auc"] == pytest.approx(roc_auc_score(truth_of(relevant), scores_of(listed)), abs=1e-9)


@settings(deadline=None)
@given(st.permutations(range(CATALOGUE)), cases, st.integers(1, CATALOGUE))
def test_ndcg_and_map_are_scikit_learns_on_a_full_ranking(listed: list[int], case: Case, k: int) -> None:
    truth, scores = truth_of(case[1]), scores_of(list(listed))
    (found,) = measured_by_list([(list(listed), case[1])], *sorted({k, CATALOGUE}))
    assert found[f"ndcg_{k}"] == pytest.approx(ndcg_score([truth], [scores], k=k), abs=1e-9)
    assert found[f"map_{CATALOGUE}"] == pytest.approx(average_precision_score(truth, scores), abs=1e-9)


@settings(deadline=None)
@given(batches, st.sets(st.integers(1, CATALOGUE), min_size=1, max_size=3).map(sorted))
def test_novelty_and_diversity_are_what_the_formulas_say(batch: list[Case], ks: list[int]) -> None:
    plays = {item: 2**item for item in range(CATALOGUE - 2)}  # the last item is not known, the one before not played
    artists = {item: item % 3 for item in range(CATALOGUE - 3)}
    width = CATALOGUE - 1
    facts = ItemFacts.of(
        np.arange(width),
        np.array([plays.get(item, 0) for item in range(width)], dtype=float),
        np.array([artists.get(item, np.nan) for item in range(width)], dtype=float),
    )
    for found, (listed, _) in zip(measured_by_list(batch, *ks, facts=facts), batch, strict=True):
        for k in ks:
            first = listed[:k]
            bits = [math.log2(sum(plays.values()) / plays.get(item, 1)) for item in first]
            differ = [a not in artists or artists.get(a) != artists.get(b) for a, b in combinations(first, 2)]
            novelty = sum(bits) / len(bits) if bits else math.nan
            diversity = sum(differ) / len(differ) if differ else math.nan
            assert found[f"novelty_{k}"] == pytest.approx(novelty, abs=1e-9, nan_ok=True)
            assert found[f"diversity_{k}"] == pytest.approx(diversity, abs=1e-9, nan_ok=True)


def test_an_item_listed_twice_is_found_once() -> None:
    (found,) = measured_by_list([([3, 3, 3], [3, 4])], 3)
    assert found["recall_3"] == 0.5
    assert found["ndcg_3"] < 1


def test_items_far_apart_and_many_relevant_ones_are_told_apart() -> None:
    rng = np.random.default_rng(4)
    everything = rng.choice(2**31 - 1, 3000, replace=False).tolist()
    batch = [
        (rng.permutation(everything)[:400].tolist(), sorted(rng.permutation(everything)[:wanted].tolist()))
        for wanted in (1, 2000, 5, 700)
    ]
    for found, (listed, relevant) in zip(measured_by_list(batch, 10, 300, candidates=3000), batch, strict=True):
        for k in (10, 300):
            for name, value in by_formula(listed, relevant, k).items():
                assert found[f"{name}_{k}"] == pytest.approx(value, abs=1e-12), name


LISTS = "model string, user_idx int, items array<int>"
RELEVANT = "user_idx int, relevant array<int>, candidates long"


def items_of(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(
        [(item, 1 + item, item % 4) for item in range(CATALOGUE)], "item_idx int, plays long, artist_idx int"
    )


def random_batch(seed: int, listeners: int) -> list[Case]:
    rng = random.Random(seed)
    everything = range(CATALOGUE)
    return [
        (rng.sample(everything, rng.randint(0, 8)), sorted(rng.sample(everything, rng.randint(1, 6))))
        for _ in range(listeners)
    ]


def test_the_pass_over_dataframes_equals_mllib_and_the_formulas(spark: SparkSession) -> None:
    batch = random_batch(1, 40)
    lists = spark.createDataFrame([("a", user, listed) for user, (listed, _) in enumerate(batch)], LISTS)
    relevant = spark.createDataFrame([(user, wanted, CATALOGUE) for user, (_, wanted) in enumerate(batch)], RELEVANT)
    measured = listener_metrics(lists, relevant, items_of(spark), ks=(3, 5))
    rows = {row["user_idx"]: row for row in measured.collect()}
    for user, (listed, wanted) in enumerate(batch):
        assert (rows[user]["listed"], rows[user]["relevant"]) == (len(listed), len(wanted))
        assert rows[user]["auc"] == pytest.approx(roc_auc_score(truth_of(wanted), scores_of(listed)), abs=1e-9)
        assert (rows[user]["novelty_3"] is None) == (not listed)
        for k in (3, 5):
            for name, value in by_formula(listed, wanted, k).items():
                assert rows[user][f"{name}_{k}"] == pytest.approx(value, abs=1e-9), name
    as_mllib = lists.join(relevant, "user_idx").select(
        F.col("items").cast("array<double>").alias("prediction"), F.col("relevant").cast("array<double>").alias("label")
    )
    for ours, theirs in (("ndcg", "ndcgAtK"), ("map", "meanAveragePrecisionAtK"), ("precision", "precisionAtK")):
        mean = np.mean([row[f"{ours}_5"] for row in rows.values()])
        assert RankingEvaluator(metricName=theirs, k=5).evaluate(as_mllib) == pytest.approx(mean, abs=1e-9)


def test_a_judged_listener_without_a_list_scores_nothing(spark: SparkSession) -> None:
    lists = spark.createDataFrame([("a", 1, [5]), ("b", 9, [5])], LISTS)
    relevant = spark.createDataFrame([(1, [5], 10), (2, [5, 6], 10)], RELEVANT)
    measured = listener_metrics(lists, relevant, items_of(spark), ks=(2,), models=("a", "b", "c"))
    rows = {(row["model"], row["user_idx"]): row for row in measured.collect()}
    assert sorted(rows) == [(model, user) for model in "abc" for user in (1, 2)]
    assert rows["a", 1]["ndcg_2"] == 1.0
    for key in rows.keys() - {("a", 1)}:
        assert rows[key]["ndcg_2"] == rows[key]["recall_2"] == rows[key]["hit_rate_2"] == 0
        assert rows[key]["auc"] == 0.5
        assert rows[key]["novelty_2"] is None
        assert rows[key]["diversity_2"] is None


def test_partitions_change_no_digit(spark: SparkSession) -> None:
    batch = random_batch(2, 30)
    lists = spark.createDataFrame([("a", user, listed) for user, (listed, _) in enumerate(batch)], LISTS)
    relevant = spark.createDataFrame([(user, wanted, CATALOGUE) for user, (_, wanted) in enumerate(batch)], RELEVANT)
    one = listener_metrics(lists.coalesce(1), relevant.coalesce(1), items_of(spark), ks=(4,))
    many = listener_metrics(lists.repartition(3), relevant.repartition(5), items_of(spark).repartition(3), ks=(4,))
    assert sorted(map(tuple, one.collect())) == sorted(map(tuple, many.collect()))
