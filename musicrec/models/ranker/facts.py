"""What is known of tracks and listeners before a time: what the ranker's features are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.models.blocks import read_lists, read_vectors

Array = NDArray[Any]

HOURS, WEEKDAYS = 24, 7
_DAY = 86_400.0
_DIGITS = 6


@dataclass(frozen=True)
class TrackFacts:
    """What each item_idx is like, by array; a row of zeros for an item that was not played.

    Attributes
    ----------
    arrays : by name [items] or [items × width], as tasks are sent them:
        listeners, plays, recent (plays, each counted by its age), last_day (plays in the last day), first_days and
        last_days (since the first and the last play), artist (-1 where it has none), artist_listeners, artist_plays,
        hours [items × 24] and weekdays [items × 7] (shares of its plays, as vectors of length 1),
        near_starts, near, near_scores (each item's neighbours), and content [items × d] with has_content (vectors of
        length 1) where there is any.
    """

    arrays: Mapping[str, Array]

    def flat(self) -> dict[str, Array]:
        """One-dimensional, to be sent; `shaped` gives them their widths back."""
        return {name: array.ravel() for name, array in self.arrays.items()}


def listener_facts(plays: DataFrame, until: datetime) -> DataFrame:
    """When listeners play: (user_idx, hours array<double> [24], weekdays array<double> [7]), counts of plays.

    Parameters
    ----------
    plays : DataFrame (user_idx, listened_at), all before `until`.
    """
    own = plays.where(F.col("listened_at") < F.lit(until)).groupBy("user_idx").agg(*_habits())
    return own.select("user_idx", _array("hour", HOURS).alias("hours"), _array("weekday", WEEKDAYS).alias("weekdays"))


def track_facts(
    plays: DataFrame,
    items: DataFrame,
    neighbours: DataFrame | None,
    content: DataFrame | None,
    until: datetime,
    half_life_days: float,
    size: int,
) -> TrackFacts:
    """Collect what is known of the items before `until`: some 200 bytes an item, 12 a neighbour, 4 d of content.

    Parameters
    ----------
    plays : DataFrame (user_idx, item_idx, listened_at); what is not before `until` is left out.
    items : DataFrame (item_idx, artist_idx).
    neighbours : of items, as `fit_knn` gives them.
    content : DataFrame (item_idx, vector array<float> [d]), one row per item that has any.
    until : the time.
    half_life_days : of recent plays.
    size : item_idx run from 0 to size - 1.
    """
    age = (F.lit(until).cast("double") - F.col("listened_at").cast("double")) / _DAY
    before = plays.where(F.col("listened_at") < F.lit(until)).withColumn("age", age)
    counts = before.groupBy("item_idx").agg(
        F.count_distinct("user_idx").alias("listeners"),
        F.count("*").alias("plays"),
        F.sum(F.pow(F.lit(0.5), F.col("age") / half_life_days)).alias("recent"),
        F.count_if(F.col("age") <= 1.0).alias("last_day"),
        F.max("age").alias("first_days"),
        F.min("age").alias("last_days"),
        *_habits(),
    )
    rows = counts.toArrow().to_pandas()
    at = rows["item_idx"].to_numpy()
    arrays: dict[str, Array] = {}
    for name in ("listeners", "plays", "recent", "last_day", "first_days", "last_days"):
        # A sum of floats depends on the order of its terms, hence on the partitions.
        arrays[name] = _spread(at, np.round(rows[name].to_numpy(np.float64), _DIGITS), size)
    for name, one, width in (("hours", "hour", HOURS), ("weekdays", "weekday", WEEKDAYS)):
        columns = rows[[f"{one}_{n}" for n in range(width)]].to_numpy(np.float64)
        arrays[name] = _spread(at, unit_rows(columns), size).astype(np.float32)
    arrays |= _artists(before, items, arrays["plays"], size)
    arrays |= _near(neighbours, size)
    if content is not None:
        arrays |= _content(content, size)
    return TrackFacts(arrays)


def shaped(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """`TrackFacts.arrays` again, from arrays that lost their widths on the way to a task."""
    size = len(arrays["plays"])
    wide = {"hours", "weekdays", "content"}
    return {name: array.reshape(size, -1) if name in wide else array for name, array in arrays.items()}


def unit_rows(matrix: Array) -> Array:
    """Each row divided by its length; a row of zeros stays."""
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(lengths > 0, lengths, 1.0))


def _habits() -> list[Column]:
    hour, weekday = F.hour("listened_at"), F.weekday("listened_at")
    counts = [F.count_if(hour == n).alias(f"hour_{n}") for n in range(HOURS)]
    return counts + [F.count_if(weekday == n).alias(f"weekday_{n}") for n in range(WEEKDAYS)]


def _array(name: str, width: int) -> Column:
    return F.array(*(F.col(f"{name}_{n}").cast("double") for n in range(width)))


def _spread(at: Array, values: Array, size: int) -> Array:
    """The values at their places among zeros."""
    spread = np.zeros((size, *values.shape[1:]), values.dtype)
    spread[at] = values
    return spread


def _artists(plays: DataFrame, items: DataFrame, counts: Array, size: int) -> dict[str, Array]:
    owned = items.select("item_idx", "artist_idx").where(F.col("artist_idx").isNotNull()).toArrow()
    artist = np.full(size, -1, np.int32)
    artist[owned["item_idx"].to_numpy()] = owned["artist_idx"].to_numpy()
    artists = int(artist.max(initial=-1)) + 1
    has = artist >= 0
    of_artist = np.bincount(artist[has], counts[has], artists)
    named = plays.select("user_idx", "item_idx").join(items.select("item_idx", "artist_idx"), "item_idx", "inner")
    listeners = named.groupBy("artist_idx").agg(F.count_distinct("user_idx").alias("listeners")).dropna().toArrow()
    known = np.zeros(artists)
    known[listeners["artist_idx"].to_numpy()] = listeners["listeners"].to_numpy()
    return {
        "artist": artist,
        "artist_plays": np.where(has, np.append(of_artist, 0.0)[artist], 0.0),
        "artist_listeners": np.where(has, np.append(known, 0.0)[artist], 0.0),
    }


def _near(neighbours: DataFrame | None, size: int) -> dict[str, Array]:
    if neighbours is None:
        return {"near_starts": np.zeros(size + 1, np.int64), "near": np.zeros(0, np.int32), "near_scores": np.zeros(0)}
    found = neighbours.select("item_idx", "neighbours", "scores").toArrow().sort_by("item_idx").combine_chunks()
    lists = read_lists(found["neighbours"].combine_chunks())
    lengths = np.zeros(size, np.int64)
    lengths[found["item_idx"].to_numpy()] = np.diff(lists.starts)
    return {
        "near_starts": np.concatenate([[0], np.cumsum(lengths)]),
        "near": lists.values.astype(np.int32),
        "near_scores": read_lists(found["scores"].combine_chunks()).values.astype(np.float32),
    }


def _content(content: DataFrame, size: int) -> dict[str, Array]:
    found = content.select("item_idx", "vector").toArrow().sort_by("item_idx").combine_chunks()
    at = found["item_idx"].to_numpy()
    vectors = unit_rows(read_vectors(found["vector"].combine_chunks()))
    return {
        "content": _spread(at, vectors.astype(np.float32), size),
        "has_content": _spread(at, np.ones(len(at), np.bool_), size),
    }
