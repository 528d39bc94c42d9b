"""How good neighbours are at what they are for: is what a listener plays next among the neighbours of what they played?

A list of similar tracks is read right after a track was played. So its settings are judged by the track that was really
played next, not by how well distances are reproduced.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def next_plays(plays: DataFrame, since: datetime, until: datetime, items: DataFrame) -> DataFrame:
    """What each listener played within a time, and what they had played just before it, earlier listens included.

    Only plays of `items` count; a play of another item in between is passed over. A track played twice in a row is no
    next track.

    Parameters
    ----------
    plays : DataFrame (user_idx int, item_idx int, listened_at timestamp, recording_msid string), one row a listen.
    since, until : the time in which the next play lies; `until` not in it.
    items : DataFrame (item_idx int), what neighbours are known of.

    Returns
    -------
    DataFrame (user_idx, last_idx, next_idx, plays long), one row for each pair that a listener played in that order,
    and how often they did.
    """
    known = plays.where(F.col("listened_at") < F.lit(until)).join(items.select("item_idx"), "item_idx", "left_semi")
    in_order = Window.partitionBy("user_idx").orderBy("listened_at", "recording_msid")
    steps = known.select(
        "user_idx",
        F.lag("item_idx").over(in_order).alias("last_idx"),
        F.col("item_idx").alias("next_idx"),
        "listened_at",
    )
    inside = (F.col("listened_at") >= F.lit(since)) & (F.col("last_idx") != F.col("next_idx"))
    return steps.where(inside).groupBy("user_idx", "last_idx", "next_idx").agg(F.count("*").alias("plays"))


def next_in_neighbours(nexts: DataFrame, neighbours: DataFrame, ks: Sequence[int]) -> DataFrame:
    """The share of each listener's next tracks among the first k neighbours of what they played just before.

    Parameters
    ----------
    nexts : of `next_plays`.
    neighbours : DataFrame (item_idx int, items array<int>), best first; an item without a row has none. As
        `nearest_items`, `similar_items` and `fit_knn` give them.
    ks : cut-offs.

    Returns
    -------
    DataFrame (user_idx, plays long, share_at_<k> double for each k): one row per listener with a next track. The mean
    of `share_at_<k>` over the listeners is the figure to tune for, its interval a bootstrap over them.
    """
    lists = neighbours.select(F.col("item_idx").alias("last_idx"), "items")
    place = F.coalesce(F.array_position("items", F.col("next_idx")), F.lit(0))
    placed = nexts.join(lists, "last_idx", "left").select("user_idx", "plays", place.alias("place"))
    found = [
        (F.sum(F.when(F.col("place").between(1, k), F.col("plays")).otherwise(0)) / F.sum("plays")).alias(
            f"share_at_{k}"
        )
        for k in ks
    ]
    return placed.groupBy("user_idx").agg(F.sum("plays").alias("plays"), *found)
