"""The leading eigenvectors of a large symmetric matrix that is known only by its products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from musicrec.models.slices import Slices

Floats = NDArray[np.float64]

# Blocks of directions that are held before a restart from a third of them, and the fewest directions.
_BASIS_BLOCKS, _LEAST_BASIS = 3, 96

# Directions shorter than this share of the longest are what rounding left.
_NOTHING = 1e-13


@dataclass(frozen=True)
class Directions:
    """What was found.

    Attributes
    ----------
    vectors : this task's rows of the orthonormal vectors [own × k].
    values : their eigenvalues, falling, never negative [k].
    passes : products taken.
    residual : the largest |Cv − λv| as a share of the largest eigenvalue.
    missing : how much the sum of the values may lie below the exact one, as a share of it.
    """

    vectors: Floats
    values: Floats
    passes: int
    residual: float
    missing: float


def leading_directions(
    multiply: Callable[[Floats], Floats],
    slices: Slices,
    start: Floats,
    k: int,
    max_passes: int,
    tolerance: float,
    done: Callable[[int], None],
) -> Directions:
    """The k leading eigenvectors of a symmetric matrix C without negative eigenvalues.

    Randomised block Lanczos with thick restarts: each pass multiplies a block of directions; what the product adds to
    the basis, made orthonormal, is the next block. After Halko, Martinsson and Tropp, "Finding Structure with
    Randomness", 2011, Musco and Musco, "Randomized Block Krylov Methods", 2015, and, for going on from the best
    directions once three blocks are full, Wu and Simon, "Thick-restart Lanczos Method", 2000. All tasks call it
    together, each with its rows of every tall matrix; it holds three blocks beside what `multiply` needs.

    Each value is within residual × the largest of an exact one. `missing` counts |r|² / gap for each vector whose
    residual is r, the gap being the distance to the first value that a restart would not keep (Parlett, "The Symmetric
    Eigenvalue Problem", 11.7), or |r| where that is less.

    Parameters
    ----------
    multiply : C times a matrix [all × any], from and to this task's rows; it may reuse what it gave before.
    slices : which rows are whose.
    start : this task's rows of the first block [own × k or more]; the block must have full column rank.
    k : eigenvectors wanted.
    max_passes : products at most.
    tolerance : stop when not more than this share of the values' sum is missing.
    done : called after each pass with its number, from 1.
    """
    size = start.shape[1]
    most = max(_BASIS_BLOCKS * size, _LEAST_BASIS)
    basis = np.empty((len(start), most))
    inner = np.zeros((most, most))
    fresh, _ = _orthonormal(slices, start, basis[:, :0], 0.0)
    passes, used = 0, 0
    values, rotation, residual, missing = np.zeros(0), np.zeros((0, 0)), np.inf, np.inf
    while passes < max_passes and missing > tolerance and fresh.shape[1]:
        if used + fresh.shape[1] > most:
            kept = most // _BASIS_BLOCKS
            _rotate(slices, basis[:, :used], rotation[:, :kept], basis[:, :kept])
            inner[:kept, :kept] = np.diag(values[:kept])
            used = kept
        new = slice(used, used + fresh.shape[1])
        used = new.stop
        basis[:, new] = fresh
        product = multiply(fresh)
        passes += 1
        inner[:used, new] = slices.inner(basis[:, :used], product)
        inner[new, :used] = inner[:used, new].T
        values, rotation = _eigenpairs(slices, inner[:used, :used])
        _subtract(slices, product, basis[:, :used], inner[:used, new])
        fresh, triangle = _orthonormal(slices, product, basis[:, :used], _NOTHING * values[0])
        # Every other block's product lies in the basis, so the residuals are what the newest one's adds to it.
        lengths = np.linalg.norm(triangle @ rotation[new, :k], axis=0)
        residual = float(lengths.max() / values[0])
        missing = _missing(values, lengths, values[min(most // _BASIS_BLOCKS, used - 1)])
        done(passes)
    vectors = np.empty((len(start), k))
    _rotate(slices, basis[:, :used], rotation[:, :k], vectors)
    return Directions(vectors, np.maximum(values[:k], 0.0), passes, residual, missing)


def _missing(values: Floats, lengths: Floats, outside: float) -> float:
    """Estimate of Σ (λ − θ) / Σ θ over the leading Ritz values θ whose residuals have these lengths [k]."""
    kept = values[: len(lengths)]
    gaps = np.maximum(kept - outside, lengths)
    # A gap of 0 is that of a residual of 0.
    below = np.divide(lengths**2, gaps, out=np.zeros_like(lengths), where=gaps > 0)
    return float(below.sum() / kept.sum())


def _eigenpairs(slices: Slices, inner: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues, falling, and eigenvectors of a symmetric matrix that all tasks hold."""
    size = len(inner)

    def solve() -> Floats:
        values, vectors = np.linalg.eigh((inner + inner.T) / 2)
        return np.vstack([values[::-1], vectors[:, ::-1]])

    found = slices.agreed(solve, (size + 1, size))
    return found[0], found[1:]


def _orthonormal(slices: Slices, block: Floats, basis: Floats, least: float) -> tuple[Floats, Floats]:
    """Orthonormal columns that span what the block adds to the basis, without directions shorter than `least`.

    The block is orthogonal to the basis but for rounding. Also given: a triangle with the same lengths and angles as
    the block [columns × columns].
    """
    transform, triangle = _inverse(slices, block, least)
    fresh = np.empty((len(block), transform.shape[1]))
    if not transform.shape[1]:
        return fresh, triangle
    _rotate(slices, block, transform, fresh)
    if basis.shape[1]:
        # Once more: the first time leaves what rounding made of short directions.
        _subtract(slices, fresh, basis, slices.inner(basis, fresh))
    transform, _ = _inverse(slices, fresh, _NOTHING)
    _rotate(slices, fresh, transform, fresh[:, : transform.shape[1]])
    return fresh[:, : transform.shape[1]], triangle


def _inverse(slices: Slices, block: Floats, least: float) -> tuple[Floats, Floats]:
    """What makes the block orthonormal when it is multiplied by it [columns × kept], and the block's triangle."""
    size = block.shape[1]
    stacked = slices.triangles(block)

    def invert() -> Floats:
        upper, order = qr(stacked, mode="r", pivoting=True)
        upper = np.vstack([upper, np.zeros((size, size))])[:size]
        lengths = np.abs(np.diag(upper))
        kept = int(np.count_nonzero(lengths > max(least, _NOTHING * lengths[0])))
        found = np.zeros((2, size, size))
        if kept:
            found[0][order[:kept], :kept] = solve_triangular(upper[:kept, :kept], np.eye(kept))
        found[1][:, order] = upper
        return found

    transform, triangle = slices.agreed(invert, (2, size, size))
    return transform[:, transform.any(axis=0)], triangle


def _rotate(slices: Slices, matrix: Floats, rotation: Floats, into: Floats) -> None:
    """into = matrix @ rotation; `into` may be the first columns of the matrix."""
    for chunk in slices.chunks():
        into[chunk] = matrix[chunk] @ rotation


def _subtract(slices: Slices, block: Floats, basis: Floats, shares: Floats) -> None:
    """block −= basis @ shares."""
    for chunk in slices.chunks():
        block[chunk] -= basis[chunk] @ shares
