"""Clusters whose answer is known, beside scikit-learn's KMeans, and the tables that the job writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import SparkSession
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from musicrec.errors import InputError
from musicrec.io.run_log import OK, Outcome, record
from musicrec.io.runs import Run
from musicrec.io.tables import Lakehouse
from musicrec.logs import make_logger
from musicrec.models.clusters.fit import fit_clusters
from musicrec.models.clusters.params import ClusterParams
from musicrec.pipelines.cluster_tracks import cluster_tracks
from tests.sounds import planted, tracks_frame

FEATURES = ("energy", "acousticness", "valence", "tempo")
GROUPS = [
    {"energy": 0.9, "acousticness": 0.1, "valence": 0.8, "tempo": 130.0},
    {"energy": 0.2, "acousticness": 0.9, "valence": 0.3, "tempo": 75.0},
    {"energy": 0.8, "acousticness": 0.1, "valence": 0.1, "tempo": 100.0},
]
PARAMS = ClusterParams(features=FEATURES, k_min=2, k_max=4)
ONE = PARAMS.model_copy(update={"k_min": 3, "k_max": 3})
ROWS, LABELS = planted(GROUPS, size=40, spread=0.03, seed=1)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lakehouse:
    return Lakehouse(spark, str(tmp_path_factory.mktemp("clusters")))


def run_on(lake: Lakehouse) -> Run:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return Run(lake, "test-run", "cluster_tracks", now, 7, make_logger("test-run"), date(2014, 6, 23))


def test_a_catalogue_without_features_has_empty_tables(lake: Lakehouse, tmp_path: Path) -> None:
    assert cluster_tracks(run_on(lake), PARAMS, tmp_path).rows_out == 0
    assert lake.read("gold.clusters").isEmpty()
    assert lake.read("gold.track_clusters").isEmpty()


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
    labelled = zip(found.points.tolist(), found.labels.tolist(), strict=True)
    vectors = spark.createDataFrame(list(labelled), "values array<double>, prediction int")
    vectors = vectors.select(array_to_vector("values").alias("features"), "prediction")
    assert found.by_k[3] == pytest.approx(ClusteringEvaluator().evaluate(vectors))
    again = fit_clusters(frame.repartition(5, "name"), ONE, 7, log)
    assert np.array_equal(found.centres, again.centres)
    assert found.by_k[3] == again.by_k[3]


def test_the_tables_hold_every_track_once(lake: Lakehouse, tmp_path: Path) -> None:
    lake.overwrite("silver.track_features", tracks_frame(lake.spark, ROWS))
    stage = cluster_tracks(run_on(lake), ONE, tmp_path / "files")
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


def test_clusters_stay_until_the_features_change(lake: Lakehouse, tmp_path: Path) -> None:
    first = run_on(lake)
    note = cluster_tracks(first, ONE, tmp_path).note
    record(first, {"clusters": ONE.model_dump(mode="json"), "seed": 7}, Outcome(OK, first.now, first.now, None))
    next_night = replace(run_on(lake), as_of=date(2014, 6, 24), run_id="next")
    assert "3 clusters" in note
    version = lake.version("gold.clusters")
    assert cluster_tracks(next_night, ONE, tmp_path).note == "the 3 clusters of 2014-06-23 stay"
    assert lake.version("gold.clusters") == version
    lake.overwrite("silver.track_features", tracks_frame(lake.spark, ROWS[:-1]))
    assert cluster_tracks(next_night, ONE, tmp_path).rows_in == 119
    assert lake.read("gold.track_clusters").count() == 119


def test_what_cannot_be_clustered_is_told(spark: SparkSession) -> None:
    log = make_logger("test")
    same = [row | dict.fromkeys(FEATURES, 0.5) for row in ROWS[:5]]
    with pytest.raises(InputError, match="known and not the same for all"):
        fit_clusters(tracks_frame(spark, same), PARAMS, 7, log)
    # Three tracks make two clusters at most; what is unknown of one of them or the same for all takes no part.
    few = [row | {"valence": 0.5, "energy": None if row is ROWS[0] else 0.3} for row in ROWS[:3]]
    found = fit_clusters(tracks_frame(spark, few), PARAMS, 7, log)
    assert found.features == ("acousticness", "tempo")
    assert len(found.centres) == 2
    assert np.isfinite(found.centres).all()
