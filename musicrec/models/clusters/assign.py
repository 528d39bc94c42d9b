"""Every track to its nearest centre, on the executors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.models.clusters.fit import Clusters
from musicrec.models.clusters.geometry import nearest

_DECIMALS = 6


def assign_clusters(tracks: DataFrame, clusters: Clusters) -> DataFrame:
    """The cluster of each track: the nearest centre, the lower number where two are as near.

    Parameters
    ----------
    tracks : DataFrame (track_id string, the columns `clusters.features` double, none null), one row a track.

    Returns
    -------
    DataFrame (track_id, cluster int, distance double, x double, y double): the distance in standard deviations, and
    the place in the picture's plane, rounded to 6 decimals.
    """
    features, mean, scale = clusters.features, clusters.mean, clusters.scale
    centres, plane = clusters.centres, clusters.plane

    def assign(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            values = [pc.cast(batch[name], pa.float64()).to_numpy(zero_copy_only=False) for name in features]
            points = (np.stack(values, axis=1) - mean) / scale
            labels, distances = nearest(points, centres)
            place = plane.project(points)
            made = (np.sqrt(distances), place[:, 0], place[:, 1])
            columns = [batch["track_id"], pa.array(labels, pa.int32())]
            columns += [pa.array(np.round(column, _DECIMALS)) for column in made]
            yield pa.RecordBatch.from_arrays(columns, ["track_id", "cluster", "distance", "x", "y"])

    columns = [F.col(name).cast("double").alias(name) for name in features]
    return tracks.select("track_id", *columns).mapInArrow(
        assign, "track_id string, cluster int, distance double, x double, y double"
    )
