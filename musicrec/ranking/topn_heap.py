"""Compiled parts of the top-N kernels: a heap of a list's entries, the n-th best of some numbers, an exact score.

A heap is four arrays of the list's length: scores, items (item_idx), artists and places (rows of the catalogue), with
the worst entry first. An entry is worse than another if its score is lower, or equal and its item_idx higher: a total
order. Numba's caches look at the text of the caller's file only: after a change here or in `significant.py`, change
`topn_kernels.py`, `diversity_kernels.py` and `explain_kernels.py` too, or remove `__pycache__`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.models.significant import SPLIT

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    """Whether the first entry stands below the other."""
    return score < other_score or (score == other_score and item > other_item)


@njit(cache=True, nogil=True)
def sink(scores: Array, items: Array, artists: Array, places: Array, at: int, size: int) -> None:
    """Move the entry at `at` down until no entry under it is worse."""
    score, item, artist, place = scores[at], items[at], artists[at], places[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and worse(scores[right], items[right], scores[child], items[child]):
            child = right
        if not worse(scores[child], items[child], score, item):
            break
        scores[at], items[at], artists[at], places[at] = scores[child], items[child], artists[child], places[child]
        at = child
    scores[at], items[at], artists[at], places[at] = score, item, artist, place


@njit(cache=True, nogil=True)
def rise(scores: Array, items: Array, artists: Array, places: Array, at: int) -> None:
    """Move the entry at `at` up until the one above it is worse."""
    score, item, artist, place = scores[at], items[at], artists[at], places[at]
    while at > 0:
        parent = (at - 1) // 2
        if not worse(score, item, scores[parent], items[parent]):
            break
        scores[at], items[at], artists[at], places[at] = scores[parent], items[parent], artists[parent], places[parent]
        at = parent
    scores[at], items[at], artists[at], places[at] = score, item, artist, place


@njit(cache=True, nogil=True)
def offer(
    scores: Array,
    items: Array,
    artists: Array,
    places: Array,
    size: int,
    score: float,
    item: int,
    artist: int,
    place: int,
    cap: int,
) -> int:
    """Let one item compete for a list; returns the list's new length.

    `cap` above 0 bounds the entries of one artist (−1, no artist, is not bounded): where an artist has so many, the
    item must beat the worst of them and takes its place. Both exchanges keep the best set that the cap allows of all
    that was offered so far, since the sets it allows are the independent sets of a matroid.
    """
    full = size == len(scores)
    if full and not worse(scores[0], items[0], score, item):
        return size
    if cap > 0 and artist >= 0:
        found = 0
        for i in range(size):
            found += artists[i] == artist
        if found >= cap:
            worst = -1
            for i in range(size):
                if artists[i] == artist and (worst < 0 or worse(scores[i], items[i], scores[worst], items[worst])):
                    worst = i
            if worse(scores[worst], items[worst], score, item):
                scores[worst], items[worst], places[worst] = score, item, place
                sink(scores, items, artists, places, worst, size)
            return size
    if full:
        scores[0], items[0], artists[0], places[0] = score, item, artist, place
        sink(scores, items, artists, places, 0, size)
        return size
    scores[size], items[size], artists[size], places[size] = score, item, artist, place
    rise(scores, items, artists, places, size)
    return size + 1


@njit(cache=True, nogil=True)
def nth_best(values: Array, size: int, n: int) -> Any:
    """The n-th largest of values[:size], which is put into another order (Hoare's selection)."""
    low, high, at = 0, size - 1, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if at <= j:
            high = j
        elif at >= i:
            low = i
        else:
            break
    return values[at]


@njit(cache=True, nogil=True)
def holds(values: Array, start: int, stop: int, wanted: int) -> bool:
    """Whether the ascending values[start:stop] hold `wanted`."""
    end = stop
    while start < stop:
        middle = (start + stop) // 2
        if values[middle] < wanted:
            start = middle + 1
        else:
            stop = middle
    return start < end and values[start] == wanted


@njit(cache=True, nogil=True)
def exact_dot(left: Array, right: Array) -> Any:
    """left · right in float64, always added in the same order: the same bits wherever it is computed."""
    width = len(left)
    a = b = c = d = np.float64(0.0)
    even = width - width % 4
    for i in range(0, even, 4):
        a += np.float64(left[i]) * np.float64(right[i])
        b += np.float64(left[i + 1]) * np.float64(right[i + 1])
        c += np.float64(left[i + 2]) * np.float64(right[i + 2])
        d += np.float64(left[i + 3]) * np.float64(right[i + 3])
    for i in range(even, width):
        a += np.float64(left[i]) * np.float64(right[i])
    return (a + b) + (c + d)


@njit(cache=True, nogil=True)
def exact_score(left: Array, right: Array, scale: float, bias: float) -> Any:
    """(left · right) × scale + bias in float64, to 30 significant bits: the same bits wherever it is computed."""
    score = exact_dot(left, right) * scale + np.float64(bias)
    wide = score * SPLIT
    # + 0.0 turns −0.0 into 0.0.
    return wide - (wide - score) + 0.0
