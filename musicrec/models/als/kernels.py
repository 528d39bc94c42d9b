"""The compiled arithmetic of implicit ALS: conjugate gradients on the normal equations of each row.

For a row with entries j of weight w_j and vectors y_j, the normal equations are A x = b with
A = G + Σ_j w_j y_j y_jᵀ + λ I and b = Σ_j (α₀ + w_j) y_j, where G = α₀ Σ y yᵀ over the whole other side (Hu, Koren and
Volinsky 2008, with the unobserved weight α₀ of Rendle et al. 2021). A is never formed: a product with it costs one
pass over the entries (Takács, Pilászy and Tikk, "Applications of the Conjugate Gradient Method for Implicit Feedback
Collaborative Filtering", 2011).

Scores do not change when both sides are turned alike, so both are kept in the basis in which G is diagonal (its
spectrum): G then costs nothing, and G + λ, which is most of A for a row of few entries, makes the preconditioner. One
step a row then does what three did without.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath=True)
def dot(a: Any, i: int, b: Any, j: int) -> Any:
    """a[i] · b[j] in float32; the compiler may reorder the sum to use vector registers."""
    total = np.float32(0)
    for k in range(a.shape[1]):
        total += a[i, k] * b[j, k]
    return total


@njit(cache=True, nogil=True, fastmath=True)
def add_scaled(target: Any, i: int, factor: Any, a: Any, j: int) -> None:
    """target[i] += factor × a[j]."""
    for k in range(a.shape[1]):
        target[i, k] += factor * a[j, k]


@njit(cache=True, nogil=True, fastmath=True)
def _add_four(target: Any, i: int, f0: Any, f1: Any, f2: Any, f3: Any, a: Any, j: int) -> None:
    """target[i] += Σ f × a[j ..  j + 3]: four rows at once load and store the target a quarter as often."""
    for k in range(a.shape[1]):
        target[i, k] += (f0 * a[j, k] + f1 * a[j + 1, k]) + (f2 * a[j + 2, k] + f3 * a[j + 3, k])


@njit(cache=True, nogil=True, fastmath=True)
def four_dots(a: Any, j0: int, j1: int, j2: int, j3: int, b: Any, i: int) -> Any:
    """b[i] · a[j] for four rows j."""
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


@njit(cache=True, nogil=True, fastmath=True)
def _add_entries(target: Any, near: Any, weights: Any, first: int, count: int, x: Any, row: int, terms: Any) -> None:
    """target[0] += Σ_j f_j near[j] over the row's entries, with f_j = terms₀ + w_j (terms₁ + terms₂ near[j]·x[row])."""
    constant, offset, slope = terms
    j = 0
    while j + 4 <= count:
        s0, s1, s2, s3 = four_dots(near, j, j + 1, j + 2, j + 3, x, row)
        w = first + j
        f0 = constant + weights[w] * (offset + slope * s0)
        f1 = constant + weights[w + 1] * (offset + slope * s1)
        f2 = constant + weights[w + 2] * (offset + slope * s2)
        f3 = constant + weights[w + 3] * (offset + slope * s3)
        _add_four(target, 0, f0, f1, f2, f3, near, j)
        j += 4
    while j < count:
        factor = constant + weights[first + j] * (offset + slope * dot(near, j, x, row))
        add_scaled(target, 0, factor, near, j)
        j += 1


@njit(cache=True, nogil=True, fastmath=True)
def first_direction(r: Any, p: Any, i: int, spectrum: Any, penalty: Any) -> Any:
    """p[i] = r[i] / (spectrum + penalty); their product, the squared size of the residual."""
    size = np.float32(0)
    for k in range(r.shape[1]):
        p[i, k] = r[i, k] / (spectrum[k] + penalty)
        size += r[i, k] * p[i, k]
    return size


@njit(cache=True, nogil=True, fastmath=True)
def next_direction(r: Any, p: Any, i: int, spectrum: Any, penalty: Any, before: Any) -> Any:
    """p[i] = r[i] / (spectrum + penalty) + size / before × p[i]; the new squared size of the residual."""
    size = np.float32(0)
    for k in range(r.shape[1]):
        size += r[i, k] * r[i, k] / (spectrum[k] + penalty)
    share = size / before
    for k in range(r.shape[1]):
        p[i, k] = r[i, k] / (spectrum[k] + penalty) + share * p[i, k]
    return size


