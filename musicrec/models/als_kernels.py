"""The compiled arithmetic of implicit ALS: conjugate gradients on the normal equations of each row.

For a row with entries j of weight w_j and vectors y_j, the normal equations are A x = b with
A = G + Σ_j w_j y_j y_jᵀ + λ I and b = Σ_j (α₀ + w_j) y_j, where G = α₀ Σ y yᵀ over the whole other side (Hu, Koren and
Volinsky 2008, with the unobserved weight α₀ of Rendle et al. 2021). A is never formed: a product with it costs one
pass over the entries (Takács, Pilászy and Tikk, "Applications of the Conjugate Gradient Method for Implicit Feedback
Collaborative Filtering", 2011).

All sums that cross blocks of listeners are exact: each term is first rounded to a multiple of a power of two so large
that adding up loses nothing (pre-rounding; Demmel and Nguyen, "Fast Reproducible Floating-Point Summation", 2013). So
the result has the same bits however the listeners are cut into blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# Listeners whose outer products BLAS adds up together; blocks of listeners never cut through such a group.
GROUP = 64


@njit(cache=True, nogil=True, fastmath=True)
def _dot(a: Any, i: int, b: Any, j: int) -> Any:
    """a[i] · b[j] in float32; the compiler may reorder the sum to use vector registers."""
    total = np.float32(0)
    for k in range(a.shape[1]):
        total += a[i, k] * b[j, k]
    return total


@njit(cache=True, nogil=True, fastmath=True)
def _add_scaled(target: Any, i: int, factor: Any, a: Any, j: int) -> None:
    """target[i] += factor × a[j]."""
    for k in range(a.shape[1]):
        target[i, k] += factor * a[j, k]


@njit(cache=True, nogil=True, fastmath=True)
def _add_four(target: Any, i: int, f0: Any, f1: Any, f2: Any, f3: Any, a: Any, j: int) -> None:
    """target[i] += Σ f × a[j ..  j + 3]: four rows at once load and store the target a quarter as often."""
    for k in range(a.shape[1]):
        target[i, k] += (f0 * a[j, k] + f1 * a[j + 1, k]) + (f2 * a[j + 2, k] + f3 * a[j + 3, k])


@njit(cache=True, nogil=True, fastmath=True)
def _add_gram_times(target: Any, i: int, gram: Any, x: Any, j: int) -> None:
    """target[i] += gram @ x[j]; gram is symmetric."""
    d = gram.shape[0]
    k = 0
    while k + 4 <= d:
        _add_four(target, i, x[j, k], x[j, k + 1], x[j, k + 2], x[j, k + 3], gram, k)
        k += 4
    while k < d:
        _add_scaled(target, i, x[j, k], gram, k)
        k += 1


@njit(cache=True, nogil=True, fastmath=True)
def _add_entries_times(target: Any, i: int, near: Any, weights: Any, first: int, count: int, x: Any, row: int) -> None:
    """target[i] += Σ_j w_j (near[j] · x[row]) near[j] over the row's entries."""
    d = near.shape[1]
    j = 0
    while j + 4 <= count:
        s0 = np.float32(0)
        s1 = np.float32(0)
        s2 = np.float32(0)
        s3 = np.float32(0)
        for k in range(d):
            s0 += near[j, k] * x[row, k]
            s1 += near[j + 1, k] * x[row, k]
            s2 += near[j + 2, k] * x[row, k]
            s3 += near[j + 3, k] * x[row, k]
        w = first + j
        _add_four(target, i, weights[w] * s0, weights[w + 1] * s1, weights[w + 2] * s2, weights[w + 3] * s3, near, j)
        j += 4
    while j < count:
        _add_scaled(target, i, weights[first + j] * _dot(near, j, x, row), near, j)
        j += 1


@njit(cache=True, nogil=True)
def _apply(z: Any, gram: Any, penalty: Any, near: Any, weights: Any, first: int, count: int, x: Any, row: int) -> None:
    """z[0] = A x[row]; the first `count` rows of `near` are the vectors of the row's entries."""
    for k in range(z.shape[1]):
        z[0, k] = penalty * x[row, k]
    _add_gram_times(z, 0, gram, x, row)
    _add_entries_times(z, 0, near, weights, first, count, x, row)


