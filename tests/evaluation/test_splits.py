from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from musicrec.errors import InputError
from musicrec.evaluation.splits import relevant_items, split_at, with_candidates

START = datetime(2014, 6, 20, 12, tzinfo=UTC)
Row = tuple[int, int, int]  # listener, seconds from the split, item

rows_of_listens = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=25, unique=True
)


@settings(max_examples=8, deadline=None)
@given(rows_of_listens)
def test_every_listen_is_on_one_side_and_every_played_item_on_one_shelf(spark: SparkSession, rows: list[Row]) -> None:
    listens = spark.createDataFrame(
        [(user, START + timedelta(seconds=s), item) for user, s, item in rows],
        "user_idx int, listened_at timestamp, item_idx int",
    )
    train, test = split_at(listens, START)
    sides = [
        {tuple(row) for row in side.selectExpr("user_idx", "unix_seconds(listened_at)", "item_idx").collect()}
        for side in (train, test)
    ]
    second = int(START.timestamp())
    expected = [{(u, second + s, i) for u, s, i in rows if (s < 0) == is_train} for is_train in (True, False)]
    assert sides == expected

    heard_of = {user: sorted({i for u, s, i in rows if u == user and s < 0}) for user in range(4)}
    heard = spark.createDataFrame(
        [pair for pair in heard_of.items() if pair[1]] or [(9, [0])], "user_idx int, heard array<int>"
    )
    for shelf, is_known in (("discover", False), ("again", True)):
        wanted = {
            u: sorted({i for v, s, i in rows if u == v and s >= 0 and (i in heard_of[u]) == is_known}) for u in range(4)
        }
        found = {row["user_idx"]: row["relevant"] for row in relevant_items(test, heard, shelf).collect()}  # type: ignore[arg-type]
        assert found == {user: items for user, items in wanted.items() if items}


def test_the_split_is_an_instant_not_a_wall_clock(spark: SparkSession) -> None:
    listens = spark.createDataFrame([(START,), (START - timedelta(microseconds=1),)], "listened_at timestamp")
    train, test = split_at(listens, START.astimezone(timezone(timedelta(hours=9))))
    assert [train.count(), test.count()] == [1, 1]
    with pytest.raises(InputError, match="time zone"):
        split_at(listens, START.replace(tzinfo=None))


def test_candidates_are_what_a_model_had_to_rank(spark: SparkSession) -> None:
    heard = spark.createDataFrame([(1, [0, 1]), (2, [2])], "user_idx int, heard array<int>")
    catalogue = spark.createDataFrame([(item,) for item in range(5)], "item_idx int")
    # Items 7 and 8 were not played in training; listener 3 is new.
    relevant = spark.createDataFrame([(1, [3, 7, 8]), (2, [0]), (3, [0, 8])], "user_idx int, relevant array<int>")
    discover = {row[0]: row["candidates"] for row in with_candidates(relevant, heard, catalogue, "discover").collect()}
    assert discover == {1: 5 - 2 + 2, 2: 5 - 1, 3: 5 - 0 + 1}
    again = {row[0]: row["candidates"] for row in with_candidates(relevant, heard, catalogue, "again").collect()}
    assert again == {1: 2, 2: 1, 3: 0}
