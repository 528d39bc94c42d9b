from __future__ import annotations

import math
from datetime import date, datetime

import pytest
from pyspark.sql import SparkSession

from musicrec.transforms.interactions import (
    InteractionParams,
    heard_items,
    indexed_plays,
    interactions,
    listens_before,
    with_ids,
)

AS_OF = date(2020, 1, 11)
PLAYS = [
    (5, datetime(2020, 1, 10), 9, 0),
    (5, datetime(2020, 1, 1), 9, 0),
    (5, datetime(2020, 1, 9), 3, 0),
    (6, datetime(2020, 1, 10, 23, 59, 59), 3, 0),
]


def listens(spark: SparkSession):
    return spark.createDataFrame(PLAYS, "user_idx int, listened_at timestamp, recording_idx int, artist_idx int")


def rows(df) -> dict[tuple, tuple]:
    return {
        (r.item_kind, r.user_idx, r.item_idx): (r.plays, r.first_listened_at, r.last_listened_at, r.weight)
        for r in df.collect()
    }


def test_plays_first_and_last_of_both_kinds(spark: SparkSession) -> None:
    found = rows(interactions(listens(spark), InteractionParams(confidence="binary"), AS_OF))
    assert found == {
        ("recording", 5, 9): (2, datetime(2020, 1, 1), datetime(2020, 1, 10), 1.0),
        ("recording", 5, 3): (1, datetime(2020, 1, 9), datetime(2020, 1, 9), 1.0),
        ("recording", 6, 3): (1, datetime(2020, 1, 10, 23, 59, 59), datetime(2020, 1, 10, 23, 59, 59), 1.0),
        ("artist", 5, 0): (3, datetime(2020, 1, 1), datetime(2020, 1, 10), 1.0),
        ("artist", 6, 0): (1, datetime(2020, 1, 10, 23, 59, 59), datetime(2020, 1, 10, 23, 59, 59), 1.0),
    }


@pytest.mark.parametrize(
    ("confidence", "half_life", "expected"),
    [
        ("count", 0.0, 2.0),
        ("log", 0.0, math.log(3)),
        # ages of 1 and 10 days
        ("count", 5.0, 0.5 ** (1 / 5) + 0.5**2),
        ("log", 5.0, math.log(1 + 0.5 ** (1 / 5) + 0.5**2)),
    ],
)
def test_weights_by_formula(spark: SparkSession, confidence: str, half_life: float, expected: float) -> None:
    params = InteractionParams(kinds=("recording",), confidence=confidence, half_life_days=half_life)
    weight = rows(interactions(listens(spark), params, AS_OF))["recording", 5, 9][3]
    assert weight == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("confidence", ["count", "log"])
def test_what_was_played_decades_ago_still_weighs_something(spark: SparkSession, confidence: str) -> None:
    params = InteractionParams(kinds=("recording",), confidence=confidence, half_life_days=180.0)  # type: ignore[arg-type]
    weights = [r.weight for r in interactions(listens(spark), params, date(2060, 1, 1)).collect()]
    assert weights == [1e-9] * 3


def test_as_of_ends_the_day_before(spark: SparkSession) -> None:
    kept = listens_before(listens(spark), date(2020, 1, 10))
    assert {r.listened_at for r in kept.collect()} == {datetime(2020, 1, 1), datetime(2020, 1, 9)}


def test_ids_and_what_was_heard(spark: SparkSession) -> None:
    found = interactions(listens(spark), InteractionParams(kinds=("recording",)), AS_OF)
    users = spark.createDataFrame([("u", 5), ("v", 6)], "user_id string, user_idx int")
    items = spark.createDataFrame(
        [("recording", "r1", 9), ("recording", "r2", 3)], "item_kind string, item_id string, item_idx int"
    )
    named = with_ids(found, users, items)
    assert {(r.user_id, r.item_id, r.plays) for r in named.collect()} == {
        ("u", "r1", 2),
        ("u", "r2", 1),
        ("v", "r2", 1),
    }
    heard = {r.user_idx: list(r.heard) for r in heard_items(named).collect()}
    assert heard == {5: [3, 9], 6: [3]}


def test_plays_of_either_kind_of_item(spark: SparkSession) -> None:
    silver = listens(spark).selectExpr("*", "'u' AS user_id", "'m' AS recording_msid")
    assert sorted(r.item_idx for r in indexed_plays(silver, "recording").collect()) == [3, 3, 9, 9]
    assert {r.item_idx for r in indexed_plays(silver, "artist").collect()} == {0}
