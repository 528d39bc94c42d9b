"""The basis in which ALS solves: the one in which the Gram matrix of the side that is held fixed is diagonal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from musicrec.models.als.kernels import rotate
from musicrec.models.collective import Collective

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]

# Items that are turned together: any number, the same in every task.
_ITEMS = 4096


def principal_axes(gram: Floats64) -> tuple[Floats32, Floats32]:
    """Eigenvalues [d] of a Gram matrix, all > 0, and its eigenvectors as columns [d × d].

    What is 0 but for rounding is raised to 1e-7 of the largest, as far as float32 tells them apart.
    """
    values, axes = np.linalg.eigh(gram)
    least = max(1e-7 * values[-1], float(np.finfo(np.float32).tiny))
    return np.maximum(values, least).astype(np.float32), np.ascontiguousarray(axes, dtype=np.float32)


def turn(
    ring: Collective, gram: Callable[[], Floats64], groups: NDArray[np.int64], users: Floats32, items: Floats32
) -> Floats32:
    """Turn both sides in place so that a Gram matrix becomes diagonal; that diagonal [rank].

    Parameters
    ----------
    gram : gives the matrix [rank × rank]; called by the first task only.
    groups : where each group of listeners begins, and the end, see `als_item_kernels.GROUP`.
    users : [listeners × rank]; items : [width × rank].
    """
    rank = items.shape[1]
    found = np.empty((rank + 1, rank), np.float32)
    if ring.rank == 0:  # one task for all: eigenvectors found on another machine might differ
        found[0], found[1:] = principal_axes(gram())
    ring.gather_rows(found, [0] + [len(found)] * ring.size)
    rotate(groups, users, found[1:])
    rotate(np.append(np.arange(0, len(items), _ITEMS), len(items)), items, found[1:])
    return np.asarray(found[0])
