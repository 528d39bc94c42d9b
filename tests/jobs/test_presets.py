"""Every configuration that is shipped runs a whole night. Only where things lie and how long to train is overridden."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from musicrec.config import load_config
from musicrec.entry import run_steps
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.side_by_side import partitions_for, shuffle_partitions, slots
from musicrec.ranking.nearest import nearest_items
from musicrec.ranking.similarity import similar_items
from musicrec.ranking.topn import top_n
from musicrec.spark import build_session
from musicrec.steps import NIGHTLY
from tests.catalogues import write_catalogue
from tests.conftest import ROOT
from tests.dumps import listen, write_spark_dump

CONFIGURATIONS = sorted((ROOT / "conf").glob("*.toml"))
USERS, SONGS, DAYS = 12, 40, 4
# What would take long, or more days than there are.
QUICK = ("lstm.training.epochs=1", "lstm.model.dim=8", "evaluate.test_days=1")
PARTITIONS = "spark.sql.shuffle.partitions"


@pytest.fixture(autouse=True)
def _session_as_before(spark: SparkSession) -> Iterator[None]:
    """What a configuration sets in the session, the tests after it do not see."""
    before = {key: spark.conf.get(key, None) for path in CONFIGURATIONS for key in load_config(path).spark.conf}
    before["spark.sql.adaptive.enabled"] = spark.conf.get("spark.sql.adaptive.enabled")
    yield
    for key, value in before.items():
        if value is None:
            spark.conf.unset(key)
        else:
            spark.conf.set(key, value)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A dump of some days of a few listeners, and a catalogue with what they play and as many other tracks."""
    base, rng = tmp_path_factory.mktemp("sources"), np.random.default_rng(5)
    rows = []
    for user in range(1, USERS + 1):
        for place in range(DAYS * 8):
            song = int(rng.integers(SONGS // 2) + (SONGS // 2 if user % 2 else 0))
            at = datetime(2021, 8, 1 + place // 8, 10) + timedelta(minutes=4 * (place % 8), seconds=user)
            names = {"title": f"Song {song}", "artist_name": f"Artist {song % 9}"}
            rows.append(listen(user, at.isoformat(sep=" "), **names))
    write_spark_dump(base / "dumps" / "full-dump-1", rows, end=f"2021-08-{DAYS + 1:02}")
    tracks = [
        {
            "track_id": f"t{song}",
            "track_name": f"Song {song}",
            "track_artist": f"Artist {song % 9}",
            "track_popularity": str(song),
            "energy": f"{rng.random():.3f}",
            "tempo": f"{60 + 100 * rng.random():.1f}",
            "valence": f"{rng.random():.3f}",
            "playlist_genre": ("rock", "pop", "rap")[song % 3],
        }
        for song in range(2 * SONGS)
    ]
    catalogue = write_catalogue(base / "tracks", "spotify_songs", tracks)
    return (f"sources.listens={base / 'dumps'}", f"sources.tracks={catalogue}")


@pytest.mark.nights
@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_a_night_runs_with_each_file_of_conf(
    path: Path, spark: SparkSession, sources: tuple[str, ...], tmp_path: Path
) -> None:
    root = tmp_path / "lakehouse"
    where = (f"lakehouse.root={root}", f"lakehouse.files={tmp_path / 'files'}", "lakehouse.catalog=")
    run_steps(list(NIGHTLY), path, None, (*where, *sources, *QUICK), False)
    rows = DeltaTable(str(root / "gold" / "recommendations")).to_pyarrow_table().to_pylist()
    assert {row["user_id"] for row in rows} == {str(user) for user in range(1, USERS + 1)}
    assert {row["as_of"] for row in rows} == {date(2021, 8, DAYS + 1)}
    assert {"discover", "again"} <= {row["shelf"] for row in rows}
    runs = DeltaTable(str(root / "ops" / "runs")).to_pyarrow_table().to_pylist()
    ends = {row["job"]: row["status"] for row in runs}
    # So few played tracks teach no cold start; for trees with large leaves it is little too.
    assert ends.pop("train_cold_start") == "skipped"
    assert ends.pop("train_ranker") in ("ok", "skipped")
    assert ends == dict.fromkeys(set(NIGHTLY) - {"train_cold_start", "train_ranker"}, "ok")


def test_partitions_may_be_left_to_spark(spark: SparkSession) -> None:
    """`auto` is no number for Spark but on Databricks; the engines' results are those of any number."""
    users = spark.range(600).selectExpr("int(id) AS user_idx", "array(float(id % 7) - 3, float(1)) AS vector")
    items = spark.range(40).selectExpr(
        "int(id) AS item_idx", "array(float(id % 5), float(id % 11)) AS vector", "float(0) AS bias"
    )
    asking = items.select("item_idx", F.col("item_idx").alias("own_idx"), "vector")
    model, nothing = EmbeddingModel("m", users, items), spark.createDataFrame([], "user_idx int, heard array<int>")

    def lists() -> list[dict[int, list[int]]]:
        made = (
            top_n(model, nothing, 3, "discover").withColumnRenamed("user_idx", "item_idx"),
            similar_items(items, 3),
            nearest_items(asking, items, 3, "euclidean"),
        )
        return [{row.item_idx: row["items"] for row in found.collect()} for found in made]

    wanted = lists()
    build_session("musicrec-tests", ROOT / "conf", {PARTITIONS: "auto"})
    assert shuffle_partitions(spark) == 4 * slots(spark)
    assert lists() == wanted
    spark.conf.set(PARTITIONS, "400")
    assert partitions_for(users) == 3
    assert top_n(model, nothing, 3, "discover").rdd.getNumPartitions() == 3
    assert lists() == wanted
