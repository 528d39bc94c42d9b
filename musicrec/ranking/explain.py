"""A true sentence on why an item is offered, from the listener's own plays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType, StructField, StructType

from musicrec.models.blocks import Ragged, find, read_lists, write_lists
from musicrec.models.embedding import ItemMatrix, collect_items
from musicrec.models.numbered import numbered
from musicrec.ranking.catalogue import lengths

Ints = NDArray[np.int64]

# item_idx are below this, so that a listener's place and an item make one number.
_ITEMS = 1 << 32


@dataclass(frozen=True)
class _Catalogue:
    """What the sentences are made of: unit item vectors, and who plays each item.

    `artist_of` numbers the artists by their names' order, −1 where there is none, so that the lower number wins a tie.
    """

    items: ItemMatrix
    artist_of: Ints
    artists: list[str]


@dataclass(frozen=True)
class _Listeners:
    """How many play each item: `count` of item `item_idx`, ascending."""

    item_idx: NDArray[np.int32]
    count: Ints

    def sentence(self, item: int) -> str:
        """How popular the item is, in words."""
        row = int(np.searchsorted(self.item_idx, item))
        count = int(self.count[row]) if row < len(self.item_idx) and self.item_idx[row] == item else 0
        if not count:
            return "new: no listener has played it yet"
        return f"popular: played by {count} listener{'' if count == 1 else 's'}"


def explain_discover(
    lists: DataFrame, heard: DataFrame, item_vectors: DataFrame, titles: DataFrame, popularity: DataFrame
) -> DataFrame:
    """The lists with `reasons`, one for each item.

    A heard item j speaks for an offered item i by max(cos(v_i, v_j) − m_i, 0) × w_j, w_j = ln(1 + plays_j), where v
    are the item vectors less their mean, and m_i is the mean of the cosines over all that the listener heard, or 0 if
    that is below: only what is nearer than usual counts. An artist speaks by the sum over the listener's items of
    theirs, divided by the artist's own Σ w_j plus the mean of these sums over the listener's artists: a mean, shrunk
    where there are few plays, so that who is played all the time does not stand behind everything. The one or two
    loudest are named (ties by name):
    "because you play Boston and Foghat", or "more of Boston, which you play" where the item's own artist is the
    loudest. Where none speaks for it: "popular: played by 57 listeners"; and for a filled item, that the listener's
    plays gave too few personal picks. Sums are rounded to 9 decimals, so partitions change nothing.

    Parameters
    ----------
    lists : DataFrame (user_idx int, items array<int>, scores array<double>, filled array<boolean>).
    heard : DataFrame (user_idx int, heard array<int>, plays array<long>), side by side.
    item_vectors : DataFrame (item_idx int, vector array<float>, bias float) of one model.
    titles : DataFrame (item_idx int, artist string), one row per item.
    popularity : DataFrame (item_idx int, listeners long), one row per item that was played.

    Returns
    -------
    DataFrame as `lists` and reasons array<string>.
    """
    context = lists.sparkSession.sparkContext
    shared = context.broadcast((_catalogue(item_vectors, titles), _listeners(popularity)))

    def explain(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        catalogue, listeners = shared.value
        for batch in batches:
            offered, filled, known, plays = (read_lists(batch[name]) for name in ("items", "filled", "heard", "plays"))
            spoken = _reasons(catalogue, offered, known, plays.values)
            texts = [
                f"{listeners.sentence(item)}; your plays gave too few personal picks"
                if is_filled
                else text or listeners.sentence(item)
                for text, item, is_filled in zip(spoken, offered.values.tolist(), filled.values.tolist(), strict=True)
            ]
            yield _with_reasons(batch, offered.starts, texts)

    return _explained(lists, heard.select("user_idx", "heard", "plays"), explain)


def explain_again(lists: DataFrame, heard: DataFrame, popularity: DataFrame) -> DataFrame:
    """The lists with `reasons`, one for each item: "you played it 12 times, last on 2014-06-20".

    Parameters
    ----------
    lists : DataFrame (user_idx int, items array<int>, scores array<double>, filled array<boolean>).
    heard : DataFrame (user_idx int, heard array<int>, plays array<long>, last array<timestamp>), side by side, `heard`
        ascending.
    popularity : DataFrame (item_idx int, listeners long), one row per item that was played.

    Returns
    -------
    DataFrame as `lists` and reasons array<string>; days are those of the session's time zone. An item that the
    listener has not played gets the popular's sentence.
    """
    shared = lists.sparkSession.sparkContext.broadcast(_listeners(popularity))

    def explain(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            offered, known, plays = (read_lists(batch[name]) for name in ("items", "heard", "plays"))
            at = _places(known, offered)
            counts = plays.values[at].tolist() if len(plays.values) else [0] * len(at)
            days = pc.list_flatten(batch["days"]).take(pa.array(at, mask=at < 0)).to_pylist()
            texts = [
                _played(count, day) if place >= 0 else shared.value.sentence(item)
                for item, place, count, day in zip(offered.values.tolist(), at.tolist(), counts, days, strict=True)
            ]
            yield _with_reasons(batch, offered.starts, texts)

    days = F.transform("last", lambda last: last.cast("date")).alias("days")
    return _explained(lists, heard.select("user_idx", "heard", "plays", days), explain)


_KEPT = ("user_idx", "items", "scores", "filled")


def _explained(
    lists: DataFrame, own: DataFrame, explain: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]
) -> DataFrame:
    rows = lists.select(*_KEPT).join(own, "user_idx", "left")
    made_of = StructType([*(rows.schema[name] for name in _KEPT), StructField("reasons", ArrayType(StringType()))])
    return rows.mapInArrow(explain, made_of)


def _with_reasons(batch: pa.RecordBatch, starts: Ints, texts: list[str]) -> pa.RecordBatch:
    reasons = write_lists(Ragged(np.array(texts, dtype=object), starts), pa.string())
    return pa.RecordBatch.from_arrays([*(batch[name] for name in _KEPT), reasons], [*_KEPT, "reasons"])


def _places(known: Ragged, offered: Ragged) -> Ints:
    """Where each offered item stands among the values of its listener's `known` list, ascending; −1 where it does not.

    One search for all: (listener, item) is a single ascending number.
    """
    cells, wanted = (lists.rows * _ITEMS + lists.values for lists in (known, offered))
    at, is_there = find(wanted, cells)
    return np.where(is_there, at, -1)


def _played(plays: int, day: date | None) -> str:
    if plays == 1:
        return "you played it once" + (f", on {day}" if day else "")
    return f"you played it {plays} times" + (f", last on {day}" if day else "")


def _listeners(popularity: DataFrame) -> _Listeners:
    rows = popularity.select(F.col("item_idx").cast("int"), F.col("listeners").cast("long")).toArrow()
    order = np.argsort(rows["item_idx"].to_numpy())
    return _Listeners(rows["item_idx"].to_numpy()[order], rows["listeners"].to_numpy()[order])


def _catalogue(item_vectors: DataFrame, titles: DataFrame) -> _Catalogue:
    items = collect_items(item_vectors)
    # Less the mean vector: what all items share (in ALS mostly how popular they are) likens everything to everything.
    own = items.vectors - items.vectors.mean(axis=0) if len(items.vectors) else items.vectors
    norms = lengths(own)[:, None]
    unit = np.divide(own, norms, out=np.zeros_like(own), where=norms > 0)
    named = titles.where(F.trim("artist") != "").select(F.col("item_idx").cast("int"), "artist").toArrow()
    artists, number = numbered(named["artist"])
    rows, known = items.positions(named["item_idx"].to_numpy())
    artist_of = np.full(len(items.item_idx), -1, dtype=np.int64)
    artist_of[rows[known]] = number[known]
    return _Catalogue(ItemMatrix(items.item_idx, unit, items.bias), artist_of, artists)


def _reasons(catalogue: _Catalogue, offered: Ragged, heard: Ragged, plays: NDArray[Any]) -> list[str | None]:
    """The sentence for each item offered to each listener; None where no artist speaks for it."""
    # Imported here: in a worker, and only once something is explained.
    from musicrec.ranking.explain_kernels import loudest

    if not len(catalogue.items.item_idx):
        return [None] * len(offered.values)
    artist_of = catalogue.artist_of
    rows, known = catalogue.items.positions(heard.values)
    heard_rows = np.where(known & (artist_of[rows] >= 0) & (plays > 0), rows, -1)
    places, there = catalogue.items.positions(offered.values)
    places = np.where(there, places, -1)
    loudness = np.log1p(np.maximum(plays, 0).astype(np.float64))
    found = loudest(catalogue.items.vectors, artist_of, places, offered.starts, heard_rows, loudness, heard.starts)
    own = artist_of[places]
    first, second, is_own = found[:, 0].tolist(), found[:, 1].tolist(), (found[:, 0] == own).tolist()
    return [_sentence(catalogue.artists, *each) for each in zip(first, second, is_own, strict=True)]


def _sentence(artists: list[str], first: int, second: int, is_own: bool) -> str | None:
    if first < 0:
        return None
    if is_own:
        return f"more of {artists[first]}, which you play"
    return f"because you play {artists[first]}" + (f" and {artists[second]}" if second >= 0 else "")
