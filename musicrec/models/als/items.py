"""The item side of blocked ALS: each task sums up its listeners' part, a ring adds those, each task steps its share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.models.als.axes import turn
from musicrec.models.als.item_kernels import begin_rows, exact_gram, item_pass, step_rows
from musicrec.models.als.params import AlsParams
from musicrec.models.als.rows import Block
from musicrec.models.collective import Collective, even_bounds
from musicrec.models.exact_sums import anchor_of

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]

# Far more than float32 rounds off a length when a vector is turned or its squares are added up.
_TURNED = 1e-3

BYTES_PER_CELL = 28  # of the item side in one task: y, p and r float32, two copies of the sums float64


@dataclass(frozen=True)
class ItemRoom:
    """Working space of the item side, kept from one iteration to the next: fresh memory costs as much as the sums.

    Attributes
    ----------
    sums : [width × rank] float64, of this task's listeners.
    directions : [width × rank]; residuals, sizes : of the items of this task's share, `own`.
    bounds : where each task's share begins.
    """

    sums: Floats64
    directions: Floats32
    residuals: Floats32
    sizes: Floats32
    bounds: list[int]
    own: slice

    @classmethod
    def make(cls, ring: Collective, width: int, rank: int) -> ItemRoom:
        """Space for [width × rank] items; it holds nothing yet."""
        bounds = even_bounds(width, ring.size)
        own = ring.own(bounds)
        share = own.stop - own.start
        rooms = np.empty((width, rank), np.float32), np.empty((share, rank), np.float32)
        return cls(np.empty((width, rank)), *rooms, np.empty(share, np.float32), bounds, own)


def improve_items(
    ring: Collective,
    block: Block,
    params: AlsParams,
    penalties: Floats32,
    users: Floats32,
    items: Floats32,
    room: ItemRoom,
) -> None:
    """`params.steps` steps of conjugate gradients for all items, in place."""
    weight = params.unobserved_weight(block.scale)
    unobserved = np.float32(weight)
    longest = _longest(ring, users)
    gram = ring.reduce(exact_gram(block.groups, users, anchor_of(np.array(block.listeners * longest**2))))
    spectrum = turn(ring, lambda: weight * gram, block.groups, users, items)
    longest *= 1 + _TURNED
    turned, entry_weights = block.by_item, block.item_weights
    entries = (turned.starts, turned.columns, turned.values, users)
    state = (penalties[room.own], items[room.own], room.residuals, room.directions[room.own], room.sizes)

    bound = block.item_counts * (unobserved + entry_weights * (1 + _lengths(items) * longest)) * longest
    item_pass(*entries, items, unobserved, np.array([1, -1], np.float32), anchor_of(bound), room.sums)
    begin_rows(ring.reduce_rows(room.sums, room.bounds), spectrum, *state)
    for _ in range(params.steps):
        ring.gather_rows(room.directions, room.bounds)
        anchors = anchor_of(block.item_counts * entry_weights * _lengths(room.directions) * longest**2)
        item_pass(*entries, room.directions, np.float32(0), np.array([0, 1], np.float32), anchors, room.sums)
        step_rows(ring.reduce_rows(room.sums, room.bounds), spectrum, *state)
    ring.gather_rows(items, room.bounds)


def _lengths(vectors: Floats32) -> Floats64:
    """Length of each vector, from above: float32 sums of rank terms, with what they may have lost added."""
    squares = np.einsum("ij,ij->i", vectors, vectors)
    return np.asarray(np.sqrt(squares.astype(np.float64)) * (1 + _TURNED))


def _longest(ring: Collective, vectors: Floats32) -> float:
    """Length of the longest vector of any task."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return float(np.sqrt(ring.reduce(np.array([squares.max(initial=0.0)]), np.maximum)[0]))
