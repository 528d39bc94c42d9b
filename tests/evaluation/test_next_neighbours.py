from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pyspark.sql import SparkSession

from musicrec.evaluation.next_neighbours import next_in_neighbours, next_plays

START = datetime(2021, 8, 1, tzinfo=UTC)
# Minutes, listener and item; 99 is no item that neighbours are known of.
PLAYS = [(0, 1, 5), (10, 1, 6), (11, 1, 99), (12, 1, 7), (13, 1, 7), (14, 1, 6), (15, 1, 7), (40, 1, 5),
         (1, 2, 6), (12, 2, 5), (20, 3, 5), (21, 3, 99)]  # fmt: skip


def test_the_share_of_next_tracks_among_the_neighbours_of_the_last(spark: SparkSession) -> None:
    rows = [(user, item, START + timedelta(minutes=m), f"m{m}") for m, user, item in PLAYS]
    plays = spark.createDataFrame(rows, "user_idx int, item_idx int, listened_at timestamp, recording_msid string")
    items = spark.createDataFrame([(5,), (6,), (7,)], "item_idx int")
    nexts = next_plays(plays, START + timedelta(minutes=10), START + timedelta(minutes=40), items)
    # The first next play follows one from before the time; the one at its end is not in it.
    wanted = {(1, 5, 6): 1, (1, 6, 7): 2, (1, 7, 6): 1, (2, 6, 5): 1}
    assert {(r.user_idx, r.last_idx, r.next_idx): r.plays for r in nexts.collect()} == wanted
    lists = spark.createDataFrame([(6, [5, 7]), (7, [6])], "item_idx int, items array<int>")
    found = {row.user_idx: row for row in next_in_neighbours(nexts, lists, [1, 2]).collect()}
    assert {user: (r.plays, r.share_at_1, r.share_at_2) for user, r in found.items()} == {
        1: (4, 0.25, 0.75),
        2: (1, 1.0, 1.0),
    }
