"""Nearest neighbours of items in one task by itself: what `knn.fit_knn` gives, for a matrix that fits there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.models.blocks import Ragged
from musicrec.models.knn.fit import ROWS, kernel_arrays
from musicrec.models.knn.matrix import KnnParams, row_matrix_of

Array = NDArray[Any]

# Of an interaction: as it came, and both ways round while the matrix is built.
_BYTES_PER_PAIR = 20 + 2 * 24


def bytes_alone(pairs: int, items: int, k: int) -> int:
    """About what `neighbours_alone` takes."""
    return pairs * _BYTES_PER_PAIR + items * (20 + k * 12)


def neighbours_alone(user_idx: Array, item_idx: Array, weights: Array, params: KnnParams) -> tuple[Array, Ragged]:
    """The k nearest items of every item.

    Parameters
    ----------
    user_idx, item_idx, weights : the interactions, one place a pair, in any order.

    Returns
    -------
    item_idx, ascending, and the neighbours of each, best first.

    Raises
    ------
    InputError, NonFiniteError : as `knn.fit_knn` does.
    """
    from musicrec.models.knn.kernels import top_products

    a = kernel_arrays(row_matrix_of(item_idx, user_idx, weights, params))
    for array in a.values():
        array.setflags(write=False)  # as the kernel is compiled for elsewhere
    left, right = (a["rows"], a["terms"], a["factors"]), (a["starts"], a["columns"], a["values"])
    divide_by, itself = (a["own_sizes"], a["sizes"], params.shrinkage), (a["itself_starts"], a["itself"])
    names, counts, found = a["names"], [], []
    for first in range(0, len(names), ROWS):
        last = min(first + ROWS, len(names))
        of_rows, ids, _ = top_products(first, last, *left, *right, *divide_by, *itself, names, params.k)
        counts.append(of_rows)
        found.append(ids)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    lists = Ragged(np.concatenate(found), starts)
    order = np.argsort(names, kind="stable")
    rows = [lists[row] for row in order.tolist()]
    return names[order], Ragged(
        np.concatenate(rows), np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    )
