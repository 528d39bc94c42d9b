"""The rows of the interaction matrix that one task of blocked ALS keeps: its listeners', by listener and by item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.models.als.item_kernels import GROUP
from musicrec.models.als.scale import Scale
from musicrec.models.collective import Collective
from musicrec.models.sparse import SparseRows, dense_index, sparse_rows


@dataclass(frozen=True)
class Block:
    """Some listeners' rows of the matrix, both ways, and the whole matrix's sizes.

    Attributes
    ----------
    user_idx : [listeners] ascending.
    by_user, by_item : the entries, their values weights as multiples of the mean one.
    groups : where each group of GROUP consecutive user_idx begins among the listeners, and the end.
    item_counts, item_weights : [items] listeners of each item, and its largest entry, over all tasks.
    listeners, items : how many listeners, and items with a listener, there are over all tasks.
    scale : of all tasks' interactions.
    """

    user_idx: NDArray[np.int32]
    by_user: SparseRows
    by_item: SparseRows
    groups: NDArray[np.int64]
    item_counts: NDArray[np.int64]
    item_weights: NDArray[np.float64]
    listeners: int
    items: int
    scale: Scale


def make_block(
    ring: Collective, user_idx: NDArray[np.int32], item_idx: NDArray[np.int32], weights: NDArray[np.float32], width: int
) -> Block:
    """The block of this task's entries; all tasks' groups of listeners are disjoint."""
    users, rows = dense_index(user_idx)
    counts = ring.reduce(np.bincount(item_idx, minlength=width).astype(np.int64))
    listeners = int(ring.reduce(np.array([len(users)], np.int64))[0])
    scale = Scale.of(ring, weights, counts, listeners)
    values = scale.in_means(weights)
    by_user = sparse_rows(rows, item_idx, values, len(users), width)
    by_item = by_user.transposed()
    heaviest = np.zeros(width)
    np.maximum.at(heaviest, item_idx, values)
    groups = np.concatenate([np.flatnonzero(np.diff(users // GROUP, prepend=-1)), [len(users)]]).astype(np.int64)
    return Block(
        users,
        by_user,
        by_item,
        groups,
        counts,
        ring.reduce(heaviest, np.maximum),
        listeners,
        int(np.count_nonzero(counts)),
        scale,
    )
