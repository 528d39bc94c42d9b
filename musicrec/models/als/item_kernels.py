"""The compiled arithmetic of ALS's item side: exact sums over the listeners of a block, and steps from such sums.

All sums that cross blocks of listeners are exact: each term is first rounded to a multiple of a power of two so large
that adding up loses nothing (pre-rounding; Demmel and Nguyen, "Fast Reproducible Floating-Point Summation", 2013). So
the result has the same bits however the listeners are cut into blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from musicrec.models.als.kernels import add_scaled, dot, first_direction, four_dots, next_direction

# Listeners whose outer products BLAS adds up together; blocks of listeners never cut through such a group.
GROUP = 64


@njit(cache=True, nogil=True)
def _add_exact(target: Any, i: int, factor: Any, a: Any, j: int, anchor: Any) -> None:
    """target[i] += factor × a[j], each product rounded to the grid of `anchor` first (1.5 × 2⁵² × its width)."""
    for k in range(a.shape[1]):
        target[i, k] += (np.float64(factor * a[j, k]) + anchor) - anchor


@njit(cache=True, nogil=True)
def _add_exact_four(
    target: Any, i: int, f0: Any, f1: Any, f2: Any, f3: Any, a: Any, j0: int, j1: int, j2: int, j3: int, anchor: Any
) -> None:
    """Four of `_add_exact` at once, which loads and stores the target a quarter as often."""
    for k in range(a.shape[1]):
        t0 = (np.float64(f0 * a[j0, k]) + anchor) - anchor
        t1 = (np.float64(f1 * a[j1, k]) + anchor) - anchor
        t2 = (np.float64(f2 * a[j2, k]) + anchor) - anchor
        t3 = (np.float64(f3 * a[j3, k]) + anchor) - anchor
        target[i, k] += (t0 + t1) + (t2 + t3)


@njit(cache=True, nogil=True)
def item_pass(
    starts: Any,
    rows: Any,
    weights: Any,
    listeners: Any,
    items: Any,
    constant: Any,
    slope: Any,
    anchors: Any,
    sums: Any,
) -> None:
    """sums[i] = Σ_u f_ui x_u over this block's listeners of item i, exactly [items × d float64].

    f_ui = constant + weight_ui × (slope₀ + slope₁ × x_u·y_i), so that the constants (α₀; 1, −1) give the right-hand
    side less the entries' part of A y, and (0; 0, 1) the entries' part of A y.

    starts, rows, weights : the block's entries by item; listeners : [listeners × d]; items : [items × d], float32.
    anchors : [items] float64, see `_add_exact`.
    """
    for item in range(len(starts) - 1):
        for k in range(sums.shape[1]):
            sums[item, k] = 0
        j = starts[item]
        last = starts[item + 1]
        while j + 4 <= last:
            a, b, c, e = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
            s0, s1, s2, s3 = four_dots(listeners, a, b, c, e, items, item)
            f0 = constant + weights[j] * (slope[0] + slope[1] * s0)
            f1 = constant + weights[j + 1] * (slope[0] + slope[1] * s1)
            f2 = constant + weights[j + 2] * (slope[0] + slope[1] * s2)
            f3 = constant + weights[j + 3] * (slope[0] + slope[1] * s3)
            _add_exact_four(sums, item, f0, f1, f2, f3, listeners, a, b, c, e, anchors[item])
            j += 4
        while j < last:
            u = rows[j]
            factor = constant + weights[j] * (slope[0] + slope[1] * dot(listeners, u, items, item))
            _add_exact(sums, item, factor, listeners, u, anchors[item])
            j += 1


@njit(cache=True, nogil=True)
def begin_rows(sums: Any, spectrum: Any, penalties: Any, y: Any, r: Any, p: Any, sizes: Any) -> None:
    """First residuals r = sums − (G + λ) y of a range of items, directions p and squared sizes, in place."""
    for row in range(y.shape[0]):
        for k in range(y.shape[1]):
            r[row, k] = np.float32(sums[row, k]) - (spectrum[k] + penalties[row]) * y[row, k]
        sizes[row] = first_direction(r, p, row, spectrum, penalties[row])


@njit(cache=True, nogil=True)
def step_rows(sums: Any, spectrum: Any, penalties: Any, y: Any, r: Any, p: Any, sizes: Any) -> None:
    """One step of conjugate gradients for a range of items, given sums = Σ w (x·p) x of each; all in place."""
    z = np.empty((1, y.shape[1]), np.float32)
    for row in range(y.shape[0]):
        if sizes[row] < np.float32(1e-30):
            p[row, :] = 0
            continue
        for k in range(y.shape[1]):
            z[0, k] = np.float32(sums[row, k]) + (spectrum[k] + penalties[row]) * p[row, k]
        along = sizes[row] / dot(p, row, z, 0)
        add_scaled(y, row, along, p, row)
        add_scaled(r, row, -along, z, 0)
        sizes[row] = next_direction(r, p, row, spectrum, penalties[row], sizes[row])


@njit(cache=True, nogil=True)
def exact_gram(bounds: Any, vectors: Any, anchor: Any) -> Any:
    """Σ x xᵀ over all rows [d × d float64]: BLAS within each group of rows, then an exact sum over the groups."""
    d = vectors.shape[1]
    total = np.zeros((d, d))
    for group in range(len(bounds) - 1):
        part = vectors[bounds[group] : bounds[group + 1]]
        product = np.dot(part.T, part)
        for k in range(d):
            for m in range(d):
                total[k, m] += (np.float64(product[k, m]) + anchor) - anchor
    return total
