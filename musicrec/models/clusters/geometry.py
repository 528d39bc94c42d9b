"""Distances to centres, silhouettes and the plane of the picture; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Ints = NDArray[Any]

# Rows times centres times columns that are in memory at once.
_CELLS = 4_000_000


def squared_distances(points: Matrix, centres: Matrix) -> Matrix:
    """|x − c|² of each point and centre [n × k].

    Differences, not products: a row's numbers do not depend on which rows stand beside it, as a BLAS product's may.
    """
    found = np.empty((len(points), len(centres)))
    step = max(1, _CELLS // max(1, centres.size))
    for start in range(0, len(points), step):
        part = points[start : start + step, None, :] - centres[None]
        found[start : start + step] = np.square(part).sum(axis=2)
    return found


def nearest(points: Matrix, centres: Matrix) -> tuple[Ints, Matrix]:
    """The nearest centre of each point, the lower number where two are as near, and its squared distance."""
    distances = squared_distances(points, centres)
    chosen = distances.argmin(axis=1)
    return chosen, distances[np.arange(len(points)), chosen]


def silhouettes(points: Matrix, labels: Ints, k: int) -> Matrix:
    """The silhouette of each point by squared Euclidean distances [n], in O(n k d).

    s = (b − a) / max(a, b), a the mean distance to the others of its own cluster, b that to the nearest other cluster
    (Rousseeuw 1987); 0 in a cluster of one, and where there is no other. The mean of |x − y|² over a cluster's y is
    |x − m|² + v, m its mean and v its variance about m, so no pair is ever looked at.

    Parameters
    ----------
    points : [n × d].
    labels : cluster of each point, 0 .. k − 1; a cluster may be empty.
    """
    counts = np.bincount(labels, minlength=k).astype(float)
    means = np.zeros((k, points.shape[1]))
    np.add.at(means, labels, points)
    means /= np.maximum(counts, 1)[:, None]
    spread = np.bincount(labels, np.square(points - means[labels]).sum(axis=1), minlength=k) / np.maximum(counts, 1)
    distances = squared_distances(points, means) + spread
    rows = np.arange(len(points))
    own = counts[labels]
    # The point itself, at distance 0, is no other.
    within = distances[rows, labels] * own / np.maximum(own - 1, 1)
    distances[rows, labels] = np.inf
    distances[:, counts == 0] = np.inf
    between = distances.min(axis=1)
    largest = np.maximum(within, between)
    is_defined = (own > 1) & np.isfinite(between) & (largest > 0)
    gap = np.where(is_defined, between - within, 0.0)
    return np.divide(gap, largest, out=np.zeros(len(points)), where=is_defined)


@dataclass(frozen=True)
class Plane:
    """The two principal components of a cloud of points.

    Attributes
    ----------
    mean : [d].
    axes : [2 × d], rows of length 1; the largest number of each is positive, so that the picture never flips. The
        second is zeros where there is one column only.
    explained : share of the variance along each.
    """

    mean: Matrix
    axes: Matrix
    explained: tuple[float, float]

    def project(self, points: Matrix) -> Matrix:
        """Coordinates in the plane [n × 2]."""
        # No BLAS product, as in `squared_distances`.
        return np.stack([((points - self.mean) * axis).sum(axis=1) for axis in self.axes], axis=1)


def principal_plane(points: Matrix) -> Plane:
    """The plane in which the points spread most."""
    mean = points.mean(axis=0)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(points - mean, rowvar=False, bias=True)))
    axes = vectors.T[::-1][:2]
    axes = axes * np.where(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1) < 0, -1.0, 1.0)
    shares = np.maximum(values[::-1][:2], 0) / max(values.sum(), np.finfo(float).tiny)
    missing = 2 - len(axes)
    axes = np.vstack([axes, np.zeros((missing, points.shape[1]))])
    both = [*map(float, shares), *[0.0] * missing]
    return Plane(mean, axes, (both[0], both[1]))
