"""Compiled loops of the search by distance: items in tiles laid out so that one step compares with many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.models.significant import SHARE, SPLIT

Array = NDArray[Any]

# Below float32's normal numbers a term is lost, or up to this much too large.
_LOST = 2.0**-125


@njit(cache=True, nogil=True)
def exact_distance(one: Array, tile: Array, j: int, squares: bool) -> Any:
    """The Euclidean (`squares`) or Manhattan distance to column j of the tile, in float64, to 30 significant bits."""
    total = np.float64(0.0)
    for c in range(len(one)):
        difference = np.float64(one[c]) - np.float64(tile[c, j])
        total += difference * difference if squares else abs(difference)
    distance = np.sqrt(total) if squares else total
    wide = distance * SPLIT
    return wide - (wide - distance)


@njit(cache=True, nogil=True)
def _rough_distances(one: Array, tile: Array, squares: bool, rough: Array) -> None:
    """Sums of squared or absolute differences to each column of the tile, in float32, into `rough`."""
    width = tile.shape[1]
    for j in range(width):
        rough[j] = np.float32(0)
    for c in range(len(one)):
        value, line = one[c], tile[c]
        if squares:
            for j in range(width):
                difference = value - line[j]
                rough[j] += difference * difference
        else:
            for j in range(width):
                rough[j] += abs(value - line[j])


@njit(cache=True, nogil=True)
def _reach(worst: float, squares: bool, slack: float, lost: float) -> Any:
    """The largest rough sum of an item that can be as near as `worst`."""
    at_most = worst * (1 + SHARE)
    return np.float32((at_most * at_most if squares else at_most) * (1 + slack) + lost)


@njit(cache=True, nogil=True)
def scan_tile(
    asking: Array,
    left_out: Array,
    tile: Array,
    items: Array,
    squares: bool,
    slack: float,
    distances: Array,
    found: Array,
    counts: Array,
) -> None:
    """Put a tile's items into the lists that they are near enough for.

    Parameters
    ----------
    asking : float32 [n × d], whose neighbours are looked for.
    left_out : int32 [n], an item that each must not get; −1 for none.
    tile : float32 [d × width], items as columns.
    items : int32 [width], their item_idx.
    squares : Euclidean; else Manhattan.
    slack : how far, as a share, a rough sum can be above the exact one.
    distances, found : float64 and int32 [n × k], the lists so far, nearest first, of equals the lower item_idx.
    counts : int64 [n], their lengths.
    """
    k, width = found.shape[1], tile.shape[1]
    lost = (asking.shape[1] + 6) * _LOST
    rough = np.empty(width, np.float32)
    for u in range(len(asking)):
        one, size = asking[u], counts[u]
        _rough_distances(one, tile, squares, rough)
        limit = np.float32(np.inf) if size < k else _reach(distances[u, k - 1], squares, slack, lost)
        for j in range(width):
            if rough[j] > limit or items[j] == left_out[u]:
                continue
            item, distance = items[j], exact_distance(one, tile, j, squares)
            if size == k:
                last = k - 1
                is_worse = distance > distances[u, last] or (distance == distances[u, last] and item > found[u, last])
                if is_worse:
                    continue
            else:
                last = size
                size += 1
            while last > 0 and (
                distances[u, last - 1] > distance or (distances[u, last - 1] == distance and found[u, last - 1] > item)
            ):
                distances[u, last], found[u, last] = distances[u, last - 1], found[u, last - 1]
                last -= 1
            distances[u, last], found[u, last] = distance, item
            if size == k:
                limit = _reach(distances[u, k - 1], squares, slack, lost)
        counts[u] = size
