"""The compiled loop of sparse nearest neighbours: the k largest entries of each row of a sparse product.

A row of the product is added up in one dense accumulator; which of its cells are not zero is written down as they
become so. Its entries are tallied by the leading bits of their scores, which says how high the k-th best lies but for a
sixteenth; only what reaches that is sorted. So an entry costs two passes without branches, not a heap's way down.
Entries are ordered by rounded score, best first, then id: a total order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.models.significant import SHARE, SPLIT

Array = NDArray[Any]

# Buckets of scores: a double's exponent and the first four bits of its fraction, over 2⁶⁴ times; the outer two take
# what lies beyond. Where they begin moves with the scores of the rows before, from 2⁻²¹ on; it changes no result, only
# how soon the k-th best is found.
_SHIFT = 48
_FIRST = (1023 - 21) << 4
_BUCKETS = 1024
# The highest score of the row before lies so many buckets from the top, unless it is within the buckets anyhow.
_ABOVE = 256
# Parts shorter than this are sorted by insertion.
_SHORT = 16


@njit(cache=True, nogil=True)
def _is_better(score: float, own: int, other_score: float, other: int) -> bool:
    return score > other_score or (score == other_score and own < other)


@njit(cache=True, nogil=True)
def _swap(scores: Array, ids: Array, a: int, b: int) -> None:
    scores[a], scores[b] = scores[b], scores[a]
    ids[a], ids[b] = ids[b], ids[a]


@njit(cache=True, nogil=True)
def _split(scores: Array, ids: Array, low: int, high: int) -> int:
    """Put what is better than a pivot before it and the rest behind, within low .. high; gives the pivot's place."""
    middle = (low + high) // 2
    # The median of three goes to `low`, as the pivot.
    if _is_better(scores[middle], ids[middle], scores[low], ids[low]):
        _swap(scores, ids, middle, low)
    if _is_better(scores[high], ids[high], scores[low], ids[low]):
        _swap(scores, ids, high, low)
    if _is_better(scores[middle], ids[middle], scores[high], ids[high]):
        _swap(scores, ids, middle, high)
    _swap(scores, ids, low, high)
    score, own = scores[low], ids[low]
    left, right = low + 1, high
    while True:
        while left <= right and _is_better(scores[left], ids[left], score, own):
            left += 1
        while left <= right and _is_better(score, own, scores[right], ids[right]):
            right -= 1
        if left >= right:
            break
        _swap(scores, ids, left, right)
        left += 1
        right -= 1
    _swap(scores, ids, low, right)
    return right


@njit(cache=True, nogil=True)
def _bring_forward(scores: Array, ids: Array, size: int, k: int) -> None:
    """Quickselect: the best k of the first `size` come first, the k-th of them last; k ≤ size."""
    low, high = 0, size - 1
    while low < high:
        at = _split(scores, ids, low, high)
        if at == k - 1:
            return
        if at < k - 1:
            low = at + 1
        else:
            high = at - 1


@njit(cache=True, nogil=True)
def _sort(scores: Array, ids: Array, size: int, lows: Array, highs: Array) -> None:
    """Quicksort of the first `size`, best first; the shorter part first, so 64 places of stack do for any size."""
    lows[0], highs[0], depth = 0, size - 1, 1
    while depth:
        depth -= 1
        low, high = lows[depth], highs[depth]
        while high - low >= _SHORT:
            at = _split(scores, ids, low, high)
            if at - low < high - at:
                lows[depth], highs[depth] = at + 1, high
                high = at - 1
            else:
                lows[depth], highs[depth] = low, at - 1
                low = at + 1
            depth += 1
    for i in range(1, size):
        score, own, j = scores[i], ids[i], i
        while j and _is_better(score, own, scores[j - 1], ids[j - 1]):
            scores[j], ids[j] = scores[j - 1], ids[j - 1]
            j -= 1
        scores[j], ids[j] = score, own


@njit(cache=True, nogil=True)
def _least_of_best(tally: Array, first: int, top: int, k: int) -> float:
    """The lower edge of the bucket that the k-th best of the tallied scores is in."""
    bucket, better = top, tally[top]
    while better < k and bucket > 0:
        bucket -= 1
        better += tally[bucket]
    if bucket == 0:
        return 0.0
    edge = np.empty(1, np.int64)
    edge[0] = (bucket + first) << _SHIFT
    return float(edge.view(np.float64)[0])


