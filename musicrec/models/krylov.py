"""The leading eigenvectors of a large symmetric matrix that is known only by its products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

Floats = NDArray[np.float64]

# Blocks of directions that are kept between two restarts.
_BASIS_BLOCKS = 3


@dataclass(frozen=True)
class Directions:
    """What was found.

    Attributes
    ----------
    vectors : orthonormal, the entry of the largest size in each column positive [width × k].
    values : their eigenvalues, falling, never negative [k].
    passes : products taken.
    residual : the largest |Cv − λv| as a share of the largest eigenvalue.
    """

    vectors: Floats
    values: Floats
    passes: int
    residual: float


def leading_directions(
    multiply: Callable[[Floats], Floats], start: Floats, k: int, max_passes: int, tolerance: float
) -> Directions:
    """The k leading eigenvectors of a symmetric matrix C without negative eigenvalues.

    Block Krylov iteration, started at random: each pass multiplies a new block of directions, takes the best directions
    of the last blocks (Rayleigh–Ritz), and makes their residuals the next block by QR. After Halko, Martinsson and
    Tropp, "Finding Structure with Randomness", 2011, and Musco and Musco, "Randomized Block Krylov Methods", 2015, with
    a restart after three blocks so that memory stays bounded. Each eigenvalue is within residual × the largest of an
    exact one.

    Parameters
    ----------
    multiply : C times a matrix [width × any].
    start : first block of directions [width × k or more]; must have full column rank.
    k : eigenvectors wanted.
    max_passes : products at most.
    tolerance : stop when the residual is not above it.
    """
    size = start.shape[1]
    fresh, _ = np.linalg.qr(start)
    basis = product = np.zeros((len(start), 0))
    passes, residual = 0, np.inf
    while passes < max_passes and residual > tolerance and fresh.shape[1]:
        passes += 1
        basis = np.hstack([basis, fresh])
        product = np.hstack([product, multiply(fresh)])
        inner = basis.T @ product
        values, rotation = np.linalg.eigh((inner + inner.T) / 2)
        values, rotation = values[::-1][:size], rotation[:, ::-1][:, :size]
        vectors, images = basis @ rotation, product @ rotation
        errors = images - vectors * values
        residual = float(np.linalg.norm(errors[:, :k], axis=0).max() / values[0])
        if basis.shape[1] + size > _BASIS_BLOCKS * size:
            basis, product = vectors, images
        fresh = _orthonormal(errors, basis, 1e-13 * float(values[0]))
    return Directions(_fix_signs(vectors[:, :k]), np.maximum(values[:k], 0.0), passes, residual)


def _orthonormal(block: Floats, basis: Floats, least: float) -> Floats:
    """Orthonormal columns that span what the block adds to the basis, without directions shorter than `least`."""
    block = block - basis @ (basis.T @ block)
    q, r, _ = qr(block, mode="economic", pivoting=True)
    q = q[:, np.abs(np.diag(r)) > least]
    # Once more: the first time leaves what rounding made of short directions.
    q, _ = np.linalg.qr(q - basis @ (basis.T @ q))
    return np.asarray(q)


def _fix_signs(vectors: Floats) -> Floats:
    """Turn each column so that its entry of the largest size, the first of equals, is positive."""
    # Rounded, so that two entries equal but for the last bits count as a tie.
    largest = np.argmax(np.round(np.abs(vectors), 9), axis=0)
    signs = np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
    return np.asarray(vectors * signs)
