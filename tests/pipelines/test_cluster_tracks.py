"""Clusters whose answer is known, beside scikit-learn's KMeans, and the tables that the job writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from musicrec.errors import InputError
from musicrec.io.runs import Run
from musicrec.logs import make_logger
from musicrec.models.clusters.fit import fit_clusters
from musicrec.models.clusters.params import ClusterParams
from musicrec.pipelines.cluster_tracks import cluster_tracks
from tests.sounds import planted, tracks_frame

FEATURES = ("energy", "acousticness", "valence", "tempo_folded")
GROUPS = [
    {"energy": 0.9, "acousticness": 0.1, "valence": 0.8, "tempo_folded": 130.0},
    {"energy": 0.2, "acousticness": 0.9, "valence": 0.3, "tempo_folded": 75.0},
    {"energy": 0.8, "acousticness": 0.1, "valence": 0.1, "tempo_folded": 100.0},
]
PARAMS = ClusterParams(features=FEATURES, k_min=2, k_max=4)
ROWS, LABELS = planted(GROUPS, size=40, spread=0.03, seed=1)


def test_planted_groups_are_found_whatever_the_partitions(spark: SparkSession) -> None:
    frame, log = tracks_frame(spark, ROWS), make_logger("test")
    found = fit_clusters(frame.repartition(1), PARAMS, 7, log)
    assert len(found.centres) == 3
    assert max(found.by_k, key=lambda k: found.by_k[k]) == 3
    # A cluster for each planted group, each group in one cluster.
    assert len({(int(a), int(b)) for a, b in zip(LABELS, found.labels, strict=True)}) == 3
    raw = np.array([[row[name] for name in FEATURES] for row in ROWS])
    scaled = StandardScaler().fit_transform(raw)
    np.testing.assert_allclose(found.points, scaled, atol=1e-12)
    expected = KMeans(3, n_init=5, random_state=0).fit(scaled)
    assert found.inertia == pytest.approx(expected.inertia_, rel=1e-9)
    vectors = spark.createDataFrame(
        [(row.tolist(), int(label)) for row, label in zip(found.points, found.labels, strict=True)],
        "values array<double>, prediction int",
    )
    judge = ClusteringEvaluator()
    assert found.by_k[3] == pytest.approx(
        judge.evaluate(vectors.select(array_to_vector("values").alias("features"), "prediction"))
    )
    again = fit_clusters(frame.repartition(5, F.xxhash64("name")), PARAMS, 7, log)
    assert np.array_equal(found.centres, again.centres)
    assert found.by_k == again.by_k


def test_the_tables_hold_every_track_once(run: Run, tmp_path: Path) -> None:
    lake = run.lakehouse
    lake.overwrite("silver.track_features", tracks_frame(lake.spark, ROWS))
    stage = cluster_tracks(run, PARAMS, tmp_path / "files")
    clusters = lake.read("gold.clusters").orderBy("cluster").collect()
    placed = {row.track_id: row for row in lake.read("gold.track_clusters").collect()}
    assert stage.rows_in == len(placed) == 120
    assert [row.tracks for row in clusters] == [40, 40, 40]
    assert [row.share for row in clusters] == [pytest.approx(1 / 3)] * 3
    assert len({row.name for row in clusters}) == 3
    by_genre = {row.top_genres[1]: row for row in clusters}
    assert all(row.top_genres[0] == "all" and len(row.top_genres) == 2 for row in clusters)
    for group, centre in enumerate(GROUPS):
        own = by_genre[f"genre {group}"]
        assert own.centre["energy"] == pytest.approx(centre["energy"], abs=0.02)
        near = {placed[row["track_id"]].cluster for row, label in zip(ROWS, LABELS, strict=True) if label == group}
        assert near == {own.cluster}
        assert own.silhouette > 0.8
    calm = by_genre["genre 1"]
    assert calm.name.split(", ")[0] in ("acoustic", "calm", "slow")
    nearest = min((row for row in placed.values() if row.cluster == 0), key=lambda row: (row.distance, row.track_id))
    assert clusters[0].examples[0] == f"Title {nearest.track_id} by Artist {nearest.track_id}"
    assert len(clusters[0].examples) == PARAMS.examples
    assert (tmp_path / "files" / "clusters" / "clusters.png").stat().st_size > 10_000


def test_a_catalogue_without_features_empties_the_tables(run: Run, tmp_path: Path) -> None:
    assert cluster_tracks(run, PARAMS, tmp_path).rows_out == 0
    assert run.lakehouse.read("gold.clusters").isEmpty()
    assert run.lakehouse.read("gold.track_clusters").isEmpty()


def test_what_cannot_be_clustered_is_told(spark: SparkSession) -> None:
    log = make_logger("test")
    same = [dict(row) | {name: 0.5 for name in FEATURES} for row in ROWS[:5]]
    with pytest.raises(InputError, match="not the same for all tracks"):
        fit_clusters(tracks_frame(spark, same), PARAMS, 7, log)
    one = [dict(row) | {"valence": 0.5} for row in ROWS[:3]]
    few = fit_clusters(tracks_frame(spark, one), PARAMS, 7, log)
    assert "valence" not in few.features
    assert np.isfinite(few.centres).all()
    with pytest.raises(InputError, match="a null or NaN"):
        fit_clusters(tracks_frame(spark, [dict(ROWS[0]) | {"valence": None}, *ROWS[1:9]]), PARAMS, 7, log)
