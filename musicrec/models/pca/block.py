"""What one task of PCA does: it keeps its listeners' rows, and shares the directions over the items with the others.

Each task multiplies its own rows with all directions; the tasks add the products up in a ring (`collective`), and each
then works on its share of the items (`slices`). So beside its rows a task holds two blocks of directions over all items
and three over its share, 8 bytes a cell, and nothing comes to the driver.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.models.collective import Collective
from musicrec.models.exact_sums import anchor_of
from musicrec.models.krylov import Directions, leading_directions
from musicrec.models.pca.kernels import add_exactly, largest_terms, project, row_norms, scatter_times
from musicrec.models.slices import Slices
from musicrec.models.sparse import SparseRows, dense_index, sparse_rows

Ints32 = NDArray[np.int32]
Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]

# Bounds are for exactly orthonormal directions and exact lengths; these are so but for rounding.
_ROOM = 1.01

# Less than this share of the sum of squares is what rounding leaves of equal weights.
_NO_SCATTER = 1e-12

# Rows of a tall matrix that are looked at together where a copy of all would double the memory.
_PART = 65_536


@dataclass(frozen=True)
class Block:
    """Some listeners' rows of the matrix, and what centring needs of the whole one.

    Attributes
    ----------
    user_idx : [rows] ascending.
    item_idx : [width] the items with a listener in any task, ascending; the matrix has no other columns.
    rows : the entries.
    counts : listeners of each item over all tasks [width].
    mean : what is taken off each column: its mean, or 0 [width].
    listeners : rows over all tasks.
    scatter : Σ (a − mean)² over all cells of the whole matrix; 0 where only rounding is left.
    """

    user_idx: Ints32
    item_idx: Ints32
    rows: SparseRows
    counts: NDArray[np.int64]
    mean: Floats64
    listeners: int
    scatter: float


def make_block(
    ring: Collective, user_idx: Ints32, item_idx: Ints32, values: Floats32, largest_item: int, center: bool
) -> Block:
    """The block of this task's entries; all tasks' listeners are different ones, and no item is above the largest."""
    users, row_of = dense_index(user_idx)
    counts = ring.reduce(np.bincount(item_idx, minlength=largest_item + 1))
    items = np.flatnonzero(counts).astype(np.int32)
    place = (np.cumsum(counts > 0) - 1).astype(np.int32)
    rows = sparse_rows(row_of, place[item_idx], values, len(users), len(items))
    counts = counts[items]
    listeners = int(ring.reduce(np.array([len(users)], np.int64))[0])
    sums, squares = (_column_sums(ring, rows, counts, power) for power in (1, 2))
    mean = sums / listeners if center else np.zeros(len(items))
    scatter = float(np.maximum(squares - listeners * mean**2, 0).sum())
    scatter = scatter if scatter > _NO_SCATTER * float(squares.sum()) else 0.0
    return Block(users, items, rows, counts, mean, listeners, scatter)


def _column_sums(ring: Collective, rows: SparseRows, counts: NDArray[np.int64], power: int) -> Floats64:
    """Σ value^power of each column over all tasks."""
    anchors = _anchors(ring, rows, counts, np.ones(len(rows)), power)
    sums = np.zeros(rows.width)
    add_exactly(rows.columns, rows.values, power, anchors, sums)
    return np.asarray(ring.reduce(sums))


def _anchors(ring: Collective, rows: SparseRows, counts: NDArray[np.int64], reach: Floats64, power: int) -> Floats64:
    """Of exact sums over a column of terms of size up to |value|^power × reach of the row."""
    largest = np.zeros(rows.width)
    largest_terms(rows.starts, rows.columns, rows.values, reach, largest)
    return anchor_of(_ROOM * counts * ring.reduce(largest, np.maximum) ** power)


@dataclass(frozen=True)
class Found:
    """What a fit ends with in one task.

    Attributes
    ----------
    users : coordinates of this task's listeners [rows × k].
    items : loadings [width × k], the same in every task; the largest by size of each column is positive.
    directions : values, passes and accuracy.
    seconds : of each part of the work, in this task.
    """

    users: Floats32
    items: Floats64
    directions: Directions
    seconds: dict[str, float]


def decompose(
    ring: Collective,
    block: Block,
    components: int,
    oversampling: int,
    max_passes: int,
    tolerance: float,
    seed: int,
    done: Callable[[int], None],
) -> Found:
    """The leading directions of the matrix less its mean, and its listeners' coordinates along them."""
    began = time.perf_counter()
    slices = Slices(ring, len(block.item_idx))
    size = min(components + oversampling, block.listeners, len(block.item_idx))
    scatter = _Scatter(ring, block, slices, size)
    start = _start(slices, size, seed)
    directions = leading_directions(scatter.times, slices, start, components, max_passes, tolerance, done)
    between = time.perf_counter()
    items = scatter.whole(components)
    items[slices.own] = directions.vectors
    ring.gather_rows(items, slices.bounds)
    turn_positive(items)
    users = np.empty((len(block.user_idx), components), np.float32)
    project(*scatter.entries, items, slices.inner(block.mean[slices.own, None], items[slices.own])[0], users)
    seconds = {
        "products": scatter.seconds,
        "exchange": scatter.exchange_seconds,
        "orthogonal": between - began - scatter.seconds - scatter.exchange_seconds,
        "finish": time.perf_counter() - between,
    }
    return Found(users, items, directions, seconds)


