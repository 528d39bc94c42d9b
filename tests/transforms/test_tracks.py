from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from musicrec.io.spotify import find_catalogues, read_catalogues
from musicrec.schemas import TABLES
from musicrec.transforms.catalogues import unify, unify_artists, unify_play_counts
from musicrec.transforms.tracks import merge_catalogues, one_row_a_key, one_row_a_track
from tests.catalogues import write_catalogue

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def read(spark: SparkSession, path: Path) -> DataFrame:
    [(_, rows)] = read_catalogues(spark, find_catalogues([str(path)]))
    return rows


def unified(spark: SparkSession, tmp_path: Path, schema_name: str, **how: Any) -> dict[str, Row]:
    rows = unify(read(spark, write_catalogue(tmp_path, schema_name, **how)), schema_name)
    return {row.track_id: row for row in rows.collect()}


def test_spotify_songs(spark: SparkSession, tmp_path: Path) -> None:
    rows = unified(spark, tmp_path, "spotify_songs")
    layla = rows["s1"]
    assert (layla.name, layla.artists) == ('Layla, "Live"\nAgain', ["Derek & The Dominos"])
    assert (layla.key, layla.mode, layla.duration_ms, layla.popularity) == (6.0, 1.0, 194754, 66.0)
    assert (layla.release_date, layla.year, layla.reason, layla.row) == ("1970-11", 1970, None, None)
    assert rows["s2"].reason == "missing_title"
    assert json.loads(rows["s2"].row)["track_album_release_date"] == "2012"
    assert (rows["x1"].name, rows["x1"].artists, rows["x1"].reason) == ("None", ["NA"], None)


def test_hit_predictor(spark: SparkSession, tmp_path: Path) -> None:
    rows = unified(spark, tmp_path, "hit_predictor")
    assert (rows["x1"].name, rows["x1"].is_hit, rows["x1"].time_signature) == ('Nobody\'s "Fool"', True, 4)
    assert (rows["h2"].reason, rows["h2"].is_hit) == ("bad_loudness", False)


def test_music_info(spark: SparkSession, tmp_path: Path) -> None:
    rows = unified(spark, tmp_path, "music_info")
    assert (rows["x2"].name, rows["x2"].tags, rows["x2"].genres, rows["x2"].year) == (
        "Wonderwall, again",
        ["rock", "90s"],
        [],
        1995,
    )
    assert (rows["TR2"].tags, rows["TR2"].genres, rows["TR2"].year, rows["TR2"].reason) == (None, ["rock"], None, None)


def test_tracks_600k(spark: SparkSession, tmp_path: Path) -> None:
    rows = unified(spark, tmp_path, "tracks_600k")
    duo = rows["k1"]
    assert (duo.artists, duo.artist_ids) == (["Uli", "Sinead O'Connor"], ["a1", "a2"])
    assert (duo.year, duo.explicit, rows["k2"].explicit) == (1922, False, True)
    assert rows["k2"].reason == "missing_artist"


def test_one_million_and_114k(spark: SparkSession, tmp_path: Path) -> None:
    [mraz] = unified(spark, tmp_path, "spotify_1million").values()
    assert (mraz.artists, mraz.year, mraz.genres, mraz.reason) == (["Jason, Mraz"], 2012, ["acoustic"], None)
    rows = unified(spark, tmp_path, "dataset_114k")
    assert (rows["d1"].artists, rows["d1"].explicit) == (["Gen Hoshino", "Ingrid"], False)
    assert (rows["d2"].reason, rows["d2"].tempo) == ("bad_tempo", None)