@njit(cache=True, nogil=True)
def solve_rows(
    starts: Any,
    columns: Any,
    weights: Any,
    fixed: Any,
    gram: Any,
    penalties: Any,
    unobserved: Any,
    solved: Any,
    steps: int,
    tolerance: Any,
) -> None:
    """Improve each row of `solved` by up to `steps` steps of conjugate gradients; rows without entries become 0.

    starts, columns, weights : the entries by row (int64, int32, float32).
    fixed : [width × d] the other side; gram : [d × d] α₀ fixedᵀ fixed; penalties : [rows] λ of each; all float32.
    solved : [rows × d] float32, where the steps begin, changed in place.
    tolerance : stop a row once its residual is this small beside its right-hand side.
    """
    d = fixed.shape[1]
    longest = 0
    for row in range(len(starts) - 1):
        longest = max(longest, starts[row + 1] - starts[row])
    near = np.empty((longest, d), np.float32)
    r = np.empty((1, d), np.float32)
    p = np.empty((1, d), np.float32)
    z = np.empty((1, d), np.float32)
    for row in range(len(starts) - 1):
        first = starts[row]
        count = starts[row + 1] - first
        if count == 0:
            solved[row, :] = 0
            continue
        # The entries' vectors lie far apart: bring them together once, all the steps then find them in the cache.
        r[:] = 0
        for j in range(count):
            column = columns[first + j]
            for k in range(d):
                near[j, k] = fixed[column, k]
            _add_scaled(r, 0, unobserved + weights[first + j], near, j)
        enough = tolerance * tolerance * _dot(r, 0, r, 0)
        _apply(z, gram, penalties[row], near, weights, first, count, solved, row)
        for k in range(d):
            r[0, k] -= z[0, k]
            p[0, k] = r[0, k]
        size = _dot(r, 0, r, 0)
        for _ in range(steps):
            if size <= enough or size < np.float32(1e-30):
                break
            _apply(z, gram, penalties[row], near, weights, first, count, p, 0)
            along = size / _dot(p, 0, z, 0)
            _add_scaled(solved, row, along, p, 0)
            _add_scaled(r, 0, -along, z, 0)
            before, size = size, _dot(r, 0, r, 0)
            for k in range(d):
                p[0, k] = r[0, k] + size / before * p[0, k]


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


@njit(cache=True, nogil=True, fastmath=True)
def _four_dots(a: Any, j0: int, j1: int, j2: int, j3: int, b: Any, i: int) -> Any:
    s0 = np.float32(0)
    s1 = np.float32(0)
    s2 = np.float32(0)
    s3 = np.float32(0)
    for k in range(a.shape[1]):
        s0 += a[j0, k] * b[i, k]
        s1 += a[j1, k] * b[i, k]
        s2 += a[j2, k] * b[i, k]
        s3 += a[j3, k] * b[i, k]
    return s0, s1, s2, s3


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
            s0, s1, s2, s3 = _four_dots(listeners, a, b, c, e, items, item)
            f0 = constant + weights[j] * (slope[0] + slope[1] * s0)
            f1 = constant + weights[j + 1] * (slope[0] + slope[1] * s1)
            f2 = constant + weights[j + 2] * (slope[0] + slope[1] * s2)
            f3 = constant + weights[j + 3] * (slope[0] + slope[1] * s3)
            _add_exact_four(sums, item, f0, f1, f2, f3, listeners, a, b, c, e, anchors[item])
            j += 4
        while j < last:
            u = rows[j]
            factor = constant + weights[j] * (slope[0] + slope[1] * _dot(listeners, u, items, item))
            _add_exact(sums, item, factor, listeners, u, anchors[item])
            j += 1


@njit(cache=True, nogil=True)
def begin_rows(sums: Any, gram: Any, penalties: Any, y: Any, r: Any, p: Any, sizes: Any) -> None:
    """First residuals r = sums − (G + λ) y, directions p = r and squared sizes of a range of items, in place."""
    z = np.empty((1, y.shape[1]), np.float32)
    for row in range(y.shape[0]):
        for k in range(y.shape[1]):
            z[0, k] = penalties[row] * y[row, k]
        _add_gram_times(z, 0, gram, y, row)
        for k in range(y.shape[1]):
            r[row, k] = np.float32(sums[row, k]) - z[0, k]
            p[row, k] = r[row, k]
        sizes[row] = _dot(r, row, r, row)


@njit(cache=True, nogil=True)
def step_rows(sums: Any, gram: Any, penalties: Any, y: Any, r: Any, p: Any, sizes: Any) -> None:
    """One step of conjugate gradients for a range of items, given sums = Σ w (x·p) x of each; all in place."""
    z = np.empty((1, y.shape[1]), np.float32)
    for row in range(y.shape[0]):
        if sizes[row] < np.float32(1e-30):
            p[row, :] = 0
            continue
        for k in range(y.shape[1]):
            z[0, k] = np.float32(sums[row, k]) + penalties[row] * p[row, k]
        _add_gram_times(z, 0, gram, p, row)
        along = sizes[row] / _dot(p, row, z, 0)
        _add_scaled(y, row, along, p, row)
        _add_scaled(r, row, -along, z, 0)
        before = sizes[row]
        sizes[row] = _dot(r, row, r, row)
        for k in range(y.shape[1]):
            p[row, k] = r[row, k] + sizes[row] / before * p[row, k]


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


@njit(cache=True, nogil=True)
def fit_losses(starts: Any, columns: Any, weights: Any, listeners: Any, items: Any, unobserved: Any) -> Any:
    """Σ_j (α₀ + w_j)(1 − s_j)² − α₀ s_j² of each row: the loss of its entries less what G counts of them [float64]."""
    losses = np.zeros(len(starts) - 1)
    for row in range(len(starts) - 1):
        for j in range(starts[row], starts[row + 1]):
            score = np.float64(_dot(listeners, row, items, columns[j]))
            losses[row] += (unobserved + weights[j]) * (1 - score) ** 2 - unobserved * score * score
    return losses
