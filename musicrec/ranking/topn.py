"""The one top-N engine: every embedding model's lists come from here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.models.blocks import Ragged, read_lists, read_vectors, write_lists
from musicrec.models.embedding import EmbeddingModel, ItemMatrix, collect_items

Shelf = Literal["discover", "again"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LISTS_SCHEMA = "user_idx int, items array<int>, scores array<double>"

# Scores are compared after rounding to this many decimals: the last bits of a sum depend on the order of its terms.
SCORE_DECIMALS = 6

# Pairs scored exactly at a time.
_PAIRS = 1 << 15


def top_n(
    model: EmbeddingModel,
    heard: DataFrame,
    n: int,
    shelf: Shelf,
    allowed_items: DataFrame | None = None,
    *,
    user_block: int = 256,
    item_block: int = 8192,
) -> DataFrame:
    """The n best items of every listener who has a vector, exactly.

    A float32 product of a block of listeners and a block of items finds, with a proven margin for its error, the pairs
    that can still enter a list; those are scored in float64, rounded to 6 decimals and ranked by score, best first,
    then item_idx. So neither the blocks' sizes nor the partitions change a list. A task holds user_block × item_block
    float32 beside the item matrix, which is broadcast once.

    Parameters
    ----------
    model : user and item vectors.
    heard : DataFrame (user_idx int, heard array<int>), one row per listener; one without a row has heard nothing.
    n : length of the lists; shorter only where the catalogue has no more, empty where nothing is left.
    shelf : `discover` leaves out what was heard, `again` takes nothing else.
    allowed_items : DataFrame (item_idx int) of what may be offered; None for all the model's items.
    user_block, item_block : listeners and items per product.

    Returns
    -------
    DataFrame (user_idx int, items array<int>, scores array<double>), best first, one row per listener.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, not {n}")
    item_vectors = model.item_vectors
    if allowed_items is not None:
        item_vectors = item_vectors.join(allowed_items.select("item_idx"), "item_idx", "left_semi")
    session = model.user_vectors.sparkSession
    shared = session.sparkContext.broadcast(collect_items(item_vectors))

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        items = shared.value
        for batch in batches:
            vectors, known = read_vectors(batch["vector"]), read_lists(batch["heard"])
            for start in range(0, batch.num_rows, user_block):
                stop = min(start + user_block, batch.num_rows)
                own = _heard_positions(items, known.part(start, stop))
                if shelf == "again":
                    best = _best_heard(items, vectors[start:stop], own, n)
                else:
                    best = _best_unheard(items, vectors[start:stop], own, n, item_block)
                yield best.to_arrow(items, batch["user_idx"].slice(start, stop - start))

    users = model.user_vectors.select(F.col("user_idx").cast("int"), F.col("vector").cast("array<float>"))
    known = heard.select("user_idx", F.col("heard").cast("array<int>"))
    return users.join(known, "user_idx", "left").select("user_idx", "vector", "heard").mapInArrow(rank, LISTS_SCHEMA)


