"""Compiled loops of the evaluation: the metrics of many lists, their sums, and the items that the lists show.

Lists lie end to end: list i is `values[starts[i] : starts[i + 1]]`. Import this module where it runs, for importing it
loads (the first time: compiles) the kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

Array = NDArray[Any]

# Arrow's buffers are read-only; an array that may be written is accepted too.
_INT32 = types.Array(types.int32, 1, "C", readonly=True)
_INT64 = types.Array(types.int64, 1, "C", readonly=True)
_FLOAT64 = types.Array(types.float64, 1, "C", readonly=True)

# 2⁶⁴ / golden ratio: multiplying by it spreads neighbouring numbers over the high bits (Knuth, TAOCP 3, 6.4).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_EMPTY = np.int64(-(2**63))
# Fractional bits of a value in a sum of integers, and how many of them its low word holds.
VALUE_BITS, LOW_BITS = 50, 25


@njit(cache=True, nogil=True)
def _slot(keys: Array, bits: int, key: int) -> Any:
    """Where `key` stands, or the empty place where it belongs, in the first 2^bits of an open hash table."""
    at = np.int64((np.uint64(key) * _SPREAD) >> np.uint64(64 - bits))
    mask = (1 << bits) - 1
    while keys[at] != _EMPTY and keys[at] != key:
        at = (at + 1) & mask
    return at


@njit(cache=True, nogil=True)
def _bits_for(entries: int) -> int:
    """Of a table at most half full."""
    bits = 1
    while (1 << bits) < 2 * entries:
        bits += 1
    return bits


@njit(cache=True, nogil=True)
def _fill(keys: Array, is_found: Array, wanted: Array) -> Any:
    """Put the items of `wanted` into the table, none of them found yet; returns the bits of its used part."""
    bits = _bits_for(len(wanted))
    keys[: 1 << bits] = _EMPTY
    for item in wanted:
        slot = _slot(keys, bits, item)
        keys[slot] = item
        is_found[slot] = False
    return bits


@njit(cache=True, nogil=True)
def _count(keys: Array, counts: Array, bits: int, key: int) -> Any:
    """How often the table has counted `key` before."""
    slot = _slot(keys, bits, key)
    if keys[slot] == _EMPTY:
        keys[slot] = key
        counts[slot] = 0
    counts[slot] += 1
    return counts[slot] - 1


@njit(cache=True, nogil=True, error_model="numpy")
def _write(
    out: Array,
    at: int,
    cut: int,
    k: int,
    listed: int,
    wanted: int,
    hits: int,
    first: int,
    gain: float,
    precisions: float,
    told: float,
    same_pairs: int,
    best_gain: Array,
) -> None:
    row, ideal = 9 * cut, min(wanted, k)
    out[row, at] = hits / wanted
    out[row + 1, at] = hits / k
    out[row + 2, at] = 2 * hits / (wanted + k)
    out[row + 3, at] = gain / best_gain[ideal]
    out[row + 4, at] = precisions / ideal
    out[row + 5, at] = 1 / first if first > 0 else 0.0
    out[row + 6, at] = 1.0 if hits > 0 else 0.0
    out[row + 7, at] = told / listed if listed > 0 else np.nan
    out[row + 8, at] = 1 - 2 * same_pairs / (listed * (listed - 1)) if listed > 1 else np.nan


@njit(
    types.void(
        *(_INT32, _INT64, _INT32, _INT64, _INT64, _INT64),
        *(_FLOAT64, _INT64, _INT64, _FLOAT64, _FLOAT64, types.float64[:, ::1]),
    ),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def measure_lists(
    items: Array,
    starts: Array,
    relevant: Array,
    relevant_starts: Array,
    candidates: Array,
    listener: Array,
    information: Array,
    artist: Array,
    ks: Array,
    discount: Array,
    best_gain: Array,
    out: Array,
) -> None:
    """Every metric of every list, each list and each set of relevant items being read once.

    Parameters
    ----------
    items, starts : the lists, best first.
    relevant, relevant_starts : each listener's relevant items, each once.
    candidates : [listeners] how many items there were to rank.
    listener : [lists] whose list it is: the place in `relevant` and `candidates`.
    information : [catalogue + 1] bits an item; the last place is for an item beyond the catalogue.
    artist : [catalogue] artist numbers ≥ 0; a negative one is an item's own.
    ks : cut-offs, ascending, each once.
    discount : [max k + 1] at place i: 1 / log2(i + 1), the gain of a hit at rank i.
    best_gain : [max k + 1] running sums of `discount`.
    out : [9 × cut-offs + 1, lists], filled: for each cut-off the rank metrics in the order of `metrics.RANK_METRICS`,
        then auc; NaN where not defined.
    """
    lists = len(starts) - 1
    longest, widest = int(ks[-1]), 1
    for row in listener:
        widest = max(widest, relevant_starts[row + 1] - relevant_starts[row])
    wanted_keys = np.empty(1 << _bits_for(widest), np.int64)
    is_found = np.empty(len(wanted_keys), np.bool_)
    artist_bits = _bits_for(longest)
    artist_keys = np.empty(1 << artist_bits, np.int64)
    artist_counts = np.empty(1 << artist_bits, np.int64)
    for at in range(lists):
        first_wanted, after_wanted = relevant_starts[listener[at]], relevant_starts[listener[at] + 1]
        wanted = after_wanted - first_wanted
        bits = _fill(wanted_keys, is_found, relevant[first_wanted:after_wanted])
        artist_keys[:] = _EMPTY
        hits, misses_above_hits, first, same_pairs, cut = 0, 0, 0, 0, 0
        gain, precisions, told = 0.0, 0.0, 0.0
        length = starts[at + 1] - starts[at]
        for rank in range(1, length + 1):
            item = items[starts[at] + rank - 1]
            slot = _slot(wanted_keys, bits, item)
            if wanted_keys[slot] == item and not is_found[slot]:
                is_found[slot] = True
                hits += 1
                misses_above_hits += rank - hits
                if first == 0:
                    first = rank
                if rank <= longest:
                    gain += discount[rank]
                    precisions += hits / rank
            if rank > longest:
                continue
            told += information[min(item, len(artist))]
            maker = int(artist[item]) if item < len(artist) else -1 - int(item)
            same_pairs += _count(artist_keys, artist_counts, artist_bits, maker)
            if rank == ks[cut]:
                _write(out, at, cut, rank, rank, wanted, hits, first, gain, precisions, told, same_pairs, best_gain)
                cut += 1
        for short in range(cut, len(ks)):
            k = ks[short]
            _write(out, at, short, k, length, wanted, hits, first, gain, precisions, told, same_pairs, best_gain)
        others = candidates[listener[at]] - wanted
        wins = hits * others - misses_above_hits
        unlisted_pairs = (wanted - hits) * (others - (length - hits))
        pairs = wanted * others
        out[9 * len(ks), at] = (wins + unlisted_pairs / 2) / pairs if pairs > 0 else np.nan


@njit(
    types.void(types.float64[:, ::1], _INT64, types.int64[:, ::1], types.int64[:, ::1], types.int64[:, ::1]),
    cache=True,
    nogil=True,
)
def add_values(values: Array, group: Array, counts: Array, high: Array, low: Array) -> None:
    """Add each list's values to its group's sums, as integers: in whatever order, the sums have the same bits.

    A value counts as the nearest multiple of 2^-50, so it must be below 2^12; its high and its low word are summed
    apart, with room for 2^26 lists or more.

    Parameters
    ----------
    values : [columns, lists]; NaN is left out.
    group : [lists] the row of the sums.
    counts, high, low : [groups, columns], added to; a sum is (high × 2^25 + low) / 2^50.
    """
    for column in range(values.shape[0]):
        for at in range(values.shape[1]):
            value = values[column, at]
            if not np.isnan(value):
                units = np.int64(np.rint(value * 2.0**VALUE_BITS))
                counts[group[at], column] += 1
                high[group[at], column] += units >> LOW_BITS
                low[group[at], column] += units & ((1 << LOW_BITS) - 1)


@njit(types.void(_INT32, _INT64, _INT64, types.int32[:, ::1], types.int64), cache=True, nogil=True)
def mark_best_ranks(items: Array, starts: Array, group: Array, best: Array, longest: int) -> None:
    """Lower each item's best rank in its group's lists.

    Parameters
    ----------
    items, starts : the lists, best first.
    group : [lists] the row of `best`.
    best : [groups, catalogue], lowered where an item stands at a better rank; an item beyond it is passed over.
    longest : ranks from 1 to this count.
    """
    for at in range(len(starts) - 1):
        for rank in range(1, min(longest, starts[at + 1] - starts[at]) + 1):
            item = items[starts[at] + rank - 1]
            if item < best.shape[1]:
                best[group[at], item] = min(best[group[at], item], rank)