# field, text → reason, what was expected and found
REASONS: list[tuple[str, str, str | None, str]] = [
    ("energy", "1.01", "bad_energy", "expected a number from 0 to 1 in energy, found 1.01"),
    ("energy", "NaN", "bad_energy", "found NaN"),
    ("energy", "Infinity", "bad_energy", "found Infinity"),
    ("energy", "", None, ""),
    ("energy", "1", None, ""),
    ("instrumentalness", "1.01e-06", None, ""),
    ("key", "-1", None, ""),
    ("key", "12", "bad_key", "expected a whole number from -1 to 11 in key, found 12"),
    ("key", "3.5", "bad_key", "found 3.5"),
    ("mode", "2", "bad_mode", "found 2"),
    ("tempo", "-1", "bad_tempo", "expected a number from 0 to 300 in tempo, found -1"),
    ("tempo", "120f", "bad_tempo", "found 120f"),
    ("tempo", "1d", "bad_tempo", "found 1d"),
    ("tempo", "0x1F", "bad_tempo", "found 0x1F"),
    ("tempo", "1,5", "bad_tempo", "found 1,5"),
    ("tempo", " 120 ", None, ""),
    ("target", "yes", "bad_target", "expected a whole number from 0 to 1 in target, found yes"),
    ("target", "0.5", "bad_target", "found 0.5"),
    ("duration_ms", "-1", "negative_duration", "expected milliseconds from 0 to 2^53 in duration_ms, found -1"),
    ("duration_ms", "3:20", "bad_duration_ms", "found 3:20"),
    ("duration_ms", "1e300", "bad_duration_ms", "found 1e300"),
    ("duration_ms", "1e999", "bad_duration_ms", "found 1e999"),
    ("time_signature", "4/4", "bad_time_signature", "found 4/4"),
    ("uri", "", "missing_track_id", "expected a track's id in uri, found none"),
    ("uri", "spotify:track:", "missing_track_id", "found spotify:track:"),
    ("uri", "nan", "missing_track_id", "found nan"),
    ("track", "  ", "missing_title", "expected a title in track, found"),
    ("track", "\u00a0\u200b", "missing_title", "expected a title in track, found"),
    ("track", "t" * 2_000, None, ""),
    ("track", "t" * 2_001, "too_long", "expected name of at most 2000 characters, found 2001"),
    ("artist", "a" * 100_000, "too_long", "expected artists of at most 500 values of 2000 characters"),
    ("uri", "u" * 501, "too_long", "expected track_id of at most 500 characters, found 501"),
    # Patterns that go back and forth would take hours for these.
    ("uri", "/" * 200_000 + "x", None, ""),
    ("tempo", "1" * 200_000 + "x", "bad_tempo", "found 111"),
    ("artist", "", "missing_artist", "expected an artist or a list of them in artist, found none"),
]


def test_reasons_say_what_was_expected_and_found(spark: SparkSession, tmp_path: Path) -> None:
    plain = {"track": "t", "artist": "a", "uri": "spotify:track:i", "target": "1"}
    rows = [{**plain, field: value} for field, value, _, _ in REASONS]
    path = write_catalogue(tmp_path, "hit_predictor", rows=rows)
    found = unify(read(spark, path), "hit_predictor").select("reason", "row").collect()
    assert [row.reason for row in found] == [reason for _, _, reason, _ in REASONS]
    for line, (row, (field, value, reason, why)) in enumerate(zip(found, REASONS, strict=True), start=2):
        if reason is None:
            assert row.row is None
            continue
        told = json.loads(row.row)
        assert told["_line"] == line
        assert why in told["_why"], (field, value)
        if value:
            assert told[field] == (
                value if len(value) <= 1_000 else f"{value[:1_000]} … (cut: it has {len(value)} characters)"
            )


def test_artists_and_play_counts(spark: SparkSession, tmp_path: Path) -> None:
    artists = unify_artists(read(spark, write_catalogue(tmp_path, "artists"))).collect()
    assert [(a.artist_id, a.followers, a.genres, a.reason) for a in artists] == [
        ("a1", 12, ["krautrock", "drum'n'bass"], None),
        ("a2", None, [], None),
        (None, 1, [], "missing_artist_id"),
    ]
    path = write_catalogue(tmp_path, "user_listening_history", append="TR9,u,many\nTR9\n")
    plays = unify_play_counts(read(spark, path))
    assert [p.reason for p in plays.collect()] == [None, None, "missing_user", "bad_playcount", "bad_playcount",
                                                   "malformed"]  # fmt: skip
    [kept] = one_row_a_key(plays.where("reason IS NULL"), "user_id", "track_id").collect()
    assert (kept.plays, kept.copies) == (3, 2)


def test_the_rows_of_a_track_become_one(spark: SparkSession, tmp_path: Path) -> None:
    raw = read(spark, write_catalogue(tmp_path, "spotify_songs"))
    rows = unify(raw, "spotify_songs").where("reason IS NULL")
    for partitions in (1, 3):
        found = {r.track_id: r for r in one_row_a_track(rows.repartition(partitions)).collect()}
        assert found["s1"].genres == ["classic rock", "dance pop", "pop", "rock"]
        assert (found["s1"].copies, found["x1"].copies) == (2, 1)


