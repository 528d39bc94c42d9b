"""Compiled loops of the smooth order: paths through a matrix of transitions, improved by moves that shorten them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

# What a move must save; less is rounding.
_LEAST = 1e-9
# The longest run of songs that is moved as one.
_RUN = 3


@njit(cache=True, nogil=True)
def length(costs: Array, path: Array) -> float:
    """The sum of a path's transitions."""
    total = 0.0
    for place in range(len(path) - 1):
        total += costs[path[place], path[place + 1]]
    return total


@njit(cache=True, nogil=True)
def nearest_first(costs: Array, start: int) -> Array:
    """The path that goes from `start` to the nearest that is left, each time; of equals to the lower."""
    n = len(costs)
    left = np.ones(n, np.bool_)
    path = np.empty(n, np.int64)
    at = start
    for place in range(n):
        path[place] = at
        left[at] = False
        best = -1
        for other in range(n):
            if left[other] and (best < 0 or costs[at, other] < costs[at, best]):
                best = other
        at = best
    return path


@njit(cache=True, nogil=True)
def _edge(costs: Array, path: Array, place: int, song: int) -> float:
    """The transition between a song and the one at a place, nothing beyond the ends."""
    if place < 0 or place >= len(path):
        return 0.0
    return float(costs[path[place], song])


@njit(cache=True, nogil=True)
def reverse_runs(costs: Array, path: Array, first: int) -> bool:
    """One pass of 2-opt: each run of places `first` or later is turned round where that shortens the path.

    Croes, "A Method for Solving Traveling-Salesman Problems", 1958.
    """
    found = False
    for i in range(first, len(path) - 1):
        for j in range(i + 1, len(path)):
            before = _edge(costs, path, i - 1, path[i]) + _edge(costs, path, j + 1, path[j])
            after = _edge(costs, path, i - 1, path[j]) + _edge(costs, path, j + 1, path[i])
            if after < before - _LEAST:
                path[i : j + 1] = path[i : j + 1][::-1].copy()
                found = True
    return found


@njit(cache=True, nogil=True)
def _moved(path: Array, i: int, j: int, to: int, turned: bool) -> Array:
    """The path with the run i .. j taken out and put before place `to` of what is left."""
    run = path[i : j + 1].copy()
    rest = np.concatenate((path[:i], path[j + 1 :]))
    if turned:
        run = run[::-1].copy()
    return np.concatenate((rest[:to], run, rest[to:]))


@njit(cache=True, nogil=True)
def move_runs(costs: Array, path: Array, first: int) -> bool:
    """One pass of or-opt: runs of up to three songs go, turned or not, where they shorten the path most.

    Or, "Traveling Salesman-Type Combinatorial Problems and their Relation to the Logistics of Regional Blood Banking",
    1976.
    """
    found = False
    for size in range(1, _RUN + 1):
        for i in range(first, len(path) - size + 1):
            j = i + size - 1
            head, tail = path[i], path[j]
            gain = _edge(costs, path, i - 1, head) + _edge(costs, path, j + 1, tail)
            if i > 0 and j + 1 < len(path):
                gain -= costs[path[i - 1], path[j + 1]]
            rest = np.concatenate((path[:i], path[j + 1 :]))
            best, best_to, best_turned = -_LEAST, -1, False
            for to in range(first, len(rest) + 1):
                if to == i:
                    continue
                gap = costs[rest[to - 1], rest[to]] if 0 < to < len(rest) else 0.0
                for turned in (False, True):
                    near, far = (tail, head) if turned else (head, tail)
                    change = _edge(costs, rest, to - 1, near) + _edge(costs, rest, to, far) - gap - gain
                    if change < best:
                        best, best_to, best_turned = change, to, turned
            if best_to >= 0:
                path[:] = _moved(path, i, j, best_to, best_turned)
                found = True
    return found


def warm_up() -> None:
    """Have everything compiled, so that this counts in nobody's time limit."""
    costs = np.zeros((2, 2))
    path = nearest_first(costs, 0)
    reverse_runs(costs, path, 0)
    move_runs(costs, path, 0)
    length(costs, path)
