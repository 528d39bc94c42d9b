"""Models without vectors, to measure the others against. Each gives lists as every model does.

Popular always means: by the number of listeners, then by plays, then the lower item_idx.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.core.broadcast import Broadcast
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from musicrec.evaluation.splits import Shelf

LISTS = "user_idx int, items array<int>, scores array<double>"


def popularity(interactions: DataFrame) -> DataFrame:
    """How widely each item is played: DataFrame (item_idx, listeners long, plays long)."""
    return interactions.groupBy("item_idx").agg(F.count("*").alias("listeners"), F.sum("plays").alias("plays"))


def popular_lists(interactions: DataFrame, users: DataFrame, heard: DataFrame, n: int, shelf: Shelf) -> DataFrame:
    """The most popular items, for `discover` those the listener has not heard, for `again` those they have.

    The score is listeners + plays / (all plays + 1): it falls as the order does. The order of all items is collected
    and sent to every executor; a listener who heard h items costs n + h steps.

    Parameters
    ----------
    interactions : DataFrame (user_idx, item_idx, plays), one row a pair.
    users : DataFrame (user_idx), who gets a list.
    heard : DataFrame (user_idx, heard array<int>).
    n : the longest that a list may be.
    shelf : which of the items a listener may get.

    Returns
    -------
    lists, one row for each of `users`.
    """
    order = users.sparkSession.sparkContext.broadcast(_popular_order(interactions))
    known = F.coalesce(F.col("heard"), F.array().cast("array<int>")).alias("heard")
    rows = users.select("user_idx").join(heard.select("user_idx", "heard"), "user_idx", how="left")
    return rows.select("user_idx", known).mapInArrow(_popular_lister(order, n, shelf), LISTS)


@dataclass(frozen=True)
class _Order:
    """Items from the most popular on, [items], their scores, and the place of each item_idx in them (-1: none)."""

    items: NDArray[np.int32]
    scores: NDArray[np.float64]
    place: NDArray[np.int64]

    def first(self, heard: NDArray[np.int32], n: int, shelf: Shelf) -> NDArray[np.int64]:
        """The places of the first n items that the listener has not heard, or for `again` has."""
        known = self.place[heard[heard < len(self.place)]]
        places: NDArray[np.int64] = np.unique(known[known >= 0])
        if shelf == "again":
            return places[:n]
        # No more than all of the heard items can stand among the first n + heard.
        is_free = np.ones(min(n + len(places), len(self.items)), dtype=bool)
        is_free[places[places < len(is_free)]] = False
        free: NDArray[np.int64] = np.flatnonzero(is_free)
        return free[:n]


def _popular_order(interactions: DataFrame) -> _Order:
    rows = popularity(interactions).toArrow().to_pandas()
    rows = rows.sort_values(["listeners", "plays", "item_idx"], ascending=[False, False, True])
    items = rows["item_idx"].to_numpy(dtype=np.int32)
    scores = (rows["listeners"] + rows["plays"] / (rows["plays"].sum() + 1)).to_numpy(dtype=np.float64)
    place = np.full(int(items.max(initial=-1)) + 1, -1, dtype=np.int64)
    place[items] = np.arange(len(items))
    return _Order(items, scores, place)


def _popular_lister(
    order: Broadcast[_Order], n: int, shelf: Shelf
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def make_lists(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        known = order.value
        for batch in batches:
            chosen = [
                known.first(heard.values.to_numpy(zero_copy_only=False), n, shelf) for heard in batch.column("heard")
            ]
            offsets = np.concatenate([[0], np.cumsum([len(places) for places in chosen])]).astype(np.int32)
            places = np.concatenate([*chosen, np.empty(0, np.int64)]).astype(np.int64)
            items = pa.ListArray.from_arrays(offsets, pa.array(known.items[places], pa.int32()))
            scores = pa.ListArray.from_arrays(offsets, pa.array(known.scores[places], pa.float64()))
            columns = [batch.column("user_idx"), items, scores]
            yield pa.RecordBatch.from_arrays(columns, names=["user_idx", "items", "scores"])

    return make_lists


def own_top_lists(interactions: DataFrame, n: int, shelf: Shelf = "again") -> DataFrame:
    """Each listener's most played items, then the latest played, then the lower item_idx; the score is the plays.

    For `discover` each list is empty: a listener's own items are never new to them.

    Parameters
    ----------
    interactions : DataFrame (user_idx, item_idx, plays, last_listened_at), one row a pair.
    n : the longest that a list may be.
    shelf : `again`, or `discover` to be measured there too.

    Returns
    -------
    lists, one row for each listener of `interactions`.
    """
    if shelf == "discover":
        empty = [F.array().cast("array<int>").alias("items"), F.array().cast("array<double>").alias("scores")]
        return interactions.select("user_idx").distinct().select("user_idx", *empty)
    order = [F.col("plays").desc(), F.col("last_listened_at").desc(), F.col("item_idx")]
    rank = F.row_number().over(Window.partitionBy("user_idx").orderBy(*order))
    ranked = interactions.select(
        "user_idx", "item_idx", F.col("plays").cast("double").alias("score"), rank.alias("rank")
    )
    return _collect_lists(ranked.where(F.col("rank") <= n))


def artist_popular_lists(
    interactions: DataFrame, items: DataFrame, heard: DataFrame, n: int, shelf: Shelf
) -> DataFrame:
    """More of the artists you play: the popular items of a listener's artists.

    score = (the listener's plays of the item's artist / all their plays) x (the item's listeners / all listeners).
    Equal scores: more plays first, then the lower item_idx. Joined through the artist. For `discover` only an artist's
    n most popular unheard items, and only the n artists whose best such item scores highest, can be in a list of n,
    so a listener never has more than n x n candidates.

    Parameters
    ----------
    interactions : DataFrame (user_idx, item_idx, plays), one row a pair.
    items : DataFrame (item_idx, artist_idx); an item without an artist is in no list.
    heard : DataFrame (user_idx, heard array<int>), who gets a list and what they heard.
    n : the longest that a list may be.
    shelf : which of the items a listener may get.

    Returns
    -------
    lists, one row for each listener of `heard`.
    """
    artists = items.select("item_idx", "artist_idx").where(F.col("artist_idx").isNotNull())
    known = _popularity_share(interactions).join(artists, "item_idx", how="inner")
    shares = _artist_shares(interactions, artists)
    of_listener = heard.select("user_idx", F.explode("heard").alias("item_idx")).distinct()
    of_listener = of_listener.join(artists, "item_idx", how="inner")
    if shelf == "again":
        candidates = of_listener.join(known.drop("artist_idx"), "item_idx", how="inner")
        candidates = candidates.join(shares, ["user_idx", "artist_idx"], how="inner")
    else:
        candidates = _unheard_of_artists(known, shares, of_listener, n)
    rank = F.row_number().over(Window.partitionBy("user_idx").orderBy(*_best_first()))
    scored = candidates.withColumn("score", F.col("share") * F.col("popularity")).withColumn("rank", rank)
    return _with_empty_lists(_collect_lists(scored.where(F.col("rank") <= n)), heard)


def _best_first() -> list[Column]:
    return [F.col("score").desc(), F.col("plays").desc(), F.col("item_idx")]


def _popularity_share(interactions: DataFrame) -> DataFrame:
    """DataFrame (item_idx, popularity = its share of all listeners, listeners, plays)."""
    everyone = interactions.agg(F.count_distinct("user_idx").alias("everyone"))
    share = (F.col("listeners") / F.col("everyone")).alias("popularity")
    joined = popularity(interactions).crossJoin(F.broadcast(everyone))
    return joined.select("item_idx", share, "listeners", "plays")


def _artist_shares(interactions: DataFrame, artists: DataFrame) -> DataFrame:
    """DataFrame (user_idx, artist_idx, share of the listener's plays); items without an artist count as plays too."""
    known = interactions.join(artists, "item_idx", how="inner").groupBy("user_idx", "artist_idx")
    totals = interactions.groupBy("user_idx").agg(F.sum("plays").alias("total"))
    joined = known.agg(F.sum("plays").alias("of_artist")).join(totals, "user_idx", how="inner")
    return joined.select("user_idx", "artist_idx", (F.col("of_artist") / F.col("total")).alias("share"))


def _unheard_of_artists(known: DataFrame, shares: DataFrame, of_listener: DataFrame, n: int) -> DataFrame:
    """DataFrame (user_idx, share, item_idx, popularity, plays): what can be among a listener's best n unheard items."""
    sorted_by = [(-F.col("listeners")).alias("less"), (-F.col("plays")).alias("fewer"), F.col("item_idx")]
    track = F.struct(*sorted_by, "popularity", "plays")
    catalogues = known.groupBy("artist_idx").agg(F.array_sort(F.collect_list(track)).alias("tracks"))
    heard = of_listener.groupBy("user_idx", "artist_idx").agg(F.collect_set("item_idx").alias("heard"))
    rows = shares.join(heard, ["user_idx", "artist_idx"], how="left").join(catalogues, "artist_idx", how="inner")
    # Of the first n + heard tracks at most the heard ones drop out.
    heard_items = F.coalesce(F.col("heard"), F.array().cast("array<int>"))
    first = F.slice("tracks", F.lit(1), F.size(heard_items) + F.lit(n))
    unheard = F.filter(first, lambda track: ~F.array_contains(heard_items, track["item_idx"]))
    rows = rows.select("user_idx", "share", F.slice(unheard, 1, n).alias("tracks")).where(F.size("tracks") > 0)
    best = F.col("tracks")[0]
    rows = rows.select("*", (F.col("share") * best["popularity"]).alias("score"), best["plays"].alias("plays"))
    rows = rows.withColumn("item_idx", best["item_idx"])
    rank = F.row_number().over(Window.partitionBy("user_idx").orderBy(*_best_first()))
    rows = rows.withColumn("artist_rank", rank).where(F.col("artist_rank") <= n)
    tracks = rows.select("user_idx", "share", F.explode("tracks").alias("track"))
    return tracks.select("user_idx", "share", "track.item_idx", "track.popularity", "track.plays")


def _collect_lists(ranked: DataFrame) -> DataFrame:
    """Rows (user_idx, rank, item_idx, score) as lists."""
    places = F.array_sort(F.collect_list(F.struct("rank", "item_idx", "score")))
    rows = ranked.groupBy("user_idx").agg(places.alias("places"))
    return rows.select("user_idx", F.col("places.item_idx").alias("items"), F.col("places.score").alias("scores"))


def _with_empty_lists(lists: DataFrame, users: DataFrame) -> DataFrame:
    items = F.coalesce(F.col("items"), F.array().cast("array<int>")).alias("items")
    scores = F.coalesce(F.col("scores"), F.array().cast("array<double>")).alias("scores")
    return users.select("user_idx").join(lists, "user_idx", how="left").select("user_idx", items, scores)
