"""Sparse matrices as flat arrays, and the counting sorts that build and transpose them in linear time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints32 = NDArray[np.int32]
Ints64 = NDArray[np.int64]
Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class SparseRows:
    """A sparse matrix by rows: row r holds `columns[starts[r]:starts[r + 1]]` with `values` beside them.

    Attributes
    ----------
    starts : [rows + 1].
    columns : [nonzeros], ascending in each row.
    values : [nonzeros].
    width : columns of the matrix.
    """

    starts: Ints64
    columns: Ints32
    values: Floats32
    width: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def counts(self) -> Ints64:
        """Nonzeros of each row."""
        return np.diff(self.starts)

    def transposed(self) -> SparseRows:
        """The same matrix by columns."""
        starts, columns, values = _transpose(self.starts, self.columns, self.values, self.width)
        return SparseRows(starts, columns, values, len(self))


def sparse_rows(rows: Ints32, columns: Ints32, values: Floats32, height: int, width: int) -> SparseRows:
    """The matrix of distinct (row, column, value) triples given in any order; two counting sorts."""
    starts, by_column, kept = _sort_by(columns, rows, values, width)
    half = SparseRows(starts, by_column, kept, height)
    return half.transposed()


def dense_index(idx: Ints32) -> tuple[Ints32, Ints32]:
    """The distinct values of `idx`, ascending, and the place of each value of `idx` among them.

    Linear in the length and in the span of the values, which are dense by construction.
    """
    if not len(idx):
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    first = int(idx.min())
    is_there = np.zeros(int(idx.max()) - first + 1, np.bool_)
    is_there[idx - first] = True
    place = np.cumsum(is_there, dtype=np.int32) - np.int32(1)
    return (np.flatnonzero(is_there) + first).astype(np.int32), place[idx - first]


def _sort_by(keys: Ints32, others: Ints32, values: Floats32, width: int) -> tuple[Ints64, Ints32, Floats32]:
    return cast("tuple[Ints64, Ints32, Floats32]", _counting_sort(keys, others, values, width))


def _transpose(starts: Ints64, columns: Ints32, values: Floats32, width: int) -> tuple[Ints64, Ints32, Floats32]:
    return cast("tuple[Ints64, Ints32, Floats32]", _transpose_kernel(starts, columns, values, width))


@njit(cache=True, nogil=True)
def _counting_sort(keys: Any, others: Any, values: Any, width: int) -> Any:
    starts = np.zeros(width + 1, np.int64)
    for key in keys:
        starts[key + 1] += 1
    for c in range(width):
        starts[c + 1] += starts[c]
    place = starts[:-1].copy()
    sorted_others = np.empty(len(keys), np.int32)
    sorted_values = np.empty(len(keys), np.float32)
    for i in range(len(keys)):
        at = place[keys[i]]
        place[keys[i]] = at + 1
        sorted_others[at] = others[i]
        sorted_values[at] = values[i]
    return starts, sorted_others, sorted_values


@njit(cache=True, nogil=True)
def _transpose_kernel(starts: Any, columns: Any, values: Any, width: int) -> Any:
    turned = np.zeros(width + 1, np.int64)
    for column in columns:
        turned[column + 1] += 1
    for c in range(width):
        turned[c + 1] += turned[c]
    place = turned[:-1].copy()
    rows = np.empty(len(columns), np.int32)
    moved = np.empty(len(columns), np.float32)
    for row in range(len(starts) - 1):
        for i in range(starts[row], starts[row + 1]):
            at = place[columns[i]]
            place[columns[i]] = at + 1
            rows[at] = row
            moved[at] = values[i]
    return turned, rows, moved
