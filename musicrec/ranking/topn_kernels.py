"""Compiled loops of the top-N engine: what numpy could only do with a mask over every listener and item.

A listener's list under way is a heap of at most n entries with the worst on top, a row of `scores`, `items` and
`artists` each. An entry is worse than another if its score is lower, or equal and its item_idx higher: a total order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
Columns = tuple[Array, ...]

# Scores of a tile that are compared at once; none of them reaches the floor most of the time.
_LANES = 32


@njit(cache=True, nogil=True)
def _worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    return score < other_score or (score == other_score and item > other_item)


@njit(cache=True, nogil=True)
def _sink(scores: Array, items: Array, artists: Array, at: int, size: int) -> None:
    """Move the entry at `at` down until no entry under it is worse."""
    score, item, artist = scores[at], items[at], artists[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _worse(scores[right], items[right], scores[child], items[child]):
            child = right
        if not _worse(scores[child], items[child], score, item):
            break
        scores[at], items[at], artists[at] = scores[child], items[child], artists[child]
        at = child
    scores[at], items[at], artists[at] = score, item, artist


@njit(cache=True, nogil=True)
def _rise(scores: Array, items: Array, artists: Array, at: int) -> None:
    """Move the entry at `at` up until the one above it is worse."""
    score, item, artist = scores[at], items[at], artists[at]
    while at > 0:
        parent = (at - 1) // 2
        if not _worse(score, item, scores[parent], items[parent]):
            break
        scores[at], items[at], artists[at] = scores[parent], items[parent], artists[parent]
        at = parent
    scores[at], items[at], artists[at] = score, item, artist


@njit(cache=True, nogil=True)
def _offer(
    scores: Array, items: Array, artists: Array, size: int, score: float, item: int, artist: int, cap: int
) -> int:
    """Let one item compete for a list; returns the list's new length.

    `cap` above 0 bounds the entries of one artist (−1, no artist, is not bounded): where an artist has so many, the
    item must beat the worst of them and takes its place. Both exchanges keep the best set that the cap allows of all
    that was offered so far, since the sets it allows are the independent sets of a matroid.
    """
    full = size == len(scores)
    if full and not _worse(scores[0], items[0], score, item):
        return size
    if cap > 0 and artist >= 0:
        found = 0
        for i in range(size):
            found += artists[i] == artist
        if found >= cap:
            worst = -1
            for i in range(size):
                if artists[i] == artist and (worst < 0 or _worse(scores[i], items[i], scores[worst], items[worst])):
                    worst = i
            if _worse(scores[worst], items[worst], score, item):
                scores[worst], items[worst] = score, item
                _sink(scores, items, artists, worst, size)
            return size
    if full:
        scores[0], items[0], artists[0] = score, item, artist
        _sink(scores, items, artists, 0, size)
        return size
    scores[size], items[size], artists[size] = score, item, artist
    _rise(scores, items, artists, size)
    return size + 1


@njit(cache=True, nogil=True)
def _holds(values: Array, start: int, stop: int, wanted: int) -> bool:
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
def _exact(left: Array, right: Array, scale: float, bias: float) -> Any:
    """(left · right) × scale + bias in float64, rounded to 6 decimals: the same bits wherever it is computed."""
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
    # + 0.0 turns −0.0 into 0.0.
    return np.rint((((a + b) + (c + d)) * scale + np.float64(bias)) * 1e6) / 1e6 + 0.0


@njit(cache=True, nogil=True)
def sort_lists(values: Array, starts: Array) -> None:
    """Put each list values[starts[i]:starts[i + 1]] into ascending order, in place."""
    for i in range(len(starts) - 1):
        for j in range(starts[i] + 1, starts[i + 1]):
            if values[j] < values[j - 1]:
                values[starts[i] : starts[i + 1]].sort()
                break


@njit(cache=True, nogil=True)
def reaching(
    sizes: Array, best_scores: Array, counts: Array, reach: float, lift: float, slack: float, rows: Array
) -> int:
    """The listeners to whom a tile can still give something, into `rows`; returns how many they are.

    No score of the tile is above size × reach + lift, by Cauchy and Schwarz; a full list's worst entry is its first.

    Parameters
    ----------
    sizes : float64 [listeners], the norm of the listener's scaled vector.
    best_scores, counts : the lists under way.
    reach, lift : the largest scaled norm and the largest bias of the tile's items.
    slack : the share of size × reach + |lift| by which a computed bound may be too low.
    rows : int32 [listeners], filled.
    """
    n, found = best_scores.shape[1], 0
    for u in range(len(sizes)):
        top = sizes[u] * reach
        if counts[u] < n or top + lift + slack * (top + abs(lift)) + 1e-6 >= best_scores[u, 0]:
            rows[found] = u
            found += 1
    return found


@njit(cache=True, nogil=True)
def scan_tile(
    rough: Array,
    rows: Array,
    tile: Columns,
    listeners: Columns,
    limits: tuple[float, float, float],
    left_out: Columns,
    lists: Columns,
    cap: int,
) -> None:
    """Offer a tile's items to the listeners for whom the rough score says that they may enter.

    Parameters
    ----------
    rough : float32 [len(rows) × tile], listener · item, before the items' scale and bias.
    rows : the listeners of its rows.
    tile : item_idx, vectors, scale, the same in float32, bias, artist of the tile's items.
    listeners : vectors, scale and size of all the block's.
    limits : reach and largest |bias| of the tile, and the share of size × reach + |bias| that rough is off at most.
    left_out : item_idx and starts of what each listener must not get, artists and starts likewise; each list ascending.
    lists : scores, items, artists, counts of the lists under way; changed.
    cap : entries of one artist at most; 0 for any number.
    """
    item_idx, vectors, scale, rough_scale, bias, artist_of = tile
    own, own_scale, sizes = listeners
    reach, lift, error = limits
    out_items, out_starts, out_artists, out_artist_starts = left_out
    scores, items, artists, counts = lists
    width, n = rough.shape[1], scores.shape[1]
    for r in range(len(rows)):
        u = rows[r]
        line = rough[r]
        margin = error * (sizes[u] * reach + lift) + 1e-6
        floor = np.float32(scores[u, 0] - margin) if counts[u] == n else np.float32(-np.inf)
        for start in range(0, width, _LANES):
            stop = min(start + _LANES, width)
            # Not "any ≥ floor": a NaN, where the float32 product overflowed, must be looked at as well.
            below = 0
            for j in range(start, stop):
                below += line[j] * rough_scale[j] + bias[j] < floor
            if below == stop - start:
                continue
            for j in range(start, stop):
                if line[j] * rough_scale[j] + bias[j] < floor:
                    continue
                item, artist = item_idx[j], artist_of[j]
                if _holds(out_items, out_starts[u], out_starts[u + 1], item):
                    continue
                if _holds(out_artists, out_artist_starts[u], out_artist_starts[u + 1], artist):
                    continue
                score = _exact(own[u], vectors[j], own_scale[u] * scale[j], bias[j])
                counts[u] = _offer(scores[u], items[u], artists[u], counts[u], score, item, artist, cap)
                if counts[u] == n:
                    floor = np.float32(scores[u, 0] - margin)


@njit(cache=True, nogil=True)
def scan_given(
    given: Columns,
    catalogue: Columns,
    listeners: Columns,
    left_out: Columns,
    lists: Columns,
    cap: int,
) -> None:
    """Offer each listener the items given for them and no others.

    Parameters
    ----------
    given : item_idx, their rows in the catalogue (−1 where it lacks one), starts; each list ascending by item_idx.
    catalogue : item_idx, vectors, scale, bias, artist of all items.
    The others : as for `scan_tile`.
    """
    wanted, places, starts = given
    _, vectors, scale, bias, artist_of = catalogue
    own, own_scale, _ = listeners
    out_items, out_starts, out_artists, out_artist_starts = left_out
    scores, items, artists, counts = lists
    for u in range(len(own)):
        for i in range(starts[u], starts[u + 1]):
            j, item = places[i], wanted[i]
            if j < 0 or (i > starts[u] and wanted[i - 1] == item):
                continue
            artist = artist_of[j]
            if _holds(out_items, out_starts[u], out_starts[u + 1], item):
                continue
            if _holds(out_artists, out_artist_starts[u], out_artist_starts[u + 1], artist):
                continue
            score = _exact(own[u], vectors[j], own_scale[u] * scale[j], bias[j])
            counts[u] = _offer(scores[u], items[u], artists[u], counts[u], score, item, artist, cap)


@njit(cache=True, nogil=True)
def in_order(lists: Columns) -> Columns:
    """The lists laid end to end, each best first: item_idx, scores and starts. The heaps are used up."""
    scores, items, artists, counts = lists
    starts = np.zeros(len(counts) + 1, np.int64)
    for u in range(len(counts)):
        starts[u + 1] = starts[u] + counts[u]
    found_items = np.empty(starts[-1], np.int32)
    found_scores = np.empty(starts[-1], np.float64)
    for u in range(len(counts)):
        for size in range(counts[u], 0, -1):
            at = starts[u] + size - 1
            found_items[at], found_scores[at] = items[u, 0], scores[u, 0]
            last = size - 1
            scores[u, 0], items[u, 0], artists[u, 0] = scores[u, last], items[u, last], artists[u, last]
            _sink(scores[u], items[u], artists[u], 0, last)
    return found_items, found_scores, starts
