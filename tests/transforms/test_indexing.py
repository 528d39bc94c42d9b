from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from musicrec.transforms.indexing import new_entries

IDS = st.lists(st.sampled_from([f"id{i}" for i in range(40)]), min_size=0, max_size=40)


def users(spark: SparkSession, ids: list[str], partitions: int = 2) -> DataFrame:
    return spark.createDataFrame([(i,) for i in ids], "user_id string").repartition(partitions)


def empty(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], "user_id string, user_idx int")


def as_dict(df: DataFrame) -> dict[str, int]:
    return {row.user_id: row.user_idx for row in df.collect()}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=IDS, later=IDS)
def test_an_id_keeps_its_idx_and_idx_are_dense(spark: SparkSession, first: list[str], later: list[str]) -> None:
    old = new_entries(users(spark, first), empty(spark), "user_id", "user_idx")
    known = as_dict(old)
    assert sorted(known.values()) == list(range(len(set(first))))
    frozen = spark.createDataFrame(list(known.items()), "user_id string, user_idx int")
    added = as_dict(new_entries(users(spark, later + first), frozen, "user_id", "user_idx"))
    assert set(added) == set(later) - set(first)
    assert sorted(added.values()) == list(range(len(known), len(known) + len(added)))


def test_the_numbers_do_not_depend_on_order_or_partitions(spark: SparkSession) -> None:
    ids = [f"u{i}" for i in range(300)]
    one = as_dict(new_entries(users(spark, ids, 1), empty(spark), "user_id", "user_idx"))
    other = as_dict(new_entries(users(spark, ids[::-1] + ids[:9], 5), empty(spark), "user_id", "user_idx"))
    assert one == other


def test_each_group_has_numbers_of_its_own(spark: SparkSession) -> None:
    rows = [("recording", "a"), ("recording", "b"), ("artist", "a"), ("artist", None)]
    ids = spark.createDataFrame(rows, "item_kind string, item_id string")
    index = spark.createDataFrame([("recording", "z", 6)], "item_kind string, item_id string, item_idx int")
    found = {tuple(r) for r in new_entries(ids, index, "item_id", "item_idx", group="item_kind").collect()}
    assert {(kind, id_) for kind, id_, _ in found} == {("recording", "a"), ("recording", "b"), ("artist", "a")}
    assert sorted((kind, idx) for kind, _, idx in found) == [("artist", 0), ("recording", 7), ("recording", 8)]