def _start(slices: Slices, size: int, seed: int) -> Floats64:
    """This task's rows of a random block [own × size]; each chunk has a sequence of its own."""
    start = np.empty((len(slices), size))
    for number, chunk in slices.numbered_chunks():
        np.random.default_rng([seed, number]).standard_normal(out=start[chunk])
    return start


class _Scatter:
    """Products of C = (A − 1μᵀ)ᵀ (A − 1μᵀ), which is never formed, and the memory they need."""

    def __init__(self, ring: Collective, block: Block, slices: Slices, size: int) -> None:
        self._ring, self._block, self._slices = ring, block, slices
        rows = block.rows
        self.entries = (rows.starts, rows.columns, rows.values)
        # A row's product with a direction of length 1 is no longer than the row.
        reach = row_norms(rows.starts, rows.values) + float(np.linalg.norm(block.mean))
        self._anchors = _anchors(ring, rows, block.counts, reach, 1)
        self._directions = np.empty(len(block.item_idx) * size)
        self._sums = np.empty(len(block.item_idx) * size)
        self.seconds = self.exchange_seconds = 0.0

    def whole(self, size: int) -> Floats64:
        """Room for directions over all items [width × size]; it is the same room each time."""
        width = len(self._block.item_idx)
        return self._directions[: width * size].reshape(width, size)

    def times(self, directions: Floats64) -> Floats64:
        """This task's rows of C Q from its rows of Q [own × size], valid until the next call.

        C Q = Aᵀ (A − 1μᵀ) Q, as the columns of (A − 1μᵀ) Q add up to 0.
        """
        began = time.perf_counter()
        size = directions.shape[1]
        whole = self.whole(size)
        own = self._slices.own
        whole[own] = directions
        shift = self._slices.inner(self._block.mean[own, None], whole[own])[0]
        self._ring.gather_rows(whole, self._slices.bounds)
        sums = self._sums[: whole.size].reshape(whole.shape)
        between = time.perf_counter()
        scatter_times(*self.entries, whole, shift, self._anchors, sums)
        after = time.perf_counter()
        product = self._ring.reduce_rows(sums, self._slices.bounds)
        self.seconds += after - between
        self.exchange_seconds += between - began + time.perf_counter() - after
        return product


def turn_positive(vectors: Floats64) -> None:
    """Turn each column so that its entry of the largest size, the first of equals, is positive; in place."""
    largest, signs = np.zeros(vectors.shape[1]), np.ones(vectors.shape[1])
    columns = np.arange(vectors.shape[1])
    for begin in range(0, len(vectors), _PART):
        part = vectors[begin : begin + _PART]
        # Rounded, so that two entries equal but for the last bits count as a tie.
        sizes = np.round(np.abs(part), 9)
        at = sizes.argmax(axis=0)
        is_larger = sizes[at, columns] > largest
        largest = np.maximum(largest, sizes[at, columns])
        signs = np.where(is_larger, np.where(part[at, columns] < 0, -1.0, 1.0), signs)
    vectors *= signs
