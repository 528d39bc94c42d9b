from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.schemas import TABLES
from musicrec.transforms.recordings import (
    SPELLING,
    add_spellings,
    count_spellings,
    recordings,
    resolve_spellings,
    same_spelling,
)

START = datetime(2014, 6, 16, tzinfo=UTC)
Listen = tuple[str, str, str | None, str | None, list[str] | None]

MB_1, MB_2, QUEEN, BOWIE = (f"{digit * 8}-0000-4000-8000-00000000000a" for digit in "12fe")

LISTENS: list[Listen] = [
    ("The Cars", "Just What I Needed", "Cars", None, None),
    ("Cars", "just what i needed - 2017 Remaster", None, None, None),
    ("The Cars", "Just What I Needed (Live)", None, None, None),
    ("Queen", "Under Pressure", "Hot Space", MB_1.upper(), [QUEEN, BOWIE]),
    ("Queen & David Bowie", "Under pressure", "Hot Space", MB_1, [BOWIE, QUEEN.upper()]),
    ("Queen", "Under Pressure", "Greatest Hits", " ", None),
    ("Queen", "One Vision", None, MB_2, [QUEEN]),
]


def listens(spark: SparkSession, rows: list[Listen]) -> DataFrame:
    columns = (
        "artist_name string, recording_name string, release_name string, recording_mbid string, "
        "artist_mbids array<string>, listened_at timestamp"
    )
    timed = [(*row, START + timedelta(minutes=place)) for place, row in enumerate(rows)]
    return spark.createDataFrame(timed, columns)


def resolve_recordings(rows: DataFrame) -> DataFrame:
    """The listens, in the order of time, with what their spelling is of."""
    spellings = resolve_spellings(count_spellings(rows))
    ids = spellings.select(*SPELLING, "recording_id", "artist_id").alias("s")
    return (
        rows.alias("l")
        .join(ids, same_spelling("l", "s"), "inner")
        .select("l.*", "recording_id", "artist_id")
        .orderBy("listened_at")
    )


def test_listens_of_one_recording_share_its_id(spark: SparkSession) -> None:
    ids = [r.recording_id for r in resolve_recordings(listens(spark, LISTENS)).collect()]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("h:")
    assert len(ids[0]) == 34
    assert ids[3] == ids[4] == MB_1
    assert ids[5].startswith("h:")


def test_an_id_does_not_depend_on_what_else_is_there(spark: SparkSession) -> None:
    # Written down once: it must be the same in every run for ever, as it is the key of stored factors.
    [alone] = resolve_recordings(listens(spark, LISTENS[:1])).collect()
    assert alone.recording_id == "h:" + hashlib.sha256(b"cars\x1fjust what i needed").hexdigest()[:32]
    assert alone.artist_id == "h:" + hashlib.sha256(b"cars").hexdigest()[:32]


def test_an_artist_is_its_mbid_or_its_joint_credit_or_its_name(spark: SparkSession) -> None:
    ids = [r.artist_id for r in resolve_recordings(listens(spark, LISTENS)).collect()]
    assert ids[0] == ids[1] == ids[2]
    assert ids[3] == ids[4] == f"m:{BOWIE},{QUEEN}"
    assert ids[6] == QUEEN
    assert ids[5].startswith("h:")


def test_a_recording_shows_its_commonest_spelling(spark: SparkSession) -> None:
    rows: list[Listen] = [*LISTENS, LISTENS[1], ("CARS", "Just What I Needed", "Cars", None, None)]
    heard = listens(spark, rows)
    found = {r.recording_id: r for r in recordings(resolve_spellings(count_spellings(heard.repartition(3)))).collect()}
    cars = next(r for r in found.values() if r.title_key == "just what i needed")
    # Two listens each: "Just …" stands before "just …"; "CARS" once, "The Cars" once, "Cars" twice.
    assert (cars.title, cars.artist_name, cars.release_name, cars.plays) == ("Just What I Needed", "Cars", "Cars", 4)
    assert cars.first_listened_at == min(r.listened_at for r in heard.select("listened_at").collect())
    pressure = found[MB_1]
    assert (pressure.recording_mbid, pressure.artist_mbids, pressure.artist_id) == (
        MB_1,
        [BOWIE, QUEEN],
        f"m:{BOWIE},{QUEEN}",
    )
    assert (pressure.artist_name, pressure.artist_key, pressure.plays) == ("Queen", "queen", 2)
    assert cars.artist_mbids is None
    assert found[MB_2].release_name is None
    assert tuple(pressure.asDict()) == tuple(TABLES["silver.recordings"].columns)


def test_plays_count_not_spellings(spark: SparkSession) -> None:
    # "b" is played three times on one release; "a" twice, in two spellings of the release.
    rows: list[Listen] = [("X", title, release, MB_1, None) for title, release in (("a", "R"), ("a", "S"))]
    rows += [("X", "b", "R", MB_1, None)] * 3
    [found] = recordings(resolve_spellings(count_spellings(listens(spark, rows)))).collect()
    assert (found.title, found.release_name, found.plays) == ("b", "R", 5)


def test_plays_add_up_and_partitions_do_not_matter(spark: SparkSession) -> None:
    made = [resolve_spellings(count_spellings(listens(spark, LISTENS * 3).repartition(n))) for n in (1, 4)]
    one, other = (recordings(spellings).collect() for spellings in made)
    assert sorted(map(str, one)) == sorted(map(str, other))
    assert sum(r.plays for r in one) == len(LISTENS) * 3


def test_later_listens_added_are_as_if_all_had_come_at_once(spark: SparkSession) -> None:
    everything = listens(spark, [*LISTENS, *LISTENS[2:5], ("New", "Song", None, None, None)])
    at = START + timedelta(minutes=5)
    is_early = F.col("listened_at") < at
    early, late = (count_spellings(everything.where(part)) for part in (is_early, ~is_early))
    added = add_spellings(resolve_spellings(early), late)
    whole = resolve_spellings(count_spellings(everything))
    columns = list(TABLES["silver.spellings"].columns)
    assert sorted(map(str, added.select(columns).collect())) == sorted(map(str, whole.select(columns).collect()))
    assert whole.select("spelling_id").distinct().count() == whole.count()
