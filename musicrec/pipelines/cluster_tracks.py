"""Groups of tracks that sound alike, as tables and as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.io.cluster_plot import plot_clusters
from musicrec.io.run_log import last_success
from musicrec.io.runs import Run, Stage
from musicrec.models.clusters.assign import assign_clusters
from musicrec.models.clusters.fit import Clusters, fit_clusters
from musicrec.models.clusters.names import cluster_names
from musicrec.models.clusters.params import ClusterParams
from musicrec.pipelines.content import NO_FEATURES
from musicrec.pipelines.earlier_models import has_settings
from musicrec.schemas import TABLES

# Below 2^53, so that a metric holds it exactly.
_HASH, _HASHES = "features_hash", 2**52
# Genres that a cluster is told by.
_GENRES = 5


def cluster_tracks(run: Run, params: ClusterParams, files: Path) -> Stage:
    """Replace gold.clusters and gold.track_clusters, and draw `files`/clusters/clusters.png.

    A catalogue without features empties the tables, and the step counts as skipped. Where an earlier night had the same
    features and settings, what it found stays.

    Raises
    ------
    TooLittleError : no feature is known of all tracks and differs among them.
    """
    lake = run.lakehouse
    tracks = lake.read_or_empty("silver.track_features")
    rows_in = tracks.count()
    if not rows_in:
        for name in ("gold.clusters", "gold.track_clusters"):
            lake.overwrite(name, lake.spark.createDataFrame([], TABLES[name].schema))
        return Stage(0, 0, str(NO_FEATURES), is_skipped=True)
    kept = _kept(run, tracks, params)
    if kept:
        return kept
    clusters = fit_clusters(tracks, params, run.seed, run.log)
    names = cluster_names(clusters.centres, clusters.features)
    assigned = assign_clusters(tracks, clusters).withColumn("run_id", F.lit(run.run_id))
    lake.overwrite("gold.track_clusters", assigned.sortWithinPartitions("cluster", "track_id"))
    placed = lake.read("gold.track_clusters", is_input=False).drop("run_id")
    about = facts_of_clusters(placed, tracks, clusters, names, params.examples, rows_in)
    lake.overwrite("gold.clusters", about.withColumn("run_id", F.lit(run.run_id)))
    plane = clusters.plane
    plot_clusters(
        plane.project(clusters.points),
        clusters.labels,
        names,
        plane.project(clusters.centres),
        plane.explained,
        files / "clusters" / "clusters.png",
    )
    _tell(run, clusters)
    run.log.info("clusters", names=names)
    k, mean = len(names), clusters.by_k[_chosen(clusters)]
    return Stage(rows_in, rows_in + k, f"{k} clusters, silhouette {mean:.3f}")


def _kept(run: Run, tracks: DataFrame, params: ClusterParams) -> Stage | None:
    """What an earlier night found in the same features, where it stays for tonight; None where it does not.

    The features' table is written each night, so they are told by a hash. A night that is run again groups them again.
    """
    lake = run.lakehouse
    row = F.xxhash64("track_id", "name", "artists", "genres", "imputed", *params.features)
    total = F.sum(F.pmod(row, F.lit(_HASHES)).cast("decimal(38,0)"))
    found = float(tracks.agg(F.pmod(total, F.lit(_HASHES))).collect()[0][0])
    run.metric(_HASH, found)
    last = last_success(lake, run.job)
    settings = {"clusters": params.model_dump(mode="json"), "seed": run.seed}
    if (
        last is None
        or last.as_of is None
        or last.as_of >= run.day
        or not has_settings(run, last.run_id, run.job, settings)
    ):
        return None
    same_run = (F.col("run_id") == last.run_id) & (F.col("job") == run.job) & (F.col("name") == _HASH)
    before = [row.value for row in lake.read("ops.metrics", is_input=False).where(same_run).collect()]
    if before != [found]:
        return None
    counts = [lake.read(name, is_input=False).count() for name in ("gold.clusters", "gold.track_clusters")]
    return Stage(counts[1], sum(counts), f"the {counts[0]} clusters of {last.as_of} stay")


def facts_of_clusters(
    placed: DataFrame, tracks: DataFrame, clusters: Clusters, names: list[str], examples: int, total: int
) -> DataFrame:
    """gold.clusters but for run_id: each cluster with what its tracks say of it.

    Parameters
    ----------
    placed : DataFrame (track_id, cluster, distance, x, y), from `assign_clusters`.
    tracks : silver.track_features.
    examples : tracks nearest to the centre, as "title by artist"; where one song is there twice it counts once.
    total : number of tracks.
    """
    named = placed.join(tracks.select("track_id", "name", "artists", "genres"), "track_id", "inner").persist()
    says = F.concat_ws(" by ", "name", F.col("artists")[0])
    songs = named.groupBy("cluster", says.alias("says")).agg(F.min(F.struct("distance", "track_id")).alias("near"))
    nearest = F.slice(F.array_sort(F.collect_list(F.struct("near", "says"))), 1, examples)["says"]
    of_cluster = songs.groupBy("cluster").agg(nearest.alias("examples"))
    genres = named.select("cluster", F.explode("genres").alias("genre")).groupBy("cluster", "genre").count()
    most = F.slice(F.array_sort(F.collect_list(F.struct(-F.col("count"), "genre"))), 1, _GENRES)["genre"]
    top = genres.groupBy("cluster").agg(most.alias("top_genres"))
    counts = named.groupBy("cluster").agg(F.count("*").alias("tracks"))
    none = F.array().cast("array<string>")
    found = _fitted(placed, clusters, names).join(counts, "cluster", "left").join(of_cluster, "cluster", "left")
    return found.join(top, "cluster", "left").withColumns(
        {
            "tracks": F.coalesce("tracks", F.lit(0)),
            "share": F.coalesce("tracks", F.lit(0)) / F.lit(total),
            "examples": F.coalesce("examples", none),
            "top_genres": F.coalesce("top_genres", none),
        }
    )


def _fitted(placed: DataFrame, clusters: Clusters, names: list[str]) -> DataFrame:
    """(cluster, name, silhouette, centre, deviations, x, y): what the fit says of each cluster."""
    places = clusters.plane.project(clusters.centres)
    raw = clusters.centres * clusters.scale + clusters.mean
    rows = [
        (
            cluster,
            name,
            round(float(clusters.silhouette[cluster]), 6),
            _by_feature(clusters, raw[cluster]),
            _by_feature(clusters, clusters.centres[cluster]),
            *(round(float(value), 6) for value in places[cluster]),
        )
        for cluster, name in enumerate(names)
    ]
    figures = "map<string,double>"
    schema = f"cluster int, name string, silhouette double, centre {figures}, deviations {figures}, x double, y double"
    return placed.sparkSession.createDataFrame(rows, schema)


def _by_feature(clusters: Clusters, values: NDArray[np.float64]) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in zip(clusters.features, values, strict=True)}


def _chosen(clusters: Clusters) -> int:
    return len(clusters.centres) + clusters.empty


def _tell(run: Run, clusters: Clusters) -> None:
    for k, value in clusters.by_k.items():
        run.metric("silhouette", value, step=k)
    run.metric("clusters", len(clusters.centres))
    run.metric("clusters_empty", clusters.empty)
    run.metric("inertia", round(clusters.inertia, 6))
    for component, share in enumerate(clusters.plane.explained):
        run.metric("explained_variance_ratio", share, step=component)
