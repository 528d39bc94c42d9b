"""gold.playlists from a few listeners' rows: what it holds, when it is made, and what feedback keeps out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import numpy as np
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.io.runs import Run
from musicrec.pipelines.playlists import PlaylistsParams, build_playlists, week_start
from musicrec.schemas import TABLES
from musicrec.transforms.interactions import InteractionParams
from musicrec.transforms.song_rows import hidden_by_feedback

USERS, ARTISTS, SONGS = 4, 10, 3
ITEMS = ARTISTS * SONGS
PARAMS = PlaylistsParams(songs=8, shortest=3, decades=1, artist_cap=2, loved_songs=3)


def test_the_week_starts_on_its_weekday() -> None:
    assert week_start(date(2014, 6, 23), "monday") == date(2014, 6, 23)
    assert week_start(date(2014, 6, 22), "monday") == date(2014, 6, 16)
    assert week_start(date(2014, 6, 24), "sunday") == date(2014, 6, 22)


def write(run: Run, name: str, rows: DataFrame) -> None:
    missing = {column: of for column, of in TABLES[name].columns.items() if column not in rows.columns}
    run.lakehouse.overwrite(name, rows.withColumns({column: F.lit(None).cast(of) for column, of in missing.items()}))


def frame(spark: SparkSession, rows: list[tuple[Any, ...]], schema: str) -> DataFrame:
    return spark.createDataFrame(rows, schema)


def write_silver(run: Run) -> dict[str, set[str]]:
    """Ten artists of three songs each; a track stands behind the recordings of the first five, and has a twin that no
    one has played. Returns what each listener played."""
    spark = run.lakehouse.spark
    rng = np.random.default_rng(5)
    at = datetime(2014, 6, 20, 10)
    played = [(user, item) for user in range(USERS) for item in range(ITEMS) if rng.random() < 0.4]
    rows = [("recording", f"u{u}", f"r{i}", u, i, int(rng.integers(1, 9)), at, at, 1.0) for u, i in played]
    columns = "item_kind string, user_id string, item_id string, user_idx int, item_idx int, plays long"
    columns += ", first_listened_at timestamp, last_listened_at timestamp, weight double"
    write(run, "silver.interactions", frame(spark, rows, columns))
    write(run, "silver.user_index", frame(spark, [(f"u{u}", u) for u in range(USERS)], "user_id string, user_idx int"))
    index = [("recording", f"r{i}", i) for i in range(ITEMS)] + [("artist", f"a{a}", a) for a in range(ARTISTS)]
    write(run, "silver.item_index", frame(spark, index, "item_kind string, item_id string, item_idx int"))
    songs = [(f"r{i}", f"Song {i}", f"Artist {i // SONGS}", f"a{i // SONGS}") for i in range(ITEMS)]
    recordings = frame(spark, songs, "recording_id string, title string, artist_name string, artist_id string")
    keys = {"title_key": F.lower("title"), "artist_key": F.lower("artist_name"), "plays": F.lit(1)}
    write(run, "silver.recordings", recordings.withColumns(keys))
    listens = [(f"u{u}", at, f"m{u}-{i}", f"r{i}", u, i, i // SONGS) for u, i in played]
    columns = "user_id string, listened_at timestamp, recording_msid string, recording_id string, user_idx int"
    write(run, "silver.listens", frame(spark, listens, f"{columns}, recording_idx int, artist_idx int"))
    write(run, "silver.sequences", frame(spark, [("u0", 0)], "user_id string, window int"))
    vectors = [("als", i, [float(x) for x in rng.normal(0, 1, 3)], 0.0) for i in range(ITEMS)]
    columns = "model string, item_idx int, vector array<float>, bias float"
    write(run, "models.item_vectors", frame(spark, vectors, columns))
    own = [("als", u, [float(x) for x in rng.normal(0, 1, 3)]) for u in range(USERS)]
    write(run, "models.user_vectors", frame(spark, own, "model string, user_idx int, vector array<float>"))
    return {f"u{u}": {f"r{i}" for v, i in played if v == u} for u in range(USERS)}


def write_catalogue(run: Run) -> None:
    spark = run.lakehouse.spark
    rows = []
    for track in range(ITEMS):
        # Of the second half nobody has played a recording that is linked; their names are new.
        name = f"Song {track}" if track < ITEMS // 2 else f"Unheard {track}"
        artist = f"Artist {track // SONGS}"
        sound = (0.5, 100.0 + track, 5.0, 1.0)
        rows.append(
            (f"t{track}", track, name, [artist], artist.lower(), name.lower(), 1970 + track % 20, 200_000, *sound)
        )
    columns = "track_id string, track_idx int, name string, artists array<string>, artist_key string, title_key string"
    columns += ", year int, duration_ms long, energy double, tempo double, key double, mode double"
    write(run, "silver.track_features", frame(spark, rows, columns))
    links = [(f"r{i}", f"t{i}", "exact", 1.0) for i in range(ITEMS // 2)]
    links.append((f"r{ITEMS // 2}", "t0", "medley", 0.7))
    columns = "recording_id string, track_id string, method string, confidence double"
    write(run, "silver.links", frame(spark, links, columns))
    near = [("content", f"r{i}", 1, f"t{i + ITEMS // 2}") for i in range(ITEMS // 2)]
    near += [("content", f"r{i}", 2, f"r{i + 1}") for i in range(ITEMS // 2 - 1)]
    write(run, "gold.similar_tracks", frame(spark, near, "model string, item string, rank int, similar string"))


def playlists(run: Run) -> list[dict[str, Any]]:
    rows = DeltaTable(run.lakehouse.location("gold.playlists")).to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: (row["as_of"], row["user_id"], row["playlist"], row["position"]))


def test_playlists_of_the_week(run: Run) -> None:
    played = write_silver(run)
    interaction = InteractionParams()
    assert build_playlists(run, "artist", interaction, PARAMS).rows_out == 0
    # Without a catalogue the recordings are all there is.
    stage = build_playlists(run, "recording", interaction, PARAMS)
    plain = playlists(run)
    assert stage.rows_out == len(plain)
    assert {row["playlist"] for row in plain} == {"daily-jams", "discovery"}
    assert all(row["track_id"] is None and row["year"] is None and row["title"] for row in plain)

    write_catalogue(run)
    build_playlists(run, "recording", interaction, PARAMS)
    found = playlists(run)
    lists: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in found:
        lists.setdefault((row["user_id"], row["playlist"]), []).append(row)
    assert {user for user, _ in lists} == set(played)
    for (user, name), rows in lists.items():
        assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
        assert len({(row["artist"].lower(), row["title"].lower()) for row in rows}) == len(rows) <= PARAMS.songs
        assert max(sum(row["artist"] == other["artist"] for other in rows) for row in rows) <= PARAMS.artist_cap
        for row in rows:
            is_loved = row["reason"].startswith("you played it")
            assert is_loved == (row["item"] in played[user])
            assert not (name == "discovery" and is_loved)
            if row["reason"].startswith("sounds like"):
                assert any(row["reason"].endswith(f" - Song {item[1:]}") for item in played[user])
            if name.endswith("0s"):
                assert row["year"] // 10 * 10 == int(name[:-1])
    reasons = {row["reason"].split(" ")[0] for row in found}
    assert reasons == {"you", "sounds", "played"}
    assert any(row["item"] is None and row["title"].startswith("Unheard") for row in found)
    linked = next(row for row in found if row["item"] in {f"r{i}" for i in range(ITEMS // 2)})
    assert (linked["track_id"], linked["duration_ms"]) == (f"t{linked['item'][1:]}", 200_000)
    medley = [row for row in found if row["item"] == f"r{ITEMS // 2}"]
    assert all(row["track_id"] is None for row in medley)

    # Monday, and again on Monday: the same rows. Tuesday: only who has none; then nothing.
    build_playlists(run, "recording", interaction, PARAMS)
    assert playlists(run) == found
    kept = run.lakehouse.read("gold.playlists").where("user_id <> 'u2'")
    run.lakehouse.overwrite("gold.playlists", kept)
    tuesday = replace(run, as_of=date(2014, 6, 24), run_id="tuesday")
    stage = build_playlists(tuesday, "recording", interaction, PARAMS)
    assert stage.rows_in == 1
    new = [row for row in playlists(run) if row["as_of"] == date(2014, 6, 24)]
    assert [row | {"as_of": None, "run_id": None} for row in new] == [
        row | {"as_of": None, "run_id": None} for row in found if row["user_id"] == "u2"
    ]
    wednesday = replace(run, as_of=date(2014, 6, 25), run_id="wednesday")
    assert build_playlists(wednesday, "recording", interaction, PARAMS).rows_out == 0


def test_what_feedback_hides(run: Run) -> None:
    spark = run.lakehouse.spark
    said = [(1, "recording", 3, -1), (1, "recording", 4, 1), (1, "artist", 0, -1), (2, "recording", 5, -1)]
    feedback = frame(spark, said, "user_idx int, item_kind string, item_idx int, score int")
    index = frame(spark, [("artist", "a0", 0), ("artist", "a1", 1)], "item_kind string, item_id string, item_idx int")
    songs = [("r1", "a0", "abba"), ("r2", "a0", "abba and x"), ("r3", "a1", "b")]
    recordings = frame(spark, songs, "recording_id string, artist_id string, artist_key string")
    rows = {row.user_idx: row for row in hidden_by_feedback(feedback, recordings, index).collect()}
    codes = {
        row.artist_key: row.code
        for row in recordings.select("artist_key", F.xxhash64("artist_key").alias("code")).collect()
    }
    assert rows[1].hidden == [3]
    assert set(rows[1].hidden_artists) == {codes["abba"], codes["abba and x"]}
    assert (rows[2].hidden, rows[2].hidden_artists) == ([5], None)
