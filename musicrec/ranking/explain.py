"""A true sentence on why an item is offered, from the listener's own plays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType, StructField, StructType

from musicrec.models.blocks import Ragged, read_lists, write_lists
from musicrec.models.embedding import ItemMatrix, collect_items

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Heard items compared at a time: offers × this many cosines.
_HEARD_BLOCK = 4096


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
            texts: list[str] = []
            for i in range(batch.num_rows):
                spoken = _reasons(catalogue, offered[i], known[i], plays[i].astype(np.float64))
                for text, item, is_filled in zip(spoken, offered[i].tolist(), filled[i].tolist(), strict=True):
                    if is_filled:
                        texts.append(f"{listeners.sentence(item)}; your plays gave too few personal picks")
                    else:
                        texts.append(text or listeners.sentence(item))
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
            days = pc.list_flatten(batch["days"]).to_pylist()
            texts: list[str] = []
            for i in range(batch.num_rows):
                own, start = known[i], int(known.starts[i])
                rows = np.searchsorted(own, offered[i])
                for item, row in zip(offered[i].tolist(), rows.tolist(), strict=True):
                    if row < len(own) and own[row] == item:
                        texts.append(_played(int(plays.values[start + row]), days[start + row]))
                    else:
                        texts.append(shared.value.sentence(item))
            yield _with_reasons(batch, offered.starts, texts)

    days = F.transform("last", lambda last: F.date_format(last, "yyyy-MM-dd")).alias("days")
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


def _played(plays: int, day: str | None) -> str:
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
    norms = np.linalg.norm(own, axis=1, keepdims=True)
    unit = np.divide(own, norms, out=np.zeros_like(own), where=norms > 0)
    named = titles.where(F.trim("artist") != "").select(F.col("item_idx").cast("int"), "artist").toArrow()
    artists, number = np.unique(named["artist"].to_numpy().astype(str), return_inverse=True)
    rows, known = items.positions(named["item_idx"].to_numpy())
    artist_of = np.full(len(items.item_idx), -1, dtype=np.int64)
    artist_of[rows[known]] = number[known]
    return _Catalogue(ItemMatrix(items.item_idx, unit, items.bias), artist_of, artists.tolist())


def _reasons(
    catalogue: _Catalogue, offered: NDArray[np.int32], heard: NDArray[np.int32], plays: Floats
) -> list[str | None]:
    """The sentence for each item offered to a listener; None where no artist speaks for it."""
    rows, known = catalogue.items.positions(heard)
    known &= (catalogue.artist_of[rows] >= 0) & (plays > 0) if len(catalogue.artist_of) else False
    if not known.any():
        return [None] * len(offered)
    rows, loudness = rows[known], np.log1p(plays[known])
    order = np.lexsort((rows, catalogue.artist_of[rows]))
    rows, loudness = rows[order], loudness[order]
    artists = np.unique(catalogue.artist_of[rows])
    places, there = catalogue.items.positions(offered)
    voices = _voices(catalogue, places, rows, loudness, artists) * there[:, None]
    best = np.argsort(-voices, axis=1, kind="stable")[:, :2]
    texts: list[str | None] = []
    for i, place in enumerate(places):
        named = [int(artists[a]) for a in best[i] if voices[i, a] > 0]
        texts.append(_sentence(catalogue, named, int(catalogue.artist_of[place])))
    return texts


def _voices(catalogue: _Catalogue, places: Ints, rows: Ints, loudness: Floats, artists: Ints) -> Floats:
    """How loud each artist speaks for each offered item [offered × artists]; `rows` are ordered by artist."""
    vectors = catalogue.items.vectors
    offered = vectors[places].astype(np.float64)
    usual = offered @ vectors[rows].astype(np.float64).mean(axis=0)  # [offered]: the mean of all cosines below
    voices = np.zeros((len(places), len(artists)))
    weight = np.zeros(len(artists))
    for start in range(0, len(rows), _HEARD_BLOCK):
        part = rows[start : start + _HEARD_BLOCK]
        nearer = np.maximum(offered @ vectors[part].astype(np.float64).T - np.maximum(usual, 0)[:, None], 0)
        of, first = np.unique(catalogue.artist_of[part], return_index=True)
        own = loudness[start : start + _HEARD_BLOCK]
        voices[:, np.searchsorted(artists, of)] += np.add.reduceat(nearer * own, first, axis=1)
        weight[np.searchsorted(artists, of)] += np.add.reduceat(own, first)
    return np.asarray(np.round(voices / (weight + weight.mean()), 9))


def _sentence(catalogue: _Catalogue, named: list[int], own: int) -> str | None:
    if not named:
        return None
    if named[0] == own:
        return f"more of {catalogue.artists[own]}, which you play"
    return "because you play " + " and ".join(catalogue.artists[a] for a in named)
