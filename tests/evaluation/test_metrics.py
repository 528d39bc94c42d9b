"""Metrics against plain Python from the formulas, scikit-learn and MLlib."""

from __future__ import annotations

import math
import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.ml.evaluation import RankingEvaluator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from musicrec.evaluation.metrics import ItemFacts, Ranked, accuracy_at, auc, listener_metrics, variety_at

CATALOGUE = 12
Case = tuple[list[int], list[int]]  # a list, best first, and the relevant items

cases = st.tuples(
    st.lists(st.integers(0, CATALOGUE - 1), unique=True, max_size=CATALOGUE),
    st.lists(st.integers(0, CATALOGUE - 1), unique=True, min_size=1, max_size=CATALOGUE).map(sorted),
)
batches = st.lists(cases, min_size=1, max_size=6)


def ranked(batch: list[Case]) -> Ranked:
    items, relevant = zip(*batch, strict=True)
    flat = [np.array([item for one in many for item in one], dtype=np.int64) for many in (items, relevant)]
    lengths = [np.array([len(one) for one in many], dtype=np.int64) for many in (items, relevant)]
    return Ranked.of(flat[0], lengths[0], flat[1], lengths[1])


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


@given(batches, st.integers(1, CATALOGUE + 3))
def test_accuracy_is_what_the_formulas_say(batch: list[Case], k: int) -> None:
    found = accuracy_at(ranked(batch), k)
    for place, (listed, relevant) in enumerate(batch):
        expected = by_formula(listed, relevant, k)
        assert {name: values[place] for name, values in found.items()} == pytest.approx(expected, abs=1e-12)


@given(batches)
def test_auc_is_scikit_learns_with_unlisted_items_tied_below(batch: list[Case]) -> None:
    found = auc(ranked(batch), np.full(len(batch), CATALOGUE))
    for value, (listed, relevant) in zip(found, batch, strict=True):
        if len(relevant) == CATALOGUE:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(roc_auc_score(truth_of(relevant), scores_of(listed)), abs=1e-9)


@given(st.permutations(range(CATALOGUE)), cases, st.integers(1, CATALOGUE))
def test_ndcg_and_map_are_scikit_learns_on_a_full_ranking(listed: list[int], case: Case, k: int) -> None:
    truth, scores = truth_of(case[1]), scores_of(list(listed))
    one = ranked([(list(listed), case[1])])
    assert accuracy_at(one, k)["ndcg"][0] == pytest.approx(ndcg_score([truth], [scores], k=k), abs=1e-9)
    whole = accuracy_at(one, CATALOGUE)["map"][0]
    assert whole == pytest.approx(average_precision_score(truth, scores), abs=1e-9)


@given(batches, st.integers(1, CATALOGUE))
def test_novelty_and_diversity_are_what_the_formulas_say(batch: list[Case], k: int) -> None:
    plays = {item: 2**item for item in range(CATALOGUE - 2)}  # the last item is not known, the one before not played
    artists = {item: item % 3 for item in range(CATALOGUE - 3)}
    width = CATALOGUE - 1
    facts = ItemFacts.of(
        np.arange(width),
        np.array([plays.get(item, 0) for item in range(width)], dtype=float),
        np.array([artists.get(item, np.nan) for item in range(width)], dtype=float),
    )
    found = variety_at(ranked(batch), facts, k)
    for place, (listed, _) in enumerate(batch):
        first = listed[:k]
        bits = [math.log2(sum(plays.values()) / plays.get(item, 1)) for item in first]
        differ = [a not in artists or artists.get(a) != artists.get(b) for a, b in combinations(first, 2)]
        novelty = sum(bits) / len(bits) if bits else math.nan
        diversity = sum(differ) / len(differ) if differ else math.nan
        assert found["novelty"][place] == pytest.approx(novelty, abs=1e-9, nan_ok=True)
        assert found["diversity"][place] == pytest.approx(diversity, abs=1e-9, nan_ok=True)


def test_an_item_listed_twice_is_found_once() -> None:
    one = ranked([([3, 3, 3], [3, 4])])
    assert accuracy_at(one, 3)["recall"][0] == 0.5
    assert accuracy_at(one, 3)["ndcg"][0] < 1


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
