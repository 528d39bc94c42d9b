"""Lists for a part of the day, from when a listener and everyone play what.

How much more an artist or item is played in a part of the day than its listeners' own hours would have it is a ratio
of observed to expected plays, drawn to a prior where the plays are few (DuMouchel, "Bayesian Data Mining in Large
Frequency Tables", 1999): (observed + κ prior) / (expected + κ), the mean of a gamma prior's posterior.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.models.blocks import Array, Ragged, read_lists, write_lists
from musicrec.models.shared_arrays import SharedArrays
from musicrec.models.significant import significant
from musicrec.params import Params

# In the order of the day: part p holds the hours 6 p to 6 p + 5.
PARTS = ("night", "morning", "afternoon", "evening")
_HOURS = 24 // len(PARTS)

CONTEXT_SCHEMA = "user_idx int, part int, items array<int>, scores array<double>"
Floats = NDArray[np.float64]


class ContextParams(Params):
    """How lists for parts of the day are made.

    Attributes
    ----------
    enabled : whether they are published beside `discover`: `discover_morning` and so on.
    hours_ahead : of UTC, of the clock that says which part it is; a listen does not tell its own.
    smoothing : κ, as many expected plays as the prior counts.
    strength : exponent of the affinity; 0 leaves lists as they are.
    damping : a place counts 1 / (damping + rank), as in the fusion.
    min_plays : so many plays of a part make a listener get a list for it.
    """

    enabled: bool = False
    hours_ahead: float = Field(default=0.0, ge=-24, le=24)
    smoothing: float = Field(default=10.0, gt=0)
    strength: float = Field(default=1.0, ge=0)
    damping: int = Field(default=60, ge=0)
    min_plays: int = Field(default=20, ge=1)


def part_of_day(listened_at: str, hours_ahead: float) -> Column:
    """0 … 3 of a column of times: night, morning, afternoon, evening."""
    hours = F.floor((F.unix_seconds(listened_at) + round(hours_ahead * 3600)) / 3600)
    return F.floor(F.pmod(hours, F.lit(24)) / _HOURS).cast("int")


@dataclass(frozen=True)
class _Habits:
    """When what is played.

    Attributes
    ----------
    listeners : DataFrame (user_idx, own array<double> shares of the parts, plays_in array<long>, artists array<int>
        ascending, counts array<double> of artist and part, laid end to end).
    affinity : [item_idx × 4], 1 for an item of which nothing is known.
    artist_of : [item_idx], −1 where there is none.
    """

    listeners: DataFrame
    affinity: Floats
    artist_of: Array


def context_lists(lists: DataFrame, plays: DataFrame, items: DataFrame, params: ContextParams) -> DataFrame:
    """Each list anew for every part of the day in which its listener plays enough.

    score = affinity ^ strength / (damping + rank). Affinity of listener u, item i by artist a and part p:
    (O_uap + κ A_ip) / (E_uap + κ), O_uap = u's plays of a in p, E_uap = u's plays of a × u's share of p; A_ip likewise
    of everyone's plays of i, E_ip = Σ plays_ui × share_up, with the artist's ratio as prior, whose own prior is 1. A
    listener's shares are drawn to everyone's by κ plays. Scores are rounded to 30 significant bits; ties go by the
    list.

    Parameters
    ----------
    lists : DataFrame (user_idx int, items array<int>), best first, one row a listener.
    plays : DataFrame (user_idx, item_idx, listened_at), one row a listen, before the time of the lists.
    items : DataFrame (item_idx int, artist_idx int or null), every item.
    params : settings.

    Returns
    -------
    DataFrame (user_idx int, part int, items array<int>, scores array<double>), best first.
    """
    habits = _habits(plays, items, params)
    shared = SharedArrays(lists.sparkSession, {"affinity": habits.affinity.reshape(-1), "artist_of": habits.artist_of})

    def reorder(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        known = shared.read()
        affinity, artist_of = known["affinity"].reshape(-1, len(PARTS)), known["artist_of"]
        for batch in batches:
            columns = {name: read_lists(batch[name]) for name in ("items", "own", "plays_in", "artists", "counts")}
            made = [
                _of_listener({name: lists[i] for name, lists in columns.items()}, affinity, artist_of, params)
                for i in range(batch.num_rows)
            ]
            users = np.repeat(batch["user_idx"].to_numpy(zero_copy_only=False), [len(one) for one in made])
            rows = [row for one in made for row in one]
            starts = np.cumsum([0, *(len(row[1]) for row in rows)]).astype(np.int64)
            laid = [np.concatenate([row[c] for row in rows] or [np.zeros(0)]) for c in (1, 2)]
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array(users.astype(np.int32)),
                    pa.array([row[0] for row in rows], pa.int32()),
                    write_lists(Ragged(laid[0].astype(np.int32), starts), pa.int32()),
                    write_lists(Ragged(laid[1].astype(np.float64), starts), pa.float64()),
                ],
                ["user_idx", "part", "items", "scores"],
            )

    rows = lists.select("user_idx", "items").join(habits.listeners, "user_idx", "inner")
    return rows.mapInArrow(reorder, CONTEXT_SCHEMA)


def _of_listener(
    own: dict[str, Array], affinity: Floats, artist_of: Array, params: ContextParams
) -> list[tuple[int, Array, Floats]]:
    """(part, items, scores) for each part in which the listener plays enough."""
    items, shares = own["items"], own["own"]
    factors = listener_affinity(
        items, own["artists"], own["counts"].reshape(-1, len(PARTS)), shares, affinity, artist_of, params.smoothing
    )
    base = np.reciprocal(params.damping + np.arange(1, len(items) + 1, dtype=np.float64))
    made = []
    for part in np.flatnonzero(own["plays_in"] >= params.min_plays):
        scores = significant(base * factors[:, part] ** params.strength)
        order = np.argsort(-scores, kind="stable")
        made.append((int(part), items[order], scores[order]))
    return made


def listener_affinity(
    items: Array,
    artists: Array,
    counts: Floats,
    shares: Floats,
    affinity: Floats,
    artist_of: Array,
    smoothing: float,
) -> Floats:
    """[items × 4], a listener's affinity of items to the parts of the day.

    Parameters
    ----------
    items : [items] item_idx.
    artists, counts : what the listener plays, ascending, and how often in each part [artists], [artists × 4].
    shares : [4] the listener's, summing up to 1.
    affinity, artist_of : everyone's of each item_idx, and its artist.
    smoothing : κ.
    """
    by = artist_of[items]
    at = np.minimum(np.searchsorted(artists, by), max(len(artists) - 1, 0))
    observed = np.zeros((len(items), len(PARTS)))
    if len(artists):
        is_known = (artists[at] == by) & (by >= 0)
        observed[is_known] = counts[at[is_known]]
    expected = observed.sum(axis=1, keepdims=True) * shares
    return np.asarray((observed + smoothing * affinity[items]) / (expected + smoothing))


def _habits(plays: DataFrame, items: DataFrame, params: ContextParams) -> _Habits:
    marked = plays.select("user_idx", "item_idx", part_of_day("listened_at", params.hours_ahead).alias("part"))
    in_parts = [F.count_if(F.col("part") == p).alias(f"c{p}") for p in range(len(PARTS))]
    pairs = marked.groupBy("user_idx", "item_idx").agg(*in_parts).persist()
    columns = [f"c{p}" for p in range(len(PARTS))]
    totals = pairs.agg(*[F.sum(c) for c in columns]).collect()[0]
    everyone = np.array([total or 0 for total in totals], dtype=float)
    base = everyone / max(everyone.sum(), 1.0)
    by_user = pairs.groupBy("user_idx").agg(*[F.sum(c).alias(c) for c in columns])
    total = sum((F.col(c) for c in columns[1:]), F.col(columns[0]))
    shares = [
        ((F.col(c) + params.smoothing * float(base[p])) / (total + params.smoothing)).alias(f"s{p}")
        for p, c in enumerate(columns)
    ]
    own = by_user.select("user_idx", F.array(*columns).alias("plays_in"), *shares)
    joined = pairs.join(own.drop("plays_in"), "user_idx", "inner")
    observed = [F.sum(c).alias(c) for c in columns]
    # Rounded, since a sum of floats depends on the order of its terms, hence on the partitions.
    expected = [F.round(F.sum(total * F.col(f"s{p}")), 6).alias(f"e{p}") for p in range(len(PARTS))]
    of_items = joined.groupBy("item_idx").agg(*observed, *expected).toArrow()
    facts = items.select(F.col("item_idx").cast("int"), F.col("artist_idx").cast("int")).toArrow()
    observed_of, expected_of = (
        np.column_stack([of_items[f"{kind}{p}"].to_numpy() for p in range(len(PARTS))]) for kind in "ce"
    )
    artist_of, affinity = item_affinity(
        facts["item_idx"].to_numpy(),
        pc.fill_null(facts["artist_idx"], -1).to_numpy(),
        of_items["item_idx"].to_numpy(),
        observed_of,
        expected_of,
        params.smoothing,
    )
    of_artist = pairs.join(items.select("item_idx", "artist_idx").dropna(), "item_idx", "inner")
    grouped = of_artist.groupBy("user_idx", "artist_idx").agg(*observed)
    entries = F.array_sort(F.collect_list(F.struct("artist_idx", F.array(*columns).alias("counts"))))
    by_artist = grouped.groupBy("user_idx").agg(entries.alias("entries"))
    listeners = own.join(by_artist, "user_idx", "left").select(
        "user_idx",
        F.array(*[f"s{p}" for p in range(len(PARTS))]).alias("own"),
        "plays_in",
        F.col("entries.artist_idx").alias("artists"),
        F.flatten("entries.counts").cast("array<double>").alias("counts"),
    )
    return _Habits(listeners, affinity, artist_of)


def item_affinity(
    item_idx: Array, artist_idx: Array, played: Array, observed: Array, expected: Floats, smoothing: float
) -> tuple[Array, Floats]:
    """The artist of each item_idx [items], −1 where it has none, and everyone's affinity [items × 4].

    Parameters
    ----------
    item_idx, artist_idx : side by side, every item and its artist, −1 where it has none.
    played : item_idx with plays; observed, expected : theirs in each part [played × 4].
    smoothing : κ.
    """
    width = int(max(item_idx.max(initial=-1), played.max(initial=-1))) + 1
    artist_of = np.full(width, -1, np.int32)
    artist_of[item_idx] = artist_idx
    # Added in the order of items, whatever order they came in.
    order = np.argsort(played, kind="stable")
    played, observed, expected = played[order], observed[order].astype(float), expected[order]
    by = artist_of[played]
    sums = np.zeros((2, int(artist_of.max(initial=-1)) + 1, len(PARTS)))
    np.add.at(sums[0], by[by >= 0], observed[by >= 0])
    np.add.at(sums[1], by[by >= 0], expected[by >= 0])
    of_artist = (sums[0] + smoothing) / (sums[1] + smoothing)
    affinity = np.ones((width, len(PARTS)))
    affinity[artist_of >= 0] = of_artist[artist_of[artist_of >= 0]]
    affinity[played] = (observed + smoothing * affinity[played]) / (expected + smoothing)
    return artist_of, np.round(affinity, 9)
