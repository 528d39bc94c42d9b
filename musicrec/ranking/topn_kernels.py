"""Compiled loops of the top-N engine: what numpy could only do with a mask over every listener and item.

While tiles are scanned a listener has candidates: up to `room` rows of the catalogue with their rough scores, among
them all that can still be in the list, and a floor that a further one must reach. In the end, or where they become too
many, they are scored exactly and the best make a list.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.models.significant import SHARE
from musicrec.ranking.topn_heap import exact_score, holds, nth_best, offer, sink

Array = NDArray[Any]
Columns = tuple[Array, ...]

# Scores of a tile that are compared at once; none of them reaches the floor most of the time.
_LANES = 16


@njit(cache=True, nogil=True)
def mark(items: Array, starts: Array) -> Array:
    """A set bit for each of a listener's items modulo 1024: uint64 [listeners × 16]. A clear bit says no at once."""
    marks = np.zeros((len(starts) - 1, 16), np.uint64)
    for u in range(len(starts) - 1):
        for i in range(starts[u], starts[u + 1]):
            marks[u, (items[i] >> 6) & 15] |= np.uint64(1) << np.uint64(items[i] & 63)
    return marks


@njit(cache=True, nogil=True)
def _is_out(left_out: Columns, u: int, item: int, artist: int) -> bool:
    items, starts, artists, artist_starts, marks = left_out
    marked = (marks[u, (item >> 6) & 15] >> np.uint64(item & 63)) & np.uint64(1)
    if marked and holds(items, starts[u], starts[u + 1], item):
        return True
    return holds(artists, artist_starts[u], artist_starts[u + 1], artist)


@njit(cache=True, nogil=True)
def _score(listeners: Columns, catalogue: Columns, u: int, j: int) -> Any:
    own, own_scale, _ = listeners
    _, vectors, scale, _, bias, _ = catalogue
    return exact_score(own[u], vectors[j], own_scale[u] * scale[j], bias[j])


@njit(cache=True, nogil=True)
def _list_of(listeners: Columns, catalogue: Columns, u: int, rows: Array, size: int, cap: int, heap: Columns) -> int:
    """Fill the heap with the best of the catalogue's rows[:size] for listener u; returns the list's length."""
    item_idx, artist_of = catalogue[0], catalogue[5]
    scores, items, artists, places = heap
    found = 0
    for i in range(size):
        j = rows[i]
        found = offer(
            scores, items, artists, places, found, _score(listeners, catalogue, u, j), item_idx[j], artist_of[j], j, cap
        )
    return found


@njit(cache=True, nogil=True)
def _thin(
    listeners: Columns, catalogue: Columns, u: int, margin: float, pool: Columns, n: int, cap: int, heap: Columns
) -> None:
    """Drop candidates that cannot be in the list any more, and raise the floor.

    n candidates have a rough score of at least the n-th best one, q, so exact scores of at least q − margin; whatever
    is roughly below q − 2 margin is worse than all of them. Where that leaves too many (ties), or artists are capped,
    the candidates are scored exactly and the best n stay.
    """
    rough, places, counts, floors, scratch = pool
    size, room = counts[u], rough.shape[1]
    if cap == 0 and size >= n:
        for i in range(size):
            scratch[i] = rough[u, i]
        floors[u] = np.float64(nth_best(scratch, size, n)) - 2 * margin
        kept = 0
        for i in range(size):
            if rough[u, i] >= floors[u]:
                rough[u, kept], places[u, kept] = rough[u, i], places[u, i]
                kept += 1
        counts[u] = size = kept
    if size > n + (room - n) // 2:
        found = _list_of(listeners, catalogue, u, places[u], size, cap, heap)
        for i in range(found):
            rough[u, i], places[u, i] = heap[0][i], heap[3][i]
        counts[u] = found
        if found == n:
            floors[u] = max(floors[u], heap[0][0] - margin)


@njit(cache=True, nogil=True)
def _first_floor(line: Array, scale: Array, bias: Array, wanted: int, margin: float, tops: Array) -> Any:
    """A floor from a listener's first tile, before any candidate: that of the wanted-th best of the best of every four.

    −∞ where the tile is too small for that. A product that overflowed counts as none.
    """
    groups = len(line) // 4
    if groups < wanted:
        return -np.inf
    for i in range(groups):
        tops[i] = np.float32(-np.inf)
    for quarter in range(4):
        for i in range(groups):
            j = quarter * groups + i
            value = line[j] * scale[j] + bias[j]
            if value > tops[i] and value < np.float32(np.inf):
                tops[i] = value
    return np.float64(nth_best(tops, groups, wanted)) - 2 * margin


@njit(cache=True, nogil=True)
def _all_below(line: Array, scale: Array, bias: Array, floor: Any) -> bool:
    """Whether no rough score reaches the floor. A NaN, where the float32 product overflowed, is not below."""
    below = 0
    for j in range(len(line)):
        below += line[j] * scale[j] + bias[j] < floor
    return bool(below == len(line))


@njit(cache=True, nogil=True)
def _still_wanted(left_out: Columns, u: int, n: int, cap: int) -> Any:
    """Of so many items n may be offered, whatever is left out; more than there are where artists are."""
    _, starts, _, artist_starts, _ = left_out
    if cap > 0 or artist_starts[u + 1] > artist_starts[u]:
        return np.iinfo(np.int64).max
    return n + starts[u + 1] - starts[u]


