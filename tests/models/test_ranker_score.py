"""The ranker on the executors beside LightGBM on the driver, and what its facts may know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import lightgbm
import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from musicrec.models.ranker.facts import TrackFacts, listener_facts, track_facts
from musicrec.models.ranker.fit import Examples, fit_ranker
from musicrec.models.ranker.names import feature_names
from musicrec.models.ranker.params import RankerParams
from musicrec.models.ranker.score import example_rows, predicted, ranked_lists, ranker_rows
from musicrec.transforms.interactions import InteractionParams, heard_items, interactions

UNTIL = datetime(2021, 8, 9, tzinfo=UTC)
LISTENERS, ITEMS, ARTISTS = 12, 25, 5
NAMES = feature_names(("als", "knn"))
PLAYS = "user_idx int, item_idx int, artist_idx int, recording_idx int, listened_at timestamp"


def plays(seed: int, count: int, first: datetime) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        user, item = int(rng.integers(LISTENERS)), int(rng.integers(ITEMS))
        rows.append((user, item, item % ARTISTS, item, first + timedelta(seconds=int(rng.integers(5 * 86_400)))))
    return rows


def lists_of(spark: SparkSession, seed: int) -> DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        (user, rng.permutation(ITEMS)[:9].tolist(), np.sort(rng.random(9))[::-1].round(6).tolist())
        for user in range(LISTENERS - seed % 2)
    ]
    return spark.createDataFrame(rows, "user_idx int, items array<int>, scores array<double>")


def facts_of(spark: SparkSession, listens: DataFrame) -> TrackFacts:
    near = [(i, [(i + 1) % ITEMS, (i + 2) % ITEMS], [0.5, 0.25]) for i in range(ITEMS)]
    neighbours = spark.createDataFrame(near, "item_idx int, neighbours array<int>, scores array<double>")
    content = spark.createDataFrame([(i, [1.0, float(i)]) for i in range(5)], "item_idx int, vector array<float>")
    items = spark.createDataFrame([(i, i % ARTISTS) for i in range(ITEMS)], "item_idx int, artist_idx int")
    return track_facts(listens, items, neighbours, content, UNTIL, 2.0, ITEMS)


@pytest.fixture(scope="module")
def before(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(plays(1, 200, UNTIL - timedelta(days=6)), PLAYS).persist()


def rows_of(spark: SparkSession, before: DataFrame, relevant: list[tuple[int, list[int]]]) -> DataFrame:
    pairs = interactions(before, InteractionParams(kinds=("recording",)), UNTIL.date())
    lists = {"als": lists_of(spark, 2), "knn": lists_of(spark, 3)}
    judged = spark.createDataFrame(relevant, "user_idx int, relevant array<int>")
    habits = listener_facts(before, UNTIL)
    return ranker_rows(lists, heard_items(pairs), habits, UNTIL.timestamp(), judged)


def test_nothing_of_the_window_reaches_a_fact(spark: SparkSession, before: DataFrame) -> None:
    after = spark.createDataFrame(plays(2, 100, UNTIL), PLAYS)
    known, same = facts_of(spark, before), facts_of(spark, before.union(after).repartition(3))
    assert known.arrays.keys() == same.arrays.keys()
    for name, array in known.arrays.items():
        assert array.tobytes() == same.arrays[name].tobytes(), name
    own = [sorted(map(str, listener_facts(listens, UNTIL).collect())) for listens in (before, before.union(after))]
    assert own[0] == own[1]
    first = [row for row in before.collect() if row.item_idx == 3]
    assert known.arrays["plays"][3] == len(first)
    assert known.arrays["listeners"][3] == len({row.user_idx for row in first})
    ages = [(UNTIL - row.listened_at.astimezone(UTC)).total_seconds() / 86_400 for row in first]
    assert known.arrays["recent"][3] == pytest.approx(sum(0.5 ** (age / 2) for age in ages), abs=1e-5)
    assert known.arrays["last_days"][3] == pytest.approx(min(ages), abs=1e-5)


def test_executors_score_as_the_driver_does_whatever_the_partitions(spark: SparkSession, before: DataFrame) -> None:
    relevant = [(user, [user, user + 5, user + 9]) for user in range(LISTENERS)]
    rows, facts = rows_of(spark, before, relevant).persist(), facts_of(spark, before)
    found = {row.user_idx: row for row in example_rows(rows, facts, ("als", "knn"), 5, NAMES).collect()}
    for user, items in relevant:
        assert found[user].labels == [int(item in items) for item in found[user]["items"]]
    order = sorted(found)
    features = np.concatenate([np.array(found[u].features, np.float32).reshape(-1, len(NAMES)) for u in order])
    labels = np.concatenate([found[u].labels for u in order]).astype(np.int8)
    sizes = np.array([len(found[u].labels) for u in order])
    params = RankerParams(trees=10, leaves=4, min_leaf=2, candidates=5, retrievers=("als", "knn"))
    model = fit_ranker(Examples(features, labels, sizes), NAMES, params, seed=1)
    scores = np.split(predicted(lightgbm.Booster(model_str=model.text), features), np.cumsum(sizes)[:-1])
    assert len(np.unique(np.concatenate(scores))) > 10
    wanted = {
        u: sorted(zip((-own).tolist(), found[u]["items"], strict=True))[:7]
        for u, own in zip(order, scores, strict=True)
    }
    for parts in (1, 5):
        made = ranked_lists(rows.repartition(parts), facts, model, depth=7).collect()
        assert {
            row.user_idx: [(-s, i) for s, i in zip(row.scores, row["items"], strict=True)] for row in made
        } == wanted
    rows.unpersist()


def test_other_labels_leave_the_features_as_they_are(spark: SparkSession, before: DataFrame) -> None:
    facts, found = facts_of(spark, before), []
    for shift in (0, 1):
        rows = rows_of(spark, before, [(user, [shift, user]) for user in range(LISTENERS)])
        made = example_rows(rows, facts, ("als", "knn"), 5, NAMES).collect()
        found.append({row.user_idx: (row["items"], row.features, row.labels) for row in made})
    assert {u: own[:2] for u, own in found[0].items()} == {u: own[:2] for u, own in found[1].items()}
    assert any(found[0][u][2] != found[1][u][2] for u in found[0])
