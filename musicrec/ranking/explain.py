"""A true sentence on why an item is offered, from the listener's own plays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
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


def explain_discover(
    recommendations: DataFrame, interactions: DataFrame, item_vectors: DataFrame, titles: DataFrame
) -> DataFrame:
    """The recommendations with a `reason` each.

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
    recommendations : DataFrame (user_idx int, rank int, item_idx int, filled boolean, ...); other columns are kept.
    interactions : DataFrame (user_idx int, item_idx int, plays long), one row per pair, of all listeners.
    item_vectors : DataFrame (item_idx int, vector array<float>, bias float) of one model.
    titles : DataFrame (item_idx int, artist string), one row per item.

    Returns
    -------
    DataFrame as `recommendations` and reason string.
    """
    shared = recommendations.sparkSession.sparkContext.broadcast(_catalogue(item_vectors, titles))

    def explain(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        catalogue = shared.value
        for batch in batches:
            offered, heard = read_lists(batch["offered"]), read_lists(batch["heard"])
            plays = read_lists(batch["plays"])
            texts: list[str | None] = []
            for i in range(batch.num_rows):
                texts += _reasons(catalogue, offered[i], heard[i], plays[i])
            reasons = write_lists(Ragged(np.array(texts, dtype=object), offered.starts), pa.string())
            yield pa.RecordBatch.from_arrays([batch["rows"], reasons], ["rows", "reasons"])

    rows = F.array_sort(F.collect_list(F.struct("rank", "item_idx", F.struct("*").alias("row"))))
    grouped = recommendations.groupBy("user_idx").agg(rows.alias("rows"))
    own = F.array_sort(F.collect_list(F.struct("item_idx", F.col("plays").cast("double").alias("plays"))))
    heard = interactions.groupBy("user_idx").agg(own.alias("own"))
    blocks = grouped.join(heard, "user_idx", "left").select(
        F.col("rows.row").alias("rows"),
        F.col("rows.item_idx").alias("offered"),
        F.col("own.item_idx").alias("heard"),
        F.col("own.plays").alias("plays"),
    )
    schema = StructType([blocks.schema["rows"], StructField("reasons", ArrayType(StringType()))])
    paired = blocks.mapInArrow(explain, schema).select(F.explode(F.arrays_zip("rows", "reasons")).alias("pair"))
    spoken = paired.select("pair.rows.*", F.col("pair.reasons").alias("_artists"))
    fallback = F.when(
        F.col("filled"), F.concat(_popular(), F.lit("; your plays gave too few personal picks"))
    ).otherwise(F.coalesce("_artists", _popular()))
    joined = spoken.join(_listeners(interactions), "item_idx", "left")
    return joined.select(*recommendations.columns, fallback.alias("reason"))


def explain_again(recommendations: DataFrame, interactions: DataFrame) -> DataFrame:
    """The recommendations with a `reason` each: "you played it 12 times, last on 2014-06-20".

    Parameters
    ----------
    recommendations : DataFrame (user_idx int, item_idx int, ...).
    interactions : DataFrame (user_idx int, item_idx int, plays long, last_listened_at timestamp), one row per pair.

    Returns
    -------
    DataFrame as `recommendations` and reason string; days are those of the session's time zone. A pair without an
    interaction gets the popular's sentence.
    """
    own = interactions.select(
        "user_idx", "item_idx", F.col("plays").alias("_plays"), F.col("last_listened_at").alias("_last")
    )
    once = F.col("_plays") == 1
    count = F.when(once, F.lit("you played it once")).otherwise(F.format_string("you played it %d times", "_plays"))
    day = F.date_format("_last", "yyyy-MM-dd")
    last = F.coalesce(F.concat(F.when(once, F.lit(", on ")).otherwise(F.lit(", last on ")), day), F.lit(""))
    reason = F.when(F.col("_plays") > 0, F.concat(count, last)).otherwise(_popular())
    joined = recommendations.join(own, ["user_idx", "item_idx"], "left").join(
        _listeners(interactions), "item_idx", "left"
    )
    return joined.select(*recommendations.columns, reason.alias("reason"))


def _popular() -> Column:
    """A sentence from the column `_listeners`."""
    count = F.coalesce(F.col("_listeners"), F.lit(0))
    some = F.when(count == 1, F.lit("popular: played by 1 listener")).otherwise(
        F.format_string("popular: played by %d listeners", count)
    )
    return F.when(count == 0, F.lit("new: no listener has played it yet")).otherwise(some)


def _listeners(interactions: DataFrame) -> DataFrame:
    """DataFrame (item_idx, _listeners long)."""
    return interactions.groupBy("item_idx").agg(F.count_distinct("user_idx").alias("_listeners"))


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
