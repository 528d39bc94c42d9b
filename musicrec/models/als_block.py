"""What one task of blocked ALS does: it keeps its listeners' rows and vectors, and shares only the item side.

Listeners are solved where they are. For an item, each task adds up its own listeners' part of every product with the
item's matrix; the tasks add those sums together in a ring (`collective`), each then takes the conjugate gradient step
for its share of the items and hands the result round. So a task holds its listeners and 28 bytes × rank an item.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.models.als_kernels import GROUP, begin_rows, exact_gram, fit_losses, item_pass, solve_rows, step_rows
from musicrec.models.als_params import AlsParams
from musicrec.models.collective import Collective, even_bounds
from musicrec.models.sparse import SparseRows, dense_index, sparse_rows

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]

# Of the first item vectors. From 1 the loss after five iterations was 1 % higher on simulated interactions, from 0.01
# up to 0.5 %: shorter than where they end, but not so short that the first listeners see penalties only.
_FIRST_LENGTH = 0.3

# Where every row is solved until nothing changes: the residual beside the right-hand side, and the most steps.
_SOLVED, _MOST_STEPS = np.float32(1e-5), 32

# Listeners whose loss is added up together: float64 copies of all would double the memory.
_PART = 65_536

BYTES_PER_CELL = 28  # of the item side in one task: y, p and r float32, two copies of the sums float64


@dataclass(frozen=True)
class Block:
    """Some listeners' rows of the matrix, both ways, and the whole matrix's sizes.

    Attributes
    ----------
    user_idx : [listeners] ascending.
    by_user, by_item : the entries, their values alpha × weight.
    groups : where each group of GROUP consecutive user_idx begins among the listeners, and the end.
    item_counts, item_weights : [items] listeners of each item, and its largest entry, over all tasks.
    listeners, items : how many listeners, and items with a listener, there are over all tasks.
    """

    user_idx: NDArray[np.int32]
    by_user: SparseRows
    by_item: SparseRows
    groups: NDArray[np.int64]
    item_counts: NDArray[np.int64]
    item_weights: Floats64
    listeners: int
    items: int


def make_block(
    ring: Collective, user_idx: NDArray[np.int32], item_idx: NDArray[np.int32], values: Floats32, width: int
) -> Block:
    """The block of this task's entries; all tasks' groups of listeners are disjoint."""
    users, rows = dense_index(user_idx)
    by_user = sparse_rows(rows, item_idx, values, len(users), width)
    by_item = by_user.transposed()
    heaviest = np.zeros(width)
    np.maximum.at(heaviest, item_idx, values)
    counts = ring.reduce(by_item.counts.copy())
    listeners = ring.reduce(np.array([len(users)], np.int64))
    groups = np.concatenate([np.flatnonzero(np.diff(users // GROUP, prepend=-1)), [len(users)]]).astype(np.int64)
    return Block(
        users,
        by_user,
        by_item,
        groups,
        counts,
        ring.reduce(heaviest, np.maximum),
        int(listeners[0]),
        int(np.count_nonzero(counts)),
    )


@dataclass(frozen=True)
class Factors:
    """What a fit ends with in one task.

    Attributes
    ----------
    users : [listeners × rank]; items : [width × rank], the same in every task; rows without entries are 0.
    loss : over all tasks.
    seconds : of each part of the work, in this task.
    """

    users: Floats32
    items: Floats32
    loss: float
    seconds: dict[str, float]


def first_items(block: Block, rank: int, seed: int) -> Floats32:
    """Random item vectors [width × rank]; an item's own do not change when others are added."""
    drawn = np.random.default_rng(seed).standard_normal((len(block.item_counts), rank), dtype=np.float32)
    drawn *= np.float32(_FIRST_LENGTH * rank**-0.5)
    drawn[block.item_counts == 0] = 0
    return drawn


def alternate(
    ring: Collective,
    block: Block,
    params: AlsParams,
    items: Floats32,
    iterations: int,
    is_warm: bool,
    done: Callable[[int], None],
) -> Factors:
    """Solve listeners and items in turn, then listeners until they are the optimum for the items.

    Parameters
    ----------
    items : [width × rank] where to begin, changed in place.
    is_warm : the items are a fit's: then the first listeners, who begin at 0, are solved fully too.
    done : called after each iteration with its number, from 1.
    """
    users = np.zeros((len(block.user_idx), params.rank), np.float32)
    penalties = params.penalties(block.item_counts, block.listeners)
    seconds = {"listeners": 0.0, "items": 0.0, "finish": 0.0}
    for iteration in range(iterations):
        began = time.perf_counter()
        fully = is_warm and iteration == 0
        _solve_users(block, params, items, users, fully)
        between = time.perf_counter()
        _improve_items(ring, block, params, penalties, users, items)
        seconds["listeners"] += between - began
        seconds["items"] += time.perf_counter() - between
        done(iteration + 1)
    began = time.perf_counter()
    _solve_users(block, params, items, users, fully=True)
    loss = _loss(ring, block, params, penalties, users, items)
    seconds["finish"] = time.perf_counter() - began
    return Factors(users, items, loss, seconds)


