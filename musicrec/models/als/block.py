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

from musicrec.models.als.axes import turn
from musicrec.models.als.items import ItemRoom, improve_items
from musicrec.models.als.kernels import fit_losses, solve_rows
from musicrec.models.als.params import AlsParams
from musicrec.models.als.rows import Block, make_block
from musicrec.models.als.scale import Scale
from musicrec.models.collective import Collective
from musicrec.models.sparse import SparseRows

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]

# Of the first item vectors, as Rendle et al. (2021) draw them. On two simulated workloads 0.03, 0.3 and 1 ended at a
# loss up to .4 % higher.
_FIRST_LENGTH = 0.1

# Where every row is solved until nothing changes: the residual beside the right-hand side, and the most steps.
_SOLVED, _MOST_STEPS = np.float32(1e-5), 32

# Listeners whose loss is added up together: float64 copies of all would double the memory.
_PART = 65_536


def load_kernels() -> None:
    """Load the compiled code (or compile it) by a fit of one pair."""
    ring, one = Collective(0, 1, None), np.zeros(1, np.int32)
    block = make_block(ring, one, one, np.ones(1, np.float32), 1)
    params = AlsParams(rank=1)
    alternate(ring, block, params, first_items(block, 1, 0), 1, True, lambda _: None)


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
    """Random item vectors [width × rank] of about that length; an item's own do not change when others are added."""
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
    penalties = params.penalties(block.item_counts, block.scale)
    room = ItemRoom.make(ring, *items.shape)
    seconds = {"listeners": 0.0, "items": 0.0, "finish": 0.0}
    for iteration in range(iterations):
        began = time.perf_counter()
        fully = is_warm and iteration == 0
        _solve_users(ring, block, params, items, users, fully)
        between = time.perf_counter()
        improve_items(ring, block, params, penalties, users, items, room)
        seconds["listeners"] += between - began
        seconds["items"] += time.perf_counter() - between
        done(iteration + 1)
    began = time.perf_counter()
    _solve_users(ring, block, params, items, users, fully=True)
    loss = _loss(ring, block, params, penalties, users, items)
    seconds["finish"] = time.perf_counter() - began
    return Factors(users, items, loss, seconds)


def _solve_users(
    ring: Collective, block: Block, params: AlsParams, items: Floats32, users: Floats32, fully: bool
) -> None:
    def gram() -> Floats64:
        return params.unobserved_weight(block.scale) * (items.T @ items).astype(np.float64)

    spectrum = turn(ring, gram, block.groups, users, items)
    if fully:
        solve_fully(block.by_user, block.scale, params, items, spectrum, users)
    else:
        _solve(block.by_user, block.scale, params, items, spectrum, users, params.steps, np.float32(0))


def solve_fully(
    rows: SparseRows, scale: Scale, params: AlsParams, items: Floats32, spectrum: Floats32, users: Floats32
) -> None:
    """Solve listeners until nothing changes, in place.

    Parameters
    ----------
    rows : their entries, values weights as multiples of the mean one.
    scale : of the fit that the items are of.
    items : [width × rank], 0 where an item has none, turned to the `principal_axes` of α₀ itemsᵀ items; spectrum :
        [rank] its eigenvalues.
    users : [rows × rank] where to begin, in the same basis.
    """
    _solve(rows, scale, params, items, spectrum, users, _MOST_STEPS, _SOLVED)


def _solve(
    rows: SparseRows,
    scale: Scale,
    params: AlsParams,
    items: Floats32,
    spectrum: Floats32,
    users: Floats32,
    steps: int,
    tolerance: np.float32,
) -> None:
    entries = (rows.starts, rows.columns, rows.values)
    penalties, unobserved = params.penalties(rows.counts, scale), np.float32(params.unobserved_weight(scale))
    solve_rows(*entries, items, spectrum, penalties, unobserved, users, steps, tolerance)


def _loss(
    ring: Collective, block: Block, params: AlsParams, penalties: Floats32, users: Floats32, items: Floats32
) -> float:
    """The sum in `als.fit_als`; Σ over all pairs of (x·y)² = Σ_u xᵀ(YᵀY)x, so only entries are visited one by one."""
    rows, unobserved = block.by_user, params.unobserved_weight(block.scale)
    wide = items.astype(np.float64)
    gram = unobserved * (wide.T @ wide)
    own = float(fit_losses(rows.starts, rows.columns, rows.values, users, items, np.float32(unobserved)).sum())
    user_penalties = params.penalties(rows.counts, block.scale)
    for begin in range(0, len(users), _PART):
        part = users[begin : begin + _PART].astype(np.float64)
        own += float(((part @ gram) * part).sum() + user_penalties[begin : begin + _PART] @ (part * part).sum(axis=1))
    total = float(ring.reduce(np.array([own]))[0])
    return total + float((penalties * np.einsum("ij,ij->i", wide, wide)).sum())
