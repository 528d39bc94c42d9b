"""KMeans with the number of clusters chosen by silhouette."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.ml.clustering import KMeans
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from musicrec.errors import InputError, NonFiniteError, TooLittleError
from musicrec.logs import Logger
from musicrec.models.blocks import read_lists
from musicrec.models.clusters.geometry import Plane, nearest, principal_plane, silhouettes
from musicrec.models.clusters.params import ClusterParams

Matrix = NDArray[np.float64]

# A fit ends when no centre moves further, in standard deviations.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Clusters:
    """Fitted clusters, the largest first.

    Attributes
    ----------
    features : columns that were used; those that are unknown or the same for all are not among them.
    mean, scale : of each, by which it is standardised [d].
    centres : standardised [k × d].
    silhouette : mean of each cluster's points [k].
    by_k : mean silhouette of all points, by the number of clusters tried.
    inertia : sum of the squared distances to the nearest centre.
    empty : clusters that no point was nearest to, dropped.
    plane : of the picture.
    points : the standardised sample, in the order of track_id [n × d].
    labels : its clusters [n].
    """

    features: tuple[str, ...]
    mean: Matrix
    scale: Matrix
    centres: Matrix
    silhouette: Matrix
    by_k: dict[int, float]
    inertia: float
    empty: int
    plane: Plane
    points: Matrix
    labels: NDArray[np.int64]

    def standardise(self, values: Matrix) -> Matrix:
        """Raw columns [n × d] in standard deviations from the mean."""
        return np.asarray((values - self.mean) / self.scale)


def fit_clusters(tracks: DataFrame, params: ClusterParams, seed: int, log: Logger) -> Clusters:
    """Group tracks by MLlib's KMeans (k-means||, Bahmani et al. 2012) on standardised columns.

    It is fitted in one task, on rows in the order of track_id: MLlib draws its first centres by partition and adds up
    in the order of partitions, so only this gives the same clusters whatever the partitions. Of more than
    `params.sample` tracks a part drawn by hash is used. A track with an imputed column is left out of the fit, as long
    as others are there.

    Parameters
    ----------
    tracks : DataFrame (track_id string, imputed array<string>, the columns `params.features` double), one row a track.

    Raises
    ------
    InputError : no tracks.
    TooLittleError : no column that is known of all and not the same for all.
    NonFiniteError : the fit diverged.
    """
    rows = _sample(tracks, params)
    raw = _matrix(rows)
    features, mean, scale = _scales(raw, params, log)
    columns = [params.features.index(name) for name in features]
    points = (raw[:, columns] - mean) / scale
    distinct = len(np.unique(points, axis=0))
    standard = F.array(*[(F.col("values")[c] - float(mean[i])) / float(scale[i]) for i, c in enumerate(columns)])
    fitted = rows.select(array_to_vector(standard).alias("features")).persist(StorageLevel.MEMORY_AND_DISK)
    found: dict[int, tuple[Matrix, NDArray[np.int64], float]] = {}
    by_k: dict[int, float] = {}
    try:
        for k in _numbers(params, distinct, log):
            found[k] = _best_fit(fitted, points, k, params, seed)
            by_k[k] = round(float(silhouettes(points, found[k][1], len(found[k][0])).mean()), 9)
            log.info("clusters: fitted", k=k, silhouette=round(by_k[k], 4))
    finally:
        fitted.unpersist()
        rows.unpersist()
    best = max(by_k, key=lambda k: (by_k[k], -k))
    return _clusters(found[best], points, by_k, best, features, mean, scale, log)


def _sample(tracks: DataFrame, params: ClusterParams) -> DataFrame:
    """(track_id, values array<double>) of at most `params.sample` tracks, in one partition, by track_id."""
    hard = F.arrays_overlap("imputed", F.array(*[F.lit(name) for name in params.features]))
    known = tracks.where(~F.coalesce(hard, F.lit(False)))
    chosen = known if not known.isEmpty() else tracks
    values = F.array(*[F.col(name).cast("double") for name in params.features]).alias("values")
    drawn = chosen.select("track_id", values).orderBy(F.xxhash64("track_id"), "track_id").limit(params.sample)
    return drawn.repartition(1).sortWithinPartitions("track_id").persist(StorageLevel.MEMORY_AND_DISK)


def _matrix(rows: DataFrame) -> Matrix:
    lists = read_lists(rows.select("values").toArrow()["values"].combine_chunks())
    if not len(lists):
        raise InputError("table silver.track_features", "tracks", "none")
    # A null is read as NaN.
    return np.asarray(lists.values, float).reshape(len(lists), -1)


def _scales(raw: Matrix, params: ClusterParams, log: Logger) -> tuple[tuple[str, ...], Matrix, Matrix]:
    """The columns that vary, their means and standard deviations."""
    mean, scale = raw.mean(axis=0), raw.std(axis=0)
    # Relative, since the deviation of equal numbers is not always exactly 0. NaN is above nothing.
    varies = scale > 1e-9 * np.maximum(np.abs(mean), 1e-9)
    if not varies.any():
        raise TooLittleError("table silver.track_features", "a feature that is known and not the same for all", "none")
    left_out = [name for name, is_used in zip(params.features, varies, strict=True) if not is_used]
    if left_out:
        log.warning("clusters: features that are unknown or the same for all are left out", features=left_out)
    used = tuple(name for name, is_used in zip(params.features, varies, strict=True) if is_used)
    return used, mean[varies], scale[varies]


def _numbers(params: ClusterParams, distinct: int, log: Logger) -> list[int]:
    """The numbers of clusters to try: fewer than there are different tracks."""
    numbers = [k for k in range(params.k_min, params.k_max + 1) if k < distinct]
    if numbers:
        return numbers
    log.warning("clusters: fewer than configured, since few tracks differ", different_tracks=distinct)
    return [max(1, distinct - 1)]


def _best_fit(
    fitted: DataFrame, points: Matrix, k: int, params: ClusterParams, seed: int
) -> tuple[Matrix, NDArray[np.int64], float]:
    """Centres, the points' clusters and the inertia, the least of the restarts."""
    if k == 1:  # MLlib starts at two
        centre = points.mean(axis=0, keepdims=True)
        return centre, np.zeros(len(points), np.int64), float(np.square(points - centre).sum())
    best: tuple[Matrix, NDArray[np.int64], float] | None = None
    for restart in range(params.restarts):
        model = KMeans(k=k, seed=seed + restart, maxIter=params.max_iterations, tol=_TOLERANCE).fit(fitted)
        centres = np.array(model.clusterCenters(), float)
        if not np.isfinite(centres).all():
            raise NonFiniteError(f"clusters: a centre of k = {k} holds NaN or infinity after the fit")
        labels, distances = nearest(points, centres)
        inertia = float(distances.sum())
        if best is None or inertia < best[2]:
            best = centres, labels, inertia
    assert best is not None
    return best


def _clusters(
    fit: tuple[Matrix, NDArray[np.int64], float],
    points: Matrix,
    by_k: dict[int, float],
    k: int,
    features: tuple[str, ...],
    mean: Matrix,
    scale: Matrix,
    log: Logger,
) -> Clusters:
    """The fit that was chosen, its clusters by size, then by centre; those without a point are dropped."""
    centres, labels, inertia = fit
    counts = np.bincount(labels, minlength=len(centres))
    empty = k - int((counts > 0).sum())
    if empty:
        log.warning("clusters: empty ones are dropped", empty=empty, left=k - empty)
    keys: list[Any] = [*centres.T[::-1], -counts]
    order = np.lexsort(keys)[: int((counts > 0).sum())]
    place = np.zeros(len(centres), np.int64)
    place[order] = np.arange(len(order))
    labels = place[labels]
    each = silhouettes(points, labels, len(order))
    own = np.bincount(labels, each) / np.bincount(labels)
    return Clusters(
        features, mean, scale, centres[order], own, by_k, inertia, empty, principal_plane(points), points, labels
    )
