from __future__ import annotations

import math
from datetime import date, datetime

import pytest
from pyspark.sql import SparkSession

from musicrec.transforms.interactions import (
    InteractionParams,
    heard_items,
    interactions,
    listens_before,
    with_indexes,
)

AS_OF = date(2020, 1, 11)
PLAYS = [
    ("u", datetime(2020, 1, 10), "r1", "a1"),
    ("u", datetime(2020, 1, 1), "r1", "a1"),
    ("u", datetime(2020, 1, 9), "r2", "a1"),
    ("v", datetime(2020, 1, 10, 23, 59, 59), "r2", "a1"),
]


def listens(spark: SparkSession):
    return spark.createDataFrame(PLAYS, "user_id string, listened_at timestamp, recording_id string, artist_id string")


def rows(df) -> dict[tuple, tuple]:
    return {
        (r.item_kind, r.user_id, r.item_id): (r.plays, r.first_listened_at, r.last_listened_at, r.weight)
        for r in df.collect()
    }


def test_plays_first_and_last_of_both_kinds(spark: SparkSession) -> None:
    found = rows(interactions(listens(spark), InteractionParams(confidence="binary"), AS_OF))
    assert found == {
        ("recording", "u", "r1"): (2, datetime(2020, 1, 1), datetime(2020, 1, 10), 1.0),
        ("recording", "u", "r2"): (1, datetime(2020, 1, 9), datetime(2020, 1, 9), 1.0),
        ("recording", "v", "r2"): (1, datetime(2020, 1, 10, 23, 59, 59), datetime(2020, 1, 10, 23, 59, 59), 1.0),
        ("artist", "u", "a1"): (3, datetime(2020, 1, 1), datetime(2020, 1, 10), 1.0),
        ("artist", "v", "a1"): (1, datetime(2020, 1, 10, 23, 59, 59), datetime(2020, 1, 10, 23, 59, 59), 1.0),
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
    weight = rows(interactions(listens(spark), params, AS_OF))["recording", "u", "r1"][3]
    assert weight == pytest.approx(expected, abs=1e-8)


def test_as_of_ends_the_day_before(spark: SparkSession) -> None:
    kept = listens_before(listens(spark), date(2020, 1, 10))
    assert {r.listened_at for r in kept.collect()} == {datetime(2020, 1, 1), datetime(2020, 1, 9)}


def test_indexed_and_heard(spark: SparkSession) -> None:
    found = interactions(listens(spark), InteractionParams(kinds=("recording",)), AS_OF)
    users = spark.createDataFrame([("u", 5), ("v", 6)], "user_id string, user_idx int")
    items = spark.createDataFrame(
        [("recording", "r1", 9), ("recording", "r2", 3)], "item_kind string, item_id string, item_idx int"
    )
    heard = {r.user_idx: list(r.heard) for r in heard_items(with_indexes(found, users, items)).collect()}
    assert heard == {5: [3, 9], 6: [3]}