@njit(cache=True, nogil=True)
def _longest_row(starts: Any) -> Any:
    longest = 0
    for row in range(len(starts) - 1):
        longest = max(longest, starts[row + 1] - starts[row])
    return longest


@njit(cache=True, nogil=True)
def _bring_together(columns: Any, first: int, count: int, fixed: Any, near: Any) -> None:
    """near[j] = fixed[columns[first + j]]."""
    for j in range(count):
        column = columns[first + j]
        for k in range(fixed.shape[1]):
            near[j, k] = fixed[column, k]


@njit(cache=True, nogil=True)
def solve_rows(
    starts: Any,
    columns: Any,
    weights: Any,
    fixed: Any,
    spectrum: Any,
    penalties: Any,
    unobserved: Any,
    solved: Any,
    steps: int,
    tolerance: Any,
) -> None:
    """Improve each row of `solved` by up to `steps` steps of conjugate gradients; rows without entries become 0.

    starts, columns, weights : the entries by row (int64, int32, float32).
    fixed : [width × d] the other side, so turned that α₀ fixedᵀ fixed is diagonal; spectrum : [d] that diagonal, all
    > 0; penalties : [rows] λ of each; all float32.
    solved : [rows × d] float32 in the same basis, where the steps begin, changed in place.
    tolerance : stop a row once its residual is this small beside its right-hand side; 0 takes all steps.
    """
    d = fixed.shape[1]
    near = np.empty((_longest_row(starts), d), np.float32)
    r = np.empty((1, d), np.float32)
    p = np.empty((1, d), np.float32)
    z = np.empty((1, d), np.float32)
    one, zero = np.float32(1), np.float32(0)
    for row in range(len(starts) - 1):
        first = starts[row]
        count = starts[row + 1] - first
        if count == 0:
            solved[row, :] = 0
            continue
        # The entries' vectors lie far apart: bring them together once, all the steps then find them in the cache.
        _bring_together(columns, first, count, fixed, near)
        enough = np.float32(1e-30)
        if tolerance > 0:
            r[:] = 0
            _add_entries(r, near, weights, first, count, solved, row, (unobserved, one, zero))
            enough = max(enough, tolerance * tolerance * first_direction(r, p, 0, spectrum, penalties[row]))
        for k in range(d):
            r[0, k] = -(spectrum[k] + penalties[row]) * solved[row, k]
        _add_entries(r, near, weights, first, count, solved, row, (unobserved, one, -one))
        size = first_direction(r, p, 0, spectrum, penalties[row])
        for _ in range(steps):
            if size <= enough:
                break
            for k in range(d):
                z[0, k] = (spectrum[k] + penalties[row]) * p[0, k]
            _add_entries(z, near, weights, first, count, p, 0, (zero, zero, one))
            along = size / dot(p, 0, z, 0)
            add_scaled(solved, row, along, p, 0)
            add_scaled(r, 0, -along, z, 0)
            size = next_direction(r, p, 0, spectrum, penalties[row], size)


@njit(cache=True, nogil=True)
def rotate(bounds: Any, vectors: Any, rotation: Any) -> None:
    """vectors ← vectors @ rotation in place, by BLAS within each group of rows: the same bits wherever a group lies."""
    for group in range(len(bounds) - 1):
        part = vectors[bounds[group] : bounds[group + 1]]
        part[:] = np.dot(part, rotation)


@njit(cache=True, nogil=True)
def fit_losses(starts: Any, columns: Any, weights: Any, listeners: Any, items: Any, unobserved: Any) -> Any:
    """Σ_j (α₀ + w_j)(1 − s_j)² − α₀ s_j² of each row: the loss of its entries less what G counts of them [float64]."""
    losses = np.zeros(len(starts) - 1)
    for row in range(len(starts) - 1):
        for j in range(starts[row], starts[row + 1]):
            score = np.float64(dot(listeners, row, items, columns[j]))
            losses[row] += (unobserved + weights[j]) * (1 - score) ** 2 - unobserved * score * score
    return losses
