"""Blocked ALS in one task by itself: what `als.fit_als` gives, bit for bit, for a matrix that fits there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.models.als.block import alternate, first_items
from musicrec.models.als.blocked import check_reports
from musicrec.models.als.items import BYTES_PER_CELL
from musicrec.models.als.params import AlsParams
from musicrec.models.als.rows import make_block
from musicrec.models.collective import Collective

# Of an interaction: listener, item and weight, and both ways round with their columns and values.
_BYTES_PER_PAIR = 12 + 12 + 16


@dataclass(frozen=True)
class Vectors:
    """A fitted model on one machine.

    Attributes
    ----------
    user_idx, item_idx : ascending, those with an interaction.
    users, items : their vectors [· × rank].
    """

    user_idx: NDArray[np.int32]
    users: NDArray[np.float32]
    item_idx: NDArray[np.int32]
    items: NDArray[np.float32]


def bytes_alone(pairs: int, listeners: int, items: int, rank: int) -> int:
    """About what `fit_alone` takes."""
    return pairs * _BYTES_PER_PAIR + items * rank * BYTES_PER_CELL + listeners * rank * 4


def fit_alone(
    user_idx: NDArray[np.int32], item_idx: NDArray[np.int32], weights: NDArray[np.float32], params: AlsParams, seed: int
) -> Vectors:
    """Factorise in the calling process; the loss is that of `als.fit_als`.

    Parameters
    ----------
    user_idx, item_idx, weights : the interactions, one place a pair, in any order.

    Raises
    ------
    InputError, NonFiniteError : as `als.fit_als` does.
    """
    bad = int((~(np.isfinite(weights) & (weights > 0))).sum())
    report = {"interactions": len(weights), "bad": bad}
    if bad or not len(weights):
        check_reports([report], params)
    ring, width = Collective(0, 1, None), int(item_idx.max()) + 1
    block = make_block(ring, user_idx, item_idx, weights, width)
    start = first_items(block, params.rank, seed)
    found = alternate(ring, block, params, start, params.iterations, False, lambda _: None)
    known = np.flatnonzero(block.item_counts).astype(np.int32)
    items = found.items[known]
    not_finite = sum(int((~np.isfinite(side).all(axis=1)).sum()) for side in (found.users, items))
    longest = float(np.sqrt((items**2).sum(axis=1).max(initial=0.0)))
    check_reports([report | {"not_finite": not_finite, "longest_item": longest}], params)
    return Vectors(block.user_idx, found.users, known, items)