class _Best:
    """The best candidates so far of a block of listeners, ordered by listener, then score, then item.

    Parameters
    ----------
    listeners : how many there are.
    n : candidates kept of each.
    """

    def __init__(self, listeners: int, n: int) -> None:
        self.listeners, self.n = listeners, n
        self.rows: Ints = np.zeros(0, np.int64)
        self.columns: Ints = np.zeros(0, np.int64)
        self.scores: Floats = np.zeros(0)

    def add(self, rows: Ints, columns: Ints, scores: Floats) -> None:
        """Let further pairs of listener row, item column and rounded score compete."""
        rows = np.concatenate([self.rows, rows])
        columns = np.concatenate([self.columns, columns])
        scores = np.concatenate([self.scores, scores])
        order = np.lexsort((columns, -scores, rows))
        rows = rows[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        order = order[rank < self.n]
        self.rows, self.columns, self.scores = rows[rank < self.n], columns[order], scores[order]

    def thresholds(self) -> Floats:
        """The score that a further item must reach: that of the n-th, −∞ where there is none yet [listeners]."""
        counts = np.bincount(self.rows, minlength=self.listeners)
        full = np.flatnonzero(counts == self.n)
        found = np.full(self.listeners, -np.inf)
        found[full] = self.scores[np.cumsum(counts)[full] - 1]
        return found

    def to_arrow(self, items: ItemMatrix, user_idx: pa.Array) -> pa.RecordBatch:
        """A row of LISTS_SCHEMA for each listener."""
        starts = np.searchsorted(self.rows, np.arange(self.listeners + 1)).astype(np.int64)
        offered = write_lists(Ragged(items.item_idx[self.columns], starts), pa.int32())
        scores = write_lists(Ragged(self.scores, starts), pa.float64())
        return pa.RecordBatch.from_arrays([user_idx, offered, scores], ["user_idx", "items", "scores"])


def _heard_positions(items: ItemMatrix, heard: Ragged) -> tuple[Ints, Ints]:
    """The heard items that the matrix has, each once: listener rows and item columns, ordered by both."""
    columns, known = items.positions(heard.values)
    width = max(len(items.item_idx), 1)
    cells = np.unique(heard.rows[known] * width + columns[known])
    return cells // width, cells % width


def _exact(items: ItemMatrix, vectors: NDArray[np.float32], rows: Ints, columns: Ints) -> Floats:
    """The pairs' scores in float64, rounded; each is the same sum whatever stands beside it."""
    scores = np.empty(len(rows))
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        left = vectors[rows[part]].astype(np.float64)
        scores[part] = np.einsum("ij,ij->i", left, items.vectors[columns[part]].astype(np.float64))
    # + 0.0 turns −0.0 into 0.0.
    return np.asarray(np.round(scores + items.bias[columns], SCORE_DECIMALS) + 0.0)


def _best_heard(items: ItemMatrix, vectors: NDArray[np.float32], heard: tuple[Ints, Ints], n: int) -> _Best:
    best = _Best(len(vectors), n)
    best.add(*heard, _exact(items, vectors, *heard))
    return best


def _best_unheard(
    items: ItemMatrix, vectors: NDArray[np.float32], heard: tuple[Ints, Ints], n: int, item_block: int
) -> _Best:
    best = _Best(len(vectors), n)
    margin = _margin(items, vectors)
    for start in range(0, len(items.item_idx), item_block):
        stop = min(start + item_block, len(items.item_idx))
        rough = vectors @ items.vectors[start:stop].T + items.bias[start:stop]  # [listeners × block]
        rows, columns = heard
        inside = (columns >= start) & (columns < stop)
        rough[rows[inside], columns[inside] - start] = -np.inf
        rows, columns = _candidates(rough, best.thresholds() - margin, margin, n)
        best.add(rows, columns + start, _exact(items, vectors, rows, columns + start))
    return best


def _margin(items: ItemMatrix, vectors: NDArray[np.float32]) -> Floats:
    """How far a float32 score can be from the rounded float64 one [listeners].

    |fl(x·y) − x·y| ≤ d u / (1 − d u) |x||y|, u = 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
    Adding the bias and casting a threshold to float32 round once each: twice the bound covers them. Then the rounding
    to 6 decimals.
    """
    norms = np.sqrt(np.einsum("ij,ij->i", items.vectors, items.vectors, dtype=np.float64))
    sizes = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    reach = sizes * norms.max(initial=0.0) + np.abs(items.bias).max(initial=0.0)
    return np.asarray((vectors.shape[1] + 2) * 2.0**-23 * reach + 10.0**-SCORE_DECIMALS)


def _candidates(rough: NDArray[np.float32], floor: Floats, margin: Floats, n: int) -> tuple[Ints, Ints]:
    """The pairs of a block that can still enter a list: rough score ≥ floor and not too far below the block's n-th."""

    def reached(least: Floats) -> NDArray[np.bool_]:
        # Never −∞, which marks what was heard.
        bound = np.maximum(least, np.finfo(np.float32).min).astype(np.float32)
        return np.asarray(rough >= bound[:, None])

    mask = reached(floor)
    width = rough.shape[1]
    if width > n and mask.sum() > 4 * n * len(rough):
        # The block's own n-th best: n items of the block are at least this good, less the margin, in exact scores.
        nth = np.partition(rough, width - n, axis=1)[:, width - n].astype(np.float64)
        mask = reached(np.maximum(floor, nth - 2 * margin))
    rows, columns = np.nonzero(mask)
    return rows, columns
