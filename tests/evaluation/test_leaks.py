from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from musicrec.errors import LeakError
from musicrec.evaluation.leaks import check_no_leak
from musicrec.evaluation.splits import split_at

START = datetime(2014, 6, 20, tzinfo=UTC)
SCHEMA = "user_id string, listened_at timestamp, recording_msid string, plays int"


def listens(spark: SparkSession, *rows: tuple[str, int, str]) -> DataFrame:
    return spark.createDataFrame([(user, START + timedelta(hours=h), msid, 1) for user, h, msid in rows], SCHEMA)


def test_a_split_by_time_has_no_leak(spark: SparkSession) -> None:
    train, test = split_at(listens(spark, ("u", 0, "a"), ("u", 1, "a"), ("v", 2, "a")), START + timedelta(hours=1))
    check_no_leak(train, test)
    check_no_leak(train, test.limit(0))


def test_planted_test_listens_are_counted_once_each(spark: SparkSession) -> None:
    train = listens(spark, ("u", 0, "a"), ("u", 5, "b"), ("u", 5, "b"), ("v", 6, "c"))
    test = listens(spark, ("u", 5, "b"), ("v", 6, "c"), ("v", 7, "c"), ("v", 6, "d"))
    with pytest.raises(LeakError, match=r"^leak: 2 of the test.*newest training row \(2014-06-20.*06:00:00\)"):
        check_no_leak(train.select("plays", "recording_msid", "listened_at", "user_id"), test)


def test_a_training_row_from_the_test_period_is_a_leak_without_a_shared_key(spark: SparkSession) -> None:
    with pytest.raises(LeakError, match=r"^leak: the newest training row .* is not before the oldest test row"):
        check_no_leak(listens(spark, ("u", 3, "a")), listens(spark, ("v", 3, "a")))