@njit(cache=True, nogil=True)
def _take_scores(
    row: int, found: int, reached: Array, sums: Array, own_sizes: Array, sizes: Array, shrinkage: float, scores: Array,
    tally: Array, first: int,
) -> int:  # fmt: skip
    """Move the reached sums to `scores`, divided where they are to be, and tally them from bucket `first` on; gives the
    bucket of the highest, counted from 0."""
    bits = scores.view(np.int64)
    top = 0
    for at in range(found):
        column = reached[at]
        score = sums[column]
        sums[column] = 0.0
        if len(sizes):
            score /= own_sizes[row] * sizes[column] + shrinkage
        scores[at] = score
        bucket = bits[at] >> _SHIFT
        top = max(top, bucket)
        tally[np.uint32(min(max(bucket - first, 0), _BUCKETS - 1))] += 1
    return top


@njit(cache=True, nogil=True)
def _keep_best(scores: Array, ids: Array, found: int, floor: float, k: int, names: Array) -> int:
    """Of the first `found`, round, name and bring forward the best k above `floor`; gives how many there are."""
    size = 0
    for at in range(found):
        score, column = scores[at], ids[at]
        scores[size], ids[size] = score, column
        size += score > floor
    for at in range(size):
        wide = scores[at] * SPLIT
        scores[at] = wide - (wide - scores[at])
        ids[at] = names[ids[at]]
    if size > k:
        _bring_forward(scores, ids, size, k)
        return k
    return size


@njit(cache=True, nogil=True)
def _add_up(
    row: int, rows: Array, terms: Array, factors: Array, starts: Array, columns: Array, values: Array, sums: Array,
    reached: Array,
) -> int:  # fmt: skip
    """Add the product's row to `sums`, and write its cells that are not zero to `reached`; gives how many."""
    found = 0
    for at in range(rows[row], rows[row + 1]):
        factor, term = factors[at], terms[at]
        for cell in range(starts[term], starts[term + 1]):
            column = columns[cell]
            before = sums[column]
            after = before + factor * values[cell]
            sums[column] = after
            # Without a branch. No term is negative: a cell turns from zero once at most, so `reached` is long enough.
            reached[found] = column
            found += (before == 0.0) & (after != 0.0)
    return found


@njit(cache=True, nogil=True)
def top_products(
    first: int,
    last: int,
    rows: Array,
    terms: Array,
    factors: Array,
    starts: Array,
    columns: Array,
    values: Array,
    own_sizes: Array,
    sizes: Array,
    shrinkage: float,
    left_out_starts: Array,
    left_out: Array,
    names: Array,
    k: int,
) -> Any:
    """The k largest entries > 0 of the rows first .. last − 1 of L M, L and M sparse, none of their values negative.

    Indices are unsigned where the loops are hot, so that no code is made for those that count from the end.

    Parameters
    ----------
    rows, terms, factors : L by rows: row r has `factors` at columns `terms`, from rows[r] to rows[r + 1].
    starts, columns, values : M by rows, its columns uint32.
    own_sizes, sizes : of L's rows and M's columns: an entry is divided by own_sizes[r] × sizes[c] + shrinkage. Empty
        where nothing is to be divided.
    left_out_starts, left_out : columns that row r may not hold, from left_out_starts[r] to left_out_starts[r + 1].
    names : what a column is called; decides ties, the lower first.

    Returns
    -------
    counts int64 [last − first], names int32 and scores float64 [Σ counts], row by row, best first. A row's entry is one
    sum in the order of its terms, so neither `first` nor `last` changes a bit of it.
    """
    width = len(names)
    k = min(k, width)
    sums, scores, reached = np.zeros(width), np.empty(width + 1), np.empty(width + 1, np.uint32)
    tally = np.zeros(_BUCKETS, np.int64)
    lows, highs = np.empty(64, np.int64), np.empty(64, np.int64)
    counts = np.zeros(last - first, np.int64)
    kept_ids, kept_scores = np.empty((last - first) * k, np.int32), np.empty((last - first) * k)
    total, edge = 0, _FIRST
    for row in range(first, last):
        found = _add_up(row, rows, terms, factors, starts, columns, values, sums, reached)
        for at in range(left_out_starts[row], left_out_starts[row + 1]):
            sums[left_out[at]] = 0.0
        top = _take_scores(row, found, reached, sums, own_sizes, sizes, shrinkage, scores, tally, edge)
        highest = min(max(top - edge, 0), _BUCKETS - 1)
        # What is this much below the k-th best cannot round to the same.
        floor = _least_of_best(tally, edge, highest, k) * (1 - SHARE)
        tally[: highest + 1] = 0
        if found and not edge < top < edge + _BUCKETS - 1:
            edge = max(top - _BUCKETS + _ABOVE, 0)
        size = _keep_best(scores, reached, found, floor, k, names)
        _sort(scores, reached, size, lows, highs)
        kept_ids[total : total + size], kept_scores[total : total + size] = reached[:size], scores[:size]
        counts[row - first] = size
        total += size
    return counts, kept_ids[:total].copy(), kept_scores[:total].copy()