def bronze(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    table = TABLES["bronze.tracks"]
    plain = {"name": "n", "artists": ["a"], "file": "f", "source_id": "id", "ingested_at": EARLY}
    full = [tuple({**dict.fromkeys(table.columns), **plain, **row}[c] for c in table.columns) for row in rows]
    return spark.createDataFrame(full, table.schema)


def test_catalogues_are_merged_field_by_field(spark: SparkSession) -> None:
    rows = [
        {"source": "hit_predictor", "track_id": "t", "name": "hit", "is_hit": False, "energy": 0.1, "year": 1999},
        {"source": "hit_predictor", "track_id": "t", "name": "hit", "is_hit": True, "file": "g", "source_id": "i"},
        {"source": "spotify_songs", "track_id": "t", "name": "song", "energy": 0.2, "genres": ["rock"]},
        {"source": "tracks_600k", "track_id": "t", "name": "600k", "artist_ids": [], "genres": ["art rock", "rock"]},
        {"source": "music_info", "track_id": "t", "artist_ids": ["i"], "tags": ["b", "a"]},
    ]
    merged = merge_catalogues(bronze(spark, *rows))
    assert merged.columns == list(TABLES["silver.tracks"].columns)
    [track] = merged.collect()
    assert (track.name, track.energy, track.year, track.is_hit) == ("600k", 0.2, 1999, True)
    assert (track.genres, track.tags, track.artist_ids) == (["art rock", "rock"], ["a", "b"], ["i"])
    assert track.source == "tracks_600k"
    assert track.sources == ["hit_predictor", "music_info", "spotify_songs", "tracks_600k"]


def test_of_one_layout_the_file_taken_in_last_wins(spark: SparkSession) -> None:
    old = {"source": "music_info", "track_id": "t", "name": "old", "source_id": "a", "popularity": 1.0}
    new = {"source": "music_info", "track_id": "t", "name": "new", "source_id": "b", "ingested_at": LATE}
    [track] = merge_catalogues(bronze(spark, old, new)).collect()
    assert (track.name, track.popularity) == ("new", 1.0)


def test_a_track_has_the_genres_of_its_artists(spark: SparkSession) -> None:
    tracks = bronze(
        spark,
        {"source": "tracks_600k", "track_id": "t", "artist_ids": ["x", "y", "unknown"], "genres": ["pop"]},
        {"source": "tracks_600k", "track_id": "u"},
    )
    artists = spark.createDataFrame(
        [
            ("x", ["rock", "pop"], EARLY, "f", "1"),
            ("y", ["old"], EARLY, "f", "1"),
            ("y", ["zydeco"], LATE, "f", "2"),
            ("z", ["no"], EARLY, "f", "1"),
        ],
        "artist_id string, genres array<string>, ingested_at timestamp, file string, source_id string",
    )
    found = {r.track_id: r.genres for r in merge_catalogues(tracks, artists).collect()}
    assert found == {"t": ["pop", "rock", "zydeco"], "u": []}


SOURCES = st.sampled_from(["tracks_600k", "spotify_songs", "hit_predictor"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "source": SOURCES,
            "track_id": st.sampled_from("tuvw"),
            "name": st.sampled_from("ab"),
            "energy": st.sampled_from([None, 0.1, 0.2]),
            "genres": st.sampled_from([None, ["g"], ["h", "g"]]),
            "source_id": st.sampled_from("12"),
            "ingested_at": st.sampled_from([EARLY, LATE]),
        }
    ),
    min_size=1,
    max_size=16,
    unique_by=lambda row: (row["source_id"], row["source"], row["track_id"]),
)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, seed=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_what_is_merged(spark: SparkSession, rows: list, seed: Any) -> None:
    shuffled = list(rows)
    seed.shuffle(shuffled)
    one = merge_catalogues(bronze(spark, *rows).coalesce(1)).collect()
    other = merge_catalogues(bronze(spark, *shuffled).repartition(3)).collect()
    assert sorted(map(str, one)) == sorted(map(str, other))
    assert len(one) == len({row["track_id"] for row in rows})


PLAY_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["u", "v", "", None, "null"]),
        st.sampled_from(["t", " ", None]),
        st.sampled_from(["1", "2.0", "0", "-3", "1.5", "many", "", None, "NaN", "1e400", "1f", "1e300"]),
        st.sampled_from([None, None, None, "raw"]),
    ),
    max_size=40,
)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=PLAY_ROWS)
def test_every_row_is_kept_a_duplicate_or_refused(spark: SparkSession, rows: list) -> None:
    df = spark.createDataFrame(rows, "user_id string, track_id string, playcount string, _corrupt_record string")
    added = {"_file": F.lit("f"), "_source_id": F.lit("s"), "_line": F.lit(2), "_lines": F.lit(1), "_why": F.lit(None)}
    faulty = F.when(F.col("_corrupt_record").isNotNull(), "malformed")
    shaped = unify_play_counts(df.withColumns({**added, "_fault": faulty}))
    kept = one_row_a_key(shaped.where("reason IS NULL"), "user_id", "track_id").collect()
    refused = shaped.where("reason IS NOT NULL").count()
    # What a plain reading of the rules keeps.
    right = [
        r for r in rows if r[3] is None and r[0] and r[0] != "null" and (r[1] or "").strip() and r[2] in ("1", "2.0")
    ]
    assert {(r.user_id, r.track_id) for r in kept} == {(r[0], r[1]) for r in right}
    assert len(kept) + sum(r.copies - 1 for r in kept) == len(right) == len(rows) - refused
