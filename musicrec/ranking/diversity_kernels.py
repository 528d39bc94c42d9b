"""Compiled loops of diversity.py. Import this module where it runs: importing it loads (or compiles) the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.models.significant import SPLIT
from musicrec.ranking.topn_heap import exact_dot

Array = NDArray[Any]
Columns = tuple[Array, ...]

# As in `fill`.
_STEP = 1e-6


@njit(cache=True, nogil=True)
def _artist(artist: Array, item: int) -> Any:
    return artist[item] if item < len(artist) else -1


@njit(cache=True, nogil=True)
def _alike(about: Columns, left: int, right: int) -> Any:
    """1 for two items of one artist, else the cosine of their vectors, at least 0; 0 where one has none."""
    artist, _, row, vectors = about
    own = _artist(artist, left)
    if own >= 0 and own == _artist(artist, right):
        return 1.0
    if left >= len(row) or right >= len(row) or row[left] < 0 or row[right] < 0:
        return 0.0
    return min(max(np.rint(exact_dot(vectors[row[left]], vectors[row[right]]) * 1e6) / 1e6, 0.0), 1.0)


@njit(cache=True, nogil=True)
def _is_full(artist: Array, counts: Array, cap: int, item: int) -> bool:
    """Whether the item's artist is at the cap."""
    of = _artist(artist, item)
    return bool(of >= 0 and counts[of] >= cap)


@njit(cache=True, nogil=True)
def _count(artist: Array, counts: Array, item: int) -> None:
    of = _artist(artist, item)
    if of >= 0:
        counts[of] += 1


@njit(cache=True, nogil=True)
def _in_order(own: Array, scores: Array, artist: Array, counts: Array, n: int, cap: int, out: Columns) -> int:
    """Fill places from the list as it stands; returns how many."""
    items, values, is_taken = out
    found = 0
    for i in range(len(own)):
        if found == n:
            break
        if not _is_full(artist, counts, cap, own[i]):
            items[found], values[found], is_taken[i] = own[i], scores[i], True
            _count(artist, counts, own[i])
            found += 1
    return found


@njit(cache=True, nogil=True)
def _best_left(own: Array, value: Array, artist: Array, counts: Array, cap: int, is_taken: Array) -> int:
    """The place of the highest value that may be taken, the first of equals; −1 where nothing may."""
    best = -1
    for i in range(len(value)):
        is_better = best < 0 or value[i] > value[best]
        if is_better and not is_taken[i] and not _is_full(artist, counts, cap, own[i]):
            best = i
    return best


@njit(cache=True, nogil=True)
def _by_mmr(
    own: Array, scores: Array, about: Columns, counts: Array, n: int, cap: int, share: float, out: Columns
) -> int:
    """Fill places by maximal marginal relevance; returns how many."""
    items, values, is_taken = out
    size = len(own)
    low, high = scores.min() if size else 0.0, scores.max() if size else 0.0
    nearest, value = np.zeros(size), np.empty(size)
    found = 0
    while found < n:
        for i in range(size):
            relevance = (scores[i] - low) / (high - low) if high > low else 1.0
            value[i] = np.rint((share * relevance - (1.0 - share) * nearest[i]) * 1e9) / 1e9
        best = _best_left(own, value, about[0], counts, cap, is_taken)
        if best < 0:
            break
        items[found], values[found], is_taken[best] = own[best], value[best], True
        _count(about[0], counts, own[best])
        found += 1
        for i in range(size):
            if not is_taken[i]:
                nearest[i] = max(nearest[i], _alike(about, own[best], own[i]))
    return found


@njit(cache=True, nogil=True)
def _spread_one(
    own: Array, scores: Array, is_out: Array, about: Columns, counts: Array, settings: Any, out: Columns
) -> Any:
    """One listener's places; gives how many are their own and how many there are.

    `is_out` holds, at place item_idx, what of the popular must not come; `counts` are 0 before and after.
    """
    n, cap, share = settings
    artist, popular = about[0], about[1]
    items, values, is_taken = out
    while True:
        is_taken[:] = False
        if share == 1.0:
            mine = found = _in_order(own, scores, artist, counts, n, cap, out)
        else:
            mine = found = _by_mmr(own, scores, about, counts, n, cap, share, out)
        for item in popular:
            if found == n:
                break
            if not is_out[item] and not _is_full(artist, counts, cap, item):
                items[found] = item
                _count(artist, counts, item)
                found += 1
        for item in items[:found]:
            of = _artist(artist, item)
            if of >= 0:
                counts[of] = 0
        if found == n or cap >= n:
            break
        cap += 1
    last = values[mine - 1] if mine > 0 else 0.0
    step = _STEP * (abs(last) if last != 0.0 else 1.0)
    for i in range(mine, found):
        value = last - step * (i - mine + 1)
        wide = value * SPLIT
        values[i] = wide - (wide - value)
    return mine, found


@njit(cache=True, nogil=True)
def _mark(is_out: Array, items: Array, value: bool) -> None:
    for item in items:
        if item < len(is_out):
            is_out[item] = value


@njit(cache=True, nogil=True)
def _add_rest(own: Array, scores: Array, chosen: Array, to_items: Array, to_values: Array) -> int:
    """Write what of a list was not chosen, in its order; returns how many."""
    added = 0
    for i in range(len(own)):
        is_chosen = False
        for item in chosen:
            is_chosen |= item == own[i]
        if not is_chosen:
            to_items[added], to_values[added] = own[i], scores[i]
            added += 1
    return added


@njit(cache=True, nogil=True)
def spread_lists(
    own: Array,
    starts: Array,
    scores: Array,
    out_items: Array,
    out_starts: Array,
    about: Columns,
    n: int,
    cap: int,
    share: float,
    pool: int,
    keep_rest: bool,
) -> Columns:
    """The lists of a batch: items, scores, which are from the popular, and where each begins.

    Parameters
    ----------
    own, starts, scores : lists laid end to end.
    out_items, out_starts : what of the popular each listener must not get.
    about : artist of each item_idx, the popular, row of each item_idx among the vectors, vectors [rows × d].
    n, cap, share, pool, keep_rest : as of `diversify`; share = λ.
    """
    lists = len(starts) - 1
    most = len(own) + lists * n
    items, values, is_filled = np.empty(most, np.int32), np.empty(most), np.zeros(most, np.bool_)
    ends = np.zeros(lists + 1, np.int64)
    is_out = np.zeros(len(about[0]), np.bool_)
    counts = np.zeros(about[0].max() + 2 if len(about[0]) else 1, np.int32)
    for u in range(lists):
        mine_items, mine_scores = own[starts[u] : starts[u + 1]], scores[starts[u] : starts[u + 1]]
        size = len(mine_items) if share == 1.0 else min(pool, len(mine_items))
        gone = out_items[out_starts[u] : out_starts[u + 1]]
        _mark(is_out, gone, True)
        _mark(is_out, mine_items[:size], True)
        chosen = (np.empty(n, np.int32), np.empty(n), np.zeros(size, np.bool_))
        mine, found = _spread_one(mine_items[:size], mine_scores[:size], is_out, about, counts, (n, cap, share), chosen)
        _mark(is_out, gone, False)
        _mark(is_out, mine_items[:size], False)
        at = ends[u]
        items[at : at + found], values[at : at + found] = chosen[0][:found], chosen[1][:found]
        is_filled[at + mine : at + found] = True
        at += found
        if keep_rest:
            at += _add_rest(mine_items, mine_scores, chosen[0][:found], items[at:], values[at:])
        ends[u + 1] = at
    return items[: ends[-1]], values[: ends[-1]], is_filled[: ends[-1]], ends
