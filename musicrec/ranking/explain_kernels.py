"""Compiled loops behind `explain`: which of a listener's artists speak loudest for each offered item."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.ranking.topn_heap import exact_dot

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def _by_artist(rows: Array, loudness: Array, artist_of: Array) -> tuple[Array, Array, Array]:
    """Those of the heard rows that are known (not −1) in the order of their artists, their loudness, and the artists'
    weights: an artist's Σ loudness plus the mean of these sums over all artists, at each of the artist's places."""
    known = np.flatnonzero(rows >= 0)
    known = known[np.argsort(artist_of[rows[known]], kind="mergesort")]
    heard, own = rows[known], loudness[known]
    weights = np.zeros(len(heard))
    artists, first = 0, 0
    for j in range(len(heard)):
        if j + 1 == len(heard) or artist_of[heard[j + 1]] != artist_of[heard[j]]:
            weights[first : j + 1] = own[first : j + 1].sum()
            artists, first = artists + 1, j + 1
    if artists:
        weights += own.sum() / artists
    return heard, own, weights


@njit(cache=True, nogil=True)
def loudest(
    vectors: Array,
    artist_of: Array,
    offered: Array,
    offered_starts: Array,
    heard: Array,
    loudness: Array,
    heard_starts: Array,
) -> Array:
    """The two artists that speak loudest for each offered item, as `explain_discover` defines it: int32 [offers × 2].

    −1 where no (second) artist speaks; ties go to the lower artist.

    Parameters
    ----------
    vectors : float32 [items × d], unit length or 0.
    artist_of : int64 [items], ≥ 0 for all that was heard.
    offered, heard : rows of `vectors`, −1 for what has none; each listener's end to end, `*_starts` says where.
    loudness : float64, ln(1 + plays) of `heard`.
    """
    found = np.full((len(offered), 2), -1, np.int32)
    for u in range(len(offered_starts) - 1):
        own = slice(heard_starts[u], heard_starts[u + 1])
        rows, loud, weights = _by_artist(heard[own], loudness[own], artist_of)
        if not len(rows):
            continue
        cosines = np.empty(len(rows))
        for i in range(offered_starts[u], offered_starts[u + 1]):
            if offered[i] < 0:
                continue
            for j in range(len(rows)):
                cosines[j] = exact_dot(vectors[offered[i]], vectors[rows[j]])
            usual = max(cosines.mean(), 0.0)
            best = second = voice = 0.0
            for j in range(len(rows)):
                voice += max(cosines[j] - usual, 0.0) * loud[j]
                artist = artist_of[rows[j]]
                if j + 1 < len(rows) and artist_of[rows[j + 1]] == artist:
                    continue
                voice = np.rint(voice / weights[j] * 1e9) / 1e9
                if voice > best:
                    second, found[i, 1] = best, found[i, 0]
                    best, found[i, 0] = voice, artist
                elif voice > second:
                    second, found[i, 1] = voice, artist
                voice = 0.0
    return found
