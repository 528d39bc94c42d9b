from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from musicrec.schemas import TABLES
from musicrec.transforms.link_forms import artist_forms, guard, title_forms
from musicrec.transforms.linking import link_recordings, linked_share
from musicrec.transforms.text import title_key

# (artist, title) of a recording and of the track that it is → the method that finds it.
SAME = {
    ("The Cars", "Let's Go", "Cars", "Let's Go - 2016 Remaster"): "exact",
    ("ACDC", "T.N.T.", "AC/DC", "TNT"): "exact",
    ("Queen / David Bowie", "Under Pressure", "David Bowie & Queen", "Under Pressure"): "artist_form",
    ("The Alarm (IRS)", "Rain In the Summertime", "The Alarm", "Rain in the Summertime"): "artist_form",
    ("Michael Stanley", "My Town", "Michael Stanley Band", "My Town"): "artist_form",
    ("Bob Seger", "Mainstreet", "Bob Seger & The Silver Bullet Band", "Mainstreet"): "primary_artist",
    ("Paul McCartney & Wings", "Jet", "Wings", "Jet"): "artist_part",
    ("Styx", "Blue Collar Man", "Styx", "Blue Collar Man (Long Nights)"): "subtitle",
    ("Bang Tango", "Bang a Gong (Get It On)", "Bang Tango", "Get It On"): "subtitle",
    ("Steve Miller Band", "Threshold/Jet Airliner", "Steve Miller Band", "Jet Airliner"): "medley",
    ("Jackson Browne", "The Load-out/stay", "Jackson Browne", "Stay/The Load-Out"): "order",
    ("The Who", "Baba O'Reilly", "The Who", "Baba O'Riley"): "title_spelling",
    ("Lynyrd Skynrd", "Free Bird", "Lynyrd Skynyrd", "Free Bird"): "artist_spelling",
}

# Pairs that look alike and are not one recording.
OTHER = [
    ("Eagles", "Hotel California", "Eagles", "Hotel California - Live"),
    ("Eagles", "Desperado (Live)", "Eagles", "Desperado"),
    ("Pink Floyd", "Another Brick in the Wall (Part 1)", "Pink Floyd", "Another Brick in the Wall, Pt. 2"),
    ("Pink Floyd", "Shine On (Part 1)", "Pink Floyd", "Shine On"),
    ("Adele", "Hello", "Lionel Richie", "Hello"),
    ("The Animals II", "Monterey Calling", "The Animals", "Monterey Calling"),
    ("Chicago", "25 or 6 to 4", "Chicago", "25 or 6 to 5"),
    ("Queen", "Bicycle Race Karaoke", "Queen", "Bicycle Race"),
    ("Kiss", "Beth", "Kiss", "Both"),
    ("Emerson, Lake & Palmer", "Lucky", "Crosby & Palmer", "Lucky"),
    ("!!!", "Must Be the Moon", "???", "Must Be the Moon"),
]


def recordings_of(spark: SparkSession, rows: list[tuple[str, str]]) -> DataFrame:
    numbered = [(f"r{i}", artist, title) for i, (artist, title) in enumerate(rows)]
    return spark.createDataFrame(numbered, "recording_id string, artist_name string, title string")


def tracks_of(spark: SparkSession, rows: list[tuple[str, list[str], str, float | None]]) -> DataFrame:
    return spark.createDataFrame(rows, "track_id string, artists array<string>, name string, popularity double")


def linked(links: DataFrame) -> dict[str, Row]:
    rows = links.collect()
    assert len({r.recording_id for r in rows}) == len(rows)
    return {r.recording_id: r for r in rows}


def test_each_tier_finds_its_track_and_nothing_else(spark: SparkSession) -> None:
    pairs = [*SAME, *OTHER]
    recordings = recordings_of(spark, [(a, t) for a, t, _, _ in pairs])
    tracks = tracks_of(spark, [(f"t{i}", [a], t, None) for i, (_, _, a, t) in enumerate(pairs)])
    links = link_recordings(recordings, tracks)
    assert links.columns == list(TABLES["silver.links"].columns)
    found = {r: (row.track_id, row.method) for r, row in linked(links).items()}
    assert found == {f"r{i}": (f"t{i}", method) for i, method in enumerate(SAME.values())}
    assert all(0.5 < row.confidence <= 1 for row in linked(links).values())


def test_the_surest_then_the_most_popular_then_the_first_track_is_taken(spark: SparkSession) -> None:
    tracks = tracks_of(
        spark,
        [
            ("b", ["Rush"], "Tom Sawyer", 50.0),
            ("a", ["Rush"], "Tom Sawyer - Remastered", 50.0),
            ("c", ["Rush"], "Tom Sawyer", None),
            ("d", ["Rush & Friends"], "Tom Sawyer", 99.0),
        ],
    )
    recordings = recordings_of(spark, [("Rush", "Tom Sawyer")])
    for partitions in (1, 3):
        [link] = link_recordings(recordings, tracks.repartition(partitions)).collect()
        assert tuple(link) == ("r0", "a", "exact", 1.0)


def test_any_artist_of_a_track_and_any_catalogue_name_will_do(spark: SparkSession) -> None:
    tracks = tracks_of(
        spark, [("t", ["Santana", "Rob Thomas"], "Smooth", 1.0), ("u", ["Idol"], "Wedding - Pt. 1", 1.0)]
    )
    recordings = recordings_of(
        spark,
        [("Santana", "Smooth"), ("Rob Thomas", "Smooth"), ("Santana feat. Rob Thomas", "Smooth"), ("Idol", "Wedding")],
    )
    found = {r: row.method for r, row in linked(link_recordings(recordings, tracks)).items()}
    assert found == {"r0": "exact", "r1": "artist_part", "r2": "exact"}
    spellings = tracks_of(spark, [("u", ["Idol"], "Wedding", None)])
    assert linked(link_recordings(recordings, tracks, spellings))["r3"].track_id == "u"


def test_the_linked_share_is_of_plays(spark: SparkSession) -> None:
    recordings = spark.createDataFrame([("a", 6), ("b", 2)], "recording_id string, plays long")
    links = spark.createDataFrame([("a", "t"), ("unheard", "t")], "recording_id string, track_id string")
    [share] = linked_share(links, recordings).collect()
    assert tuple(share) == (8, 6, 2, 1, 0.75, 0.5)
    [nothing] = linked_share(links, recordings.limit(0)).collect()
    assert tuple(nothing) == (0, 0, 0, 0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["!!!", "夜", "U2", "The The", "&", "A & B"])
def test_every_name_has_a_form(name: str) -> None:
    assert "exact" in artist_forms(name).values()
    assert "exact" in title_forms(name).values()


def test_a_guard_holds_numbers_and_words_of_other_recordings() -> None:
    assert guard(title_key("Song 2 (Live) - 2011 Remaster")) == "2 live"
    assert guard(title_key("Song")) == ""