def _solve_users(block: Block, params: AlsParams, items: Floats32, users: Floats32, fully: bool) -> None:
    gram = np.float32(params.unobserved_weight) * (items.T @ items)
    if fully:
        solve_fully(block.by_user, block.items, params, items, gram, users)
    else:
        penalties = params.penalties(block.by_user.counts, block.items)
        _solve(block.by_user, penalties, params, items, gram, users, params.steps, np.float32(0))


def solve_fully(
    rows: SparseRows, others: int, params: AlsParams, items: Floats32, gram: Floats32, users: Floats32
) -> None:
    """Solve listeners until nothing changes, in place.

    Parameters
    ----------
    rows : their entries, values alpha × weight.
    others : how many items have a vector.
    items : [width × rank], 0 where an item has none; gram : α₀ itemsᵀ items.
    users : [rows × rank] where to begin.
    """
    _solve(rows, params.penalties(rows.counts, others), params, items, gram, users, _MOST_STEPS, _SOLVED)


def _solve(
    rows: SparseRows,
    penalties: Floats32,
    params: AlsParams,
    items: Floats32,
    gram: Floats32,
    users: Floats32,
    steps: int,
    tolerance: np.float32,
) -> None:
    entries = (rows.starts, rows.columns, rows.values)
    unobserved = np.float32(params.unobserved_weight)
    solve_rows(*entries, items, gram, penalties, unobserved, users, steps, tolerance)


def _improve_items(
    ring: Collective, block: Block, params: AlsParams, penalties: Floats32, users: Floats32, items: Floats32
) -> None:
    """`params.steps` steps of conjugate gradients for all items, in place."""
    unobserved = np.float32(params.unobserved_weight)
    longest = _longest(ring, users)
    gram = exact_gram(block.groups, users, _anchor(np.array(block.listeners * longest**2)))
    gram = (params.unobserved_weight * ring.reduce(gram)).astype(np.float32)
    bounds = even_bounds(len(items), ring.size)
    own = slice(bounds[ring.rank], bounds[ring.rank + 1])
    sums = np.empty(items.shape)
    turned, entry_weights = block.by_item, block.item_weights
    entries = (turned.starts, turned.columns, turned.values, users)

    reach = np.sqrt(np.einsum("ij,ij->i", items, items, dtype=np.float64)) * longest
    bound = block.item_counts * (unobserved + entry_weights * (1 + reach)) * longest
    item_pass(*entries, items, unobserved, np.array([1, -1], np.float32), _anchor(bound), sums)
    directions = np.zeros_like(items)
    residuals = np.empty((own.stop - own.start, items.shape[1]), np.float32)
    sizes = np.empty(len(residuals), np.float32)
    begin_rows(ring.reduce_rows(sums, bounds), gram, penalties[own], items[own], residuals, directions[own], sizes)
    for _ in range(params.steps):
        ring.gather_rows(directions, bounds)
        reach = np.sqrt(np.einsum("ij,ij->i", directions, directions, dtype=np.float64)) * longest
        anchors = _anchor(block.item_counts * entry_weights * reach * longest)
        item_pass(*entries, directions, np.float32(0), np.array([0, 1], np.float32), anchors, sums)
        step_rows(ring.reduce_rows(sums, bounds), gram, penalties[own], items[own], residuals, directions[own], sizes)
    ring.gather_rows(items, bounds)


def _longest(ring: Collective, vectors: Floats32) -> float:
    """Length of the longest vector of any task."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return float(np.sqrt(ring.reduce(np.array([squares.max(initial=0.0)]), np.maximum)[0]))


def _anchor(bound: Floats64) -> Floats64:
    """For sums whose terms' sizes add up to at most `bound`: 1.5 × 2⁵² × the width of a grid on which they are exact.

    On a grid of width bound × 2⁻⁵¹ (a power of two) every partial sum has at most 52 bits.
    """
    _, exponent = np.frexp(np.maximum(bound, np.finfo(np.float32).tiny))
    return np.asarray(np.ldexp(1.5, exponent + 1))


def _loss(
    ring: Collective, block: Block, params: AlsParams, penalties: Floats32, users: Floats32, items: Floats32
) -> float:
    """The sum in `als.fit_als`; Σ over all pairs of (x·y)² = Σ_u xᵀ(YᵀY)x, so only entries are visited one by one."""
    rows, alpha = block.by_user, params.unobserved_weight
    wide = items.astype(np.float64)
    gram = alpha * (wide.T @ wide)
    own = float(fit_losses(rows.starts, rows.columns, rows.values, users, items, np.float32(alpha)).sum())
    user_penalties = params.penalties(rows.counts, block.items)
    for begin in range(0, len(users), _PART):
        part = users[begin : begin + _PART].astype(np.float64)
        own += float(((part @ gram) * part).sum() + user_penalties[begin : begin + _PART] @ (part * part).sum(axis=1))
    total = float(ring.reduce(np.array([own]))[0])
    return total + float((penalties * np.einsum("ij,ij->i", wide, wide)).sum())
