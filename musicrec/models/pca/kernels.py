"""The compiled arithmetic of PCA: products of the centred sparse matrix with a block of directions.

The sum over listeners is exact: each term is first rounded to a multiple of a power of two so large that adding up
loses nothing (pre-rounding; Demmel and Nguyen, "Fast Reproducible Floating-Point Summation", 2013). So it has the same
bits however the listeners are cut into blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _centred_row(columns: Any, values: Any, first: int, last: int, directions: Any, shift: Any, row: Any) -> None:
    """row = Σ_j a_j q_j − shift over the row's entries, four of them at a time."""
    for k in range(len(row)):
        row[k] = -shift[k]
    j = first
    while j + 4 <= last:
        a, b, c, d = columns[j], columns[j + 1], columns[j + 2], columns[j + 3]
        va, vb = np.float64(values[j]), np.float64(values[j + 1])
        vc, vd = np.float64(values[j + 2]), np.float64(values[j + 3])
        for k in range(len(row)):
            row[k] += (va * directions[a, k] + vb * directions[b, k]) + (vc * directions[c, k] + vd * directions[d, k])
        j += 4
    while j < last:
        v = np.float64(values[j])
        column = columns[j]
        for k in range(len(row)):
            row[k] += v * directions[column, k]
        j += 1


@njit(cache=True, nogil=True)
def scatter_times(starts: Any, columns: Any, values: Any, directions: Any, shift: Any, anchors: Any, sums: Any) -> None:
    """sums = Aᵀ (A Q − 1 shift) of this block's rows, each term rounded to its item's grid before it is added.

    starts, columns, values : A by rows (int64, int32, float32).
    directions : Q [width × size]; shift : [size]; both float64.
    anchors : [width] float64, 1.5 × 2⁵² × the width of the item's grid.
    sums : [width × size] float64.
    """
    sums[:] = 0
    row = np.empty(directions.shape[1])
    for r in range(len(starts) - 1):
        _centred_row(columns, values, starts[r], starts[r + 1], directions, shift, row)
        for j in range(starts[r], starts[r + 1]):
            v = np.float64(values[j])
            column = columns[j]
            anchor = anchors[column]
            for k in range(len(row)):
                sums[column, k] += (v * row[k] + anchor) - anchor


@njit(cache=True, nogil=True)
def project(starts: Any, columns: Any, values: Any, directions: Any, shift: Any, projected: Any) -> None:
    """projected = A V − 1 shift of this block's rows [rows × k float32], added up in float64."""
    row = np.empty(directions.shape[1])
    for r in range(len(starts) - 1):
        _centred_row(columns, values, starts[r], starts[r + 1], directions, shift, row)
        for k in range(len(row)):
            projected[r, k] = row[k]


@njit(cache=True, nogil=True)
def row_norms(starts: Any, values: Any) -> Any:
    """Length of each row [rows float64]."""
    norms = np.empty(len(starts) - 1)
    for r in range(len(norms)):
        norms[r] = 0
        for j in range(starts[r], starts[r + 1]):
            norms[r] += np.float64(values[j]) ** 2
        norms[r] = np.sqrt(norms[r])
    return norms


@njit(cache=True, nogil=True)
def add_exactly(columns: Any, values: Any, power: int, anchors: Any, sums: Any) -> None:
    """sums[column] += value^power, each term rounded to its column's grid first; power 1 or 2."""
    for j in range(len(columns)):
        v = np.float64(values[j])
        term = v * v if power == 2 else v
        anchor = anchors[columns[j]]
        sums[columns[j]] += (term + anchor) - anchor


@njit(cache=True, nogil=True)
def largest_terms(starts: Any, columns: Any, values: Any, reach: Any, largest: Any) -> None:
    """largest[column] = the largest |value| × reach[row] of the column's entries, in place; largest begins at 0."""
    for r in range(len(starts) - 1):
        for j in range(starts[r], starts[r + 1]):
            largest[columns[j]] = max(largest[columns[j]], abs(np.float64(values[j])) * reach[r])