@njit(cache=True, nogil=True)
def reaching(sizes: Array, floors: Array, reach: float, lift: float, rows: Array) -> int:
    """The listeners to whom a tile can still give something, into `rows`; returns how many they are.

    No score of the tile is above size × reach + lift, by Cauchy and Schwarz; 2⁻²⁹ of it covers that scores are rounded,
    and the bound's own rounding.

    Parameters
    ----------
    sizes, floors : float64 [listeners]: the norm of the scaled vector, and what a score must reach.
    reach, lift : the largest scaled norm and the largest bias of the tile's items.
    rows : int32 [listeners], filled.
    """
    found = 0
    for u in range(len(sizes)):
        top = sizes[u] * reach
        if top + lift + SHARE * (top + abs(lift)) >= floors[u]:
            rows[found] = u
            found += 1
    return found


@njit(cache=True, nogil=True)
def scan_tile(
    products: Array,
    active: Array,
    first: int,
    catalogue: Columns,
    listeners: Columns,
    margins: Array,
    left_out: Columns,
    pool: Columns,
    n: int,
    cap: int,
) -> None:
    """Add a tile's items to the candidates of the listeners whose floor they reach.

    Parameters
    ----------
    products : float32 [len(active) × tile], listener · item, before the items' scale and bias.
    active : the listeners of its rows.
    first : the catalogue's row of its first column.
    catalogue : item_idx, vectors, scale, scale as float32, bias, artist_idx of all items.
    listeners : vectors, scale and norm of the scaled vector.
    margins : float64 [listeners], how far a rough score can be from the exact one.
    left_out : item_idx and starts of what each listener must not get, artists and starts likewise, each list ascending;
        `mark` of the items.
    pool : rough scores [listeners × room] and rows of the candidates, their counts, the floors, and room to work in.
    n : length of the lists.
    cap : entries of one artist at most; 0 for any number.
    """
    item_idx, _, _, scale, bias, artist_of = catalogue
    rough, places, counts, floors, _ = pool
    width, room = products.shape[1], rough.shape[1]
    tops = np.empty(width // 4, np.float32)
    heap = (np.empty(n), np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32))
    for r in range(len(active)):
        u, line, added = active[r], products[r], False
        if floors[u] == -np.inf and counts[u] == 0:
            wanted = _still_wanted(left_out, u, n, cap)
            floors[u] = _first_floor(line, scale[first:], bias[first:], wanted, margins[u], tops)
        # Lowered by what casting it may have raised it; the margins cover the rest.
        floor = np.float32(floors[u] - margins[u])
        for start in range(0, width, _LANES):
            stop = min(start + _LANES, width)
            if _all_below(line[start:stop], scale[first + start :], bias[first + start :], floor):
                continue
            for j in range(start, stop):
                at = first + j
                value = line[j] * scale[at] + bias[at]
                if value < floor or _is_out(left_out, u, item_idx[at], artist_of[at]):
                    continue
                if not np.isfinite(value):
                    value = np.float32(_score(listeners, catalogue, u, at))
                if counts[u] == room:
                    _thin(listeners, catalogue, u, margins[u], pool, n, cap, heap)
                    floor = np.float32(floors[u] - margins[u])
                rough[u, counts[u]], places[u, counts[u]] = value, at
                counts[u] += 1
                added = True
        if added:
            _thin(listeners, catalogue, u, margins[u], pool, n, cap, heap)


@njit(cache=True, nogil=True)
def take_given(given: Columns, catalogue: Columns, left_out: Columns) -> Columns:
    """The catalogue's rows that each listener may be offered of those given, and their starts.

    Parameters
    ----------
    given : item_idx, their rows in the catalogue (−1 where it lacks one), starts; each list ascending, no item twice.
    catalogue, left_out : as for `scan_tile`.
    """
    wanted, places, starts = given
    artist_of = catalogue[5]
    kept, kept_starts = np.empty(len(wanted), np.int32), np.zeros(len(starts), np.int64)
    found = 0
    for u in range(len(starts) - 1):
        for i in range(starts[u], starts[u + 1]):
            if places[i] >= 0 and not _is_out(left_out, u, wanted[i], artist_of[places[i]]):
                kept[found] = places[i]
                found += 1
        kept_starts[u + 1] = found
    return kept, kept_starts


@njit(cache=True, nogil=True)
def make_lists(
    rows: Array, starts: Array, counts: Array, catalogue: Columns, listeners: Columns, n: int, cap: int
) -> Columns:
    """Each listener's best n, best first, laid end to end: item_idx, scores and starts.

    Parameters
    ----------
    rows : int32, rows of the catalogue; those of listener u are rows[starts[u]:starts[u] + counts[u]].
    The others : as for `scan_tile`.
    """
    heap = (np.empty(n), np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32))
    scores, items, artists, places = heap
    ends = np.zeros(len(counts) + 1, np.int64)
    most = 0
    for u in range(len(counts)):
        most += min(counts[u], n)
    found_items, found_scores = np.empty(most, np.int32), np.empty(most, np.float64)
    for u in range(len(counts)):
        size = _list_of(listeners, catalogue, u, rows[starts[u] : starts[u] + counts[u]], counts[u], cap, heap)
        ends[u + 1] = ends[u] + size
        for last in range(size - 1, -1, -1):
            found_items[ends[u] + last], found_scores[ends[u] + last] = items[0], scores[0]
            scores[0], items[0], artists[0], places[0] = scores[last], items[last], artists[last], places[last]
            sink(scores, items, artists, places, 0, last)
    return found_items[: ends[-1]], found_scores[: ends[-1]], ends
