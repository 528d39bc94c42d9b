"""Made-up interactions from a seed, the same for every engine: Zipf items, listeners with tastes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

# Shares of a listener's plays: the first, second and third taste; the rest is what everybody hears.
_TASTE_SHARES = (0.45, 0.25, 0.15)
_FILE_ROWS = 4_000_000
_ZIPF_EXPONENT = 0.9
_ACTIVITY_SPREAD = 1.1
_PLAYS_SPREAD = 1.0


def interactions_workload(users: int, items: int, nnz: int, seed: int) -> tuple[Ints, Ints, Floats]:
    """Exactly `nnz` distinct pairs of a listener and an item, ordered by both.

    Items belong to tastes (about √items / 4 of them) and are popular by Zipf's law within each; a listener has three
    tastes. How much each plays is log-normal. Every listener has a pair (where nnz ≥ users); an item may have none.

    Parameters
    ----------
    users, items : sizes; indices are 0 .. size − 1, in no order of popularity.
    nnz : pairs, at most half of users × items.
    seed : same seed, same arrays.

    Returns
    -------
    user_idx int32 [nnz], item_idx int32 [nnz], weight float32 [nnz] = ln(1 + plays), plays ≥ 1 and log-normal.
    """
    if nnz > users * items // 2:
        raise ValueError(f"{nnz} pairs do not fit in {users} × {items} with room to spare")
    rng = np.random.default_rng(seed)
    catalogue = _Catalogue(items, rng)
    tastes = rng.integers(0, catalogue.tastes, (users, len(_TASTE_SHARES)), dtype=np.int32)
    activity = np.cumsum(rng.lognormal(0, _ACTIVITY_SPREAD, users))
    first = np.arange(min(users, nnz))
    cells: NDArray[np.int64] = first * items + catalogue.draw(tastes[first], rng)
    for attempt in range(1000):
        missing = nnz - len(cells)
        if missing <= 0:
            break
        # Repeats are lost, so ask for more; where the popular are used up, any item will do.
        wanted = int(missing * 1.3) + 100
        listeners = np.searchsorted(activity, rng.random(wanted) * activity[-1], side="right").clip(max=users - 1)
        drawn = catalogue.draw(tastes[listeners], rng) if attempt < 8 else rng.integers(0, items, wanted)
        if attempt >= 16:
            listeners = rng.integers(0, users, wanted)
        cells = np.unique(np.concatenate([cells, listeners * items + drawn]))
    cells = _without_surplus(cells, nnz, items, rng)
    plays = np.floor(1 + rng.lognormal(0, _PLAYS_SPREAD, nnz))
    return (cells // items).astype(np.int32), (cells % items).astype(np.int32), np.log1p(plays).astype(np.float32)


def _without_surplus(cells: NDArray[np.int64], nnz: int, items: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`nnz` of the ordered cells; each listener's first one stays."""
    surplus = len(cells) - nnz
    if surplus <= 0:
        return cells
    spare = np.flatnonzero(np.diff(cells // items, prepend=-1) == 0)
    return np.delete(cells, rng.choice(spare, surplus, replace=False))


class _Catalogue:
    """Items with their tastes and popularities; `draw` picks by both."""

    def __init__(self, items: int, rng: np.random.Generator) -> None:
        self.tastes = max(1, round(items**0.5 / 4))
        popularity = 1.0 / (np.arange(items) + 10.0) ** _ZIPF_EXPONENT
        rng.shuffle(popularity)
        taste = rng.integers(0, self.tastes, items)
        # Items of one taste stand together, so that a taste is a range of the running sum.
        self.order = np.argsort(taste, kind="stable")
        self.sums = np.cumsum(popularity[self.order])
        ends = np.searchsorted(taste[self.order], np.arange(self.tastes), side="right")
        self.tops = np.concatenate([[0.0], self.sums])[np.concatenate([[0], ends])]

    def draw(self, tastes: NDArray[np.int32], rng: np.random.Generator) -> NDArray[Any]:
        """An item for each row of tastes [n × 3]."""
        which = np.searchsorted(np.cumsum(_TASTE_SHARES), rng.random(len(tastes)), side="right")
        own = tastes[np.arange(len(tastes)), np.minimum(which, len(_TASTE_SHARES) - 1)]
        anything = which == len(_TASTE_SHARES)
        low = np.where(anything, 0.0, self.tops[own])
        high = np.where(anything, self.sums[-1], self.tops[own + 1])
        at = low + rng.random(len(tastes)) * (high - low)
        return self.order[np.searchsorted(self.sums, at, side="right").clip(max=len(self.order) - 1)]


def write_workload(folder: Path, users: int, items: int, nnz: int, seed: int) -> None:
    """The interactions as parquet in `folder`, in no order, a file for each four million pairs."""
    user_idx, item_idx, weight = interactions_workload(users, items, nnz, seed)
    order = np.random.default_rng(seed).permutation(nnz)
    folder.mkdir(parents=True)
    for part, start in enumerate(range(0, nnz, _FILE_ROWS)):
        rows = order[start : start + _FILE_ROWS]
        columns = {"user_idx": user_idx[rows], "item_idx": item_idx[rows], "weight": weight[rows].astype(np.float64)}
        pq.write_table(pa.table(columns), folder / f"{part:03}.parquet")


def write_workload_apart(folder: Path, users: int, items: int, nnz: int, seed: int) -> None:
    """`write_workload` by a process of its own, so that its memory is not counted with the engines'."""
    command = [sys.executable, "-m", "benchmarks.workload", str(folder)]
    subprocess.run([*command, *map(str, (users, items, nnz, seed))], check=True)


if __name__ == "__main__":
    write_workload(Path(sys.argv[1]), *map(int, sys.argv[2:]))
