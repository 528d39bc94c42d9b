from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from pyspark.sql import DataFrame, SparkSession

from musicrec.schemas import TABLES
from musicrec.transforms.recordings import recordings, resolve_recordings

START = datetime(2014, 6, 16, tzinfo=UTC)
Listen = tuple[str, str, str | None, str | None, list[str] | None]

LISTENS: list[Listen] = [
    ("The Cars", "Just What I Needed", "Cars", None, None),
    ("Cars", "just what i needed - 2017 Remaster", None, None, None),
    ("The Cars", "Just What I Needed (Live)", None, None, None),
    ("Queen", "Under Pressure", "Hot Space", "MB-1", ["q", "d"]),
    ("Queen & David Bowie", "Under pressure", "Hot Space", "mb-1", ["d", "Q"]),
    ("Queen", "Under Pressure", "Greatest Hits", " ", None),
    ("Queen", "One Vision", None, "mb-2", ["q"]),
]


def listens(spark: SparkSession, rows: list[Listen]) -> DataFrame:
    columns = (
        "artist_name string, recording_name string, release_name string, recording_mbid string, "
        "artist_mbids array<string>, listened_at timestamp"
    )
    timed = [(*row, START + timedelta(minutes=place)) for place, row in enumerate(rows)]
    return spark.createDataFrame(timed, columns)


def test_listens_of_one_recording_share_its_id(spark: SparkSession) -> None:
    ids = [r.recording_id for r in resolve_recordings(listens(spark, LISTENS).coalesce(1)).collect()]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("h:")
    assert len(ids[0]) == 34
    assert ids[3] == ids[4] == "mb-1"
    assert ids[5].startswith("h:")


def test_an_id_does_not_depend_on_what_else_is_there(spark: SparkSession) -> None:
    # Written down once: it must be the same in every run for ever, as it is the key of stored factors.
    [alone] = resolve_recordings(listens(spark, LISTENS[:1])).collect()
    assert alone.recording_id == "h:" + hashlib.sha256(b"cars\x1fjust what i needed").hexdigest()[:32]
    assert alone.artist_id == "h:" + hashlib.sha256(b"cars").hexdigest()[:32]


def test_an_artist_is_its_mbid_or_its_joint_credit_or_its_name(spark: SparkSession) -> None:
    ids = [r.artist_id for r in resolve_recordings(listens(spark, LISTENS).coalesce(1)).collect()]
    assert ids[0] == ids[1] == ids[2]
    assert ids[3] == ids[4] == "m:d,q"
    assert ids[6] == "q"
    assert ids[5].startswith("h:")


def test_a_recording_shows_its_commonest_spelling(spark: SparkSession) -> None:
    rows: list[Listen] = [*LISTENS, LISTENS[1], ("CARS", "Just What I Needed", "Cars", None, None)]
    resolved = resolve_recordings(listens(spark, rows))
    found = {r.recording_id: r for r in recordings(resolved.repartition(3)).collect()}
    cars = next(r for r in found.values() if r.title_key == "just what i needed")
    # Two listens each: "Just …" stands before "just …"; "CARS" once, "The Cars" once, "Cars" twice.
    assert (cars.title, cars.artist_name, cars.release_name, cars.plays) == ("Just What I Needed", "Cars", "Cars", 4)
    assert cars.first_listened_at == min(r.listened_at for r in resolved.select("listened_at").collect())
    pressure = found["mb-1"]
    assert (pressure.recording_mbid, pressure.artist_mbids, pressure.artist_id) == ("mb-1", ["d", "q"], "m:d,q")
    assert (pressure.artist_name, pressure.artist_key, pressure.plays) == ("Queen", "queen", 2)
    assert cars.artist_mbids is None
    assert recordings(resolved).columns == list(TABLES["silver.recordings"].columns)


def test_plays_add_up_and_partitions_do_not_matter(spark: SparkSession) -> None:
    resolved = resolve_recordings(listens(spark, LISTENS * 3))
    one, other = recordings(resolved.coalesce(1)).collect(), recordings(resolved.repartition(4)).collect()
    assert sorted(map(str, one)) == sorted(map(str, other))
    assert sum(r.plays for r in one) == len(LISTENS) * 3
