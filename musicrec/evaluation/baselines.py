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
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.evaluation.splits import Shelf
from musicrec.models.blocks import Ragged, read_lists, write_lists

LISTS = "user_idx int, items array<int>, scores array<double>"


def popularity(interactions: DataFrame) -> DataFrame:
    """How widely each item is played: DataFrame (item_idx, listeners long, plays long)."""
    return interactions.groupBy("item_idx").agg(F.count("*").alias("listeners"), F.sum("plays").alias("plays"))


def popular_lists(popular: DataFrame, users: DataFrame, heard: DataFrame, n: int, shelf: Shelf) -> DataFrame:
    """The most popular items, for `discover` those the listener has not heard, for `again` those they have.

    The score is listeners + plays / (all plays + 1): it falls as the order does. The order of all items is collected
    and sent to every executor; a listener who heard h items costs n + h steps.

    Parameters
    ----------
    popular : of all items that were played, as `popularity` gives it.
    users : DataFrame (user_idx), who gets a list.
    heard : DataFrame (user_idx, heard array<int>).
    n : the longest that a list may be.
    shelf : which of the items a listener may get.

    Returns
    -------
    lists, one row for each of `users`.
    """
    order = users.sparkSession.sparkContext.broadcast(_popular_order(popular))
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


def _popular_order(popular: DataFrame) -> _Order:
    rows = popular.toArrow().to_pandas()
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


def own_top_lists(heard: DataFrame, n: int, shelf: Shelf = "again") -> DataFrame:
    """Each listener's most played items, then the latest played, then the lower item_idx; the score is the plays.

    For `discover` each list is empty: a listener's own items are never new to them.

    Parameters
    ----------
    heard : DataFrame (user_idx, heard array<int>, plays array<long>, last array<timestamp>), side by side.
    n : the longest that a list may be.
    shelf : `again`, or `discover` to be measured there too.

    Returns
    -------
    lists, one row for each listener of `heard`.
    """
    if shelf == "discover":
        empty = [F.array().cast("array<int>").alias("items"), F.array().cast("array<double>").alias("scores")]
        return heard.select("user_idx", *empty)
    pairs = F.arrays_zip("heard", "plays", "last")
    order = F.transform(
        pairs,
        lambda own: F.struct(
            (-own["plays"]).alias("fewer"), (-F.unix_micros(own["last"])).alias("older"), own["heard"].alias("item_idx")
        ),
    )
    best = heard.select("user_idx", F.slice(F.array_sort(order), 1, n).alias("best"))
    scores = F.transform("best", lambda own: (-own["fewer"]).cast("double"))
    return best.select("user_idx", F.col("best.item_idx").alias("items"), scores.alias("scores"))


def artist_popular_lists(
    interactions: DataFrame, popular: DataFrame, items: DataFrame, heard: DataFrame, n: int, shelf: Shelf
) -> DataFrame:
    """More of the artists you play: the popular items of a listener's artists.

    score = (the listener's plays of the item's artist / all their plays) x (the item's listeners / all listeners).
    Equal scores: more plays first, then the lower item_idx. The catalogue is collected and sent to every executor; a
    listener costs as many steps as their artists have items.

    Parameters
    ----------
    interactions : DataFrame (user_idx, item_idx, plays), one row a pair.
    popular : of all items that were played, as `popularity` gives it.
    items : DataFrame (item_idx, artist_idx); an item without an artist is in no list.
    heard : DataFrame (user_idx, heard array<int>), who gets a list and what they heard.
    n : the longest that a list may be.
    shelf : which of the items a listener may get.

    Returns
    -------
    lists, one row for each listener of `heard`.
    """
    everyone = interactions.select("user_idx").distinct().count()
    shared = heard.sparkSession.sparkContext.broadcast(_collect_artists(popular, items, everyone))
    own = F.array_sort(F.collect_list(F.struct("item_idx", "plays")))
    listeners = heard.select("user_idx", "heard").join(
        interactions.join(heard, "user_idx", "left_semi").groupBy("user_idx").agg(own.alias("own")), "user_idx", "left"
    )
    rows = listeners.select(
        "user_idx", "heard", F.col("own.item_idx").alias("played"), F.col("own.plays").alias("plays")
    )

    def make_lists(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        known = shared.value
        for batch in batches:
            heard, played, plays = (read_lists(batch[name]) for name in ("heard", "played", "plays"))
            made = [known.best(heard[i], played[i], plays[i], n, shelf) for i in range(batch.num_rows)]
            starts = np.cumsum([0] + [len(one) for one, _ in made]).astype(np.int64)
            chosen = Ragged(np.concatenate([np.zeros(0, np.int32), *(one for one, _ in made)]), starts)
            scores = Ragged(np.concatenate([np.zeros(0), *(scores for _, scores in made)]), starts)
            lists = [write_lists(chosen, pa.int32()), write_lists(scores, pa.float64())]
            yield pa.RecordBatch.from_arrays([batch["user_idx"], *lists], ["user_idx", "items", "scores"])

    return rows.mapInArrow(make_lists, LISTS)


@dataclass(frozen=True)
class _Artists:
    """The played items that have an artist, by artist.

    Attributes
    ----------
    items, plays, popularity : of each item; popularity is its share of all listeners [items].
    starts : where each artist's items start [artists + 1].
    artist_of : of each item_idx, -1 where it has none [item_idx].
    """

    items: NDArray[np.int32]
    plays: NDArray[np.int64]
    popularity: NDArray[np.float64]
    starts: NDArray[np.int64]
    artist_of: NDArray[np.int64]

    def best(
        self, heard: NDArray[np.int32], played: NDArray[np.int32], plays: NDArray[np.int64], n: int, shelf: Shelf
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The items and scores of one listener's list."""
        by = self.artist_of[played] if len(played) else np.zeros(0, np.int64)
        artists, place = np.unique(by[by >= 0], return_inverse=True)
        shares = np.bincount(place, plays[by >= 0], len(artists)) / max(plays.sum(), 1)
        sizes = self.starts[artists + 1] - self.starts[artists]
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows = np.repeat(self.starts[artists], sizes) + within
        scores = np.repeat(shares, sizes) * self.popularity[rows]
        kept = np.isin(self.items[rows], heard, invert=shelf == "discover")
        rows, scores = rows[kept], scores[kept]
        order = np.lexsort((self.items[rows], -self.plays[rows], -scores))[:n]
        return self.items[rows[order]], scores[order]


def _collect_artists(popular: DataFrame, items: DataFrame, everyone: int) -> _Artists:
    of_artist = items.select("item_idx", "artist_idx").where(F.col("artist_idx").isNotNull()).toArrow()
    owned, owner = of_artist["item_idx"].to_numpy(), of_artist["artist_idx"].to_numpy()
    rows = popular.toArrow()
    played = rows["item_idx"].to_numpy()
    artist_of = np.full(int(max(owned.max(initial=-1), played.max(initial=-1))) + 1, -1, dtype=np.int64)
    artist_of[owned] = owner
    order = np.lexsort((played, artist_of[played]))
    order = order[artist_of[played[order]] >= 0]
    artists = int(owner.max(initial=-1)) + 1
    return _Artists(
        items=played[order].astype(np.int32),
        plays=rows["plays"].to_numpy()[order].astype(np.int64),
        popularity=rows["listeners"].to_numpy()[order] / max(everyone, 1),
        starts=np.searchsorted(artist_of[played[order]], np.arange(artists + 1)).astype(np.int64),
        artist_of=artist_of,
    )
