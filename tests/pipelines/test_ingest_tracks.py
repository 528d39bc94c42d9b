from __future__ import annotations

import csv
import gzip
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame

import musicrec.pipelines.ingest_tracks as pipeline
from musicrec.errors import CountMismatchError
from musicrec.io.runs import Run
from musicrec.io.spotify import find_catalogues
from musicrec.io.spotify_schemas import CATALOGUE_SCHEMAS
from musicrec.pipelines.ingest_tracks import ingest_tracks
from tests.catalogues import COUNTS, write_catalogue

TABLES = ("bronze.tracks", "bronze.artists", "bronze.play_counts", "bronze.quarantine", "silver.tracks")


def rows(run: Run, table: str) -> list[str]:
    return sorted(str(r) for r in run.lakehouse.read(table).collect())


@pytest.fixture
def every_layout(tmp_path: Path) -> Path:
    for name in COUNTS:
        write_catalogue(tmp_path / "csv", name)
    return tmp_path / "csv"


def test_every_layout_is_taken_in_once_and_each_row_accounted_for(run: Run, every_layout: Path) -> None:
    catalogues = find_catalogues([str(every_layout)])
    stage = ingest_tracks(run, catalogues)
    sources = run.lakehouse.read("ops.sources").collect()
    counts = {s.format: (s.rows_in, s.rows_kept, s.rows_duplicate, s.rows_quarantined) for s in sources}
    assert counts == COUNTS
    tracks = {r.track_id: r for r in run.lakehouse.read("silver.tracks").collect()}
    assert set(tracks) == {"s1", "x1", "x2", "TR2", "k1", "m1", "d1"}
    assert (stage.rows_in, stage.rows_out) == (sum(c[0] for c in COUNTS.values()), len(tracks))
    assert (tracks["x1"].source, tracks["x1"].sources) == ("spotify_songs", ["hit_predictor", "spotify_songs"])
    assert (tracks["x1"].name, tracks["x1"].is_hit) == ("None", True)
    assert tracks["k1"].genres == ["drum'n'bass", "krautrock"]
    reasons = sorted(r.reason for r in run.lakehouse.read("bronze.quarantine").collect())
    assert reasons == sorted(
        ["missing_title", "bad_loudness", "missing_artist", "bad_tempo", "missing_artist_id", "missing_user",
         "bad_playcount"]
    )  # fmt: skip

    before = {table: (rows(run, table), run.lakehouse.version(table)) for table in TABLES}
    assert ingest_tracks(run, catalogues).rows_in == 0
    assert {table: (rows(run, table), run.lakehouse.version(table)) for table in TABLES} == before

    # The record of two files is lost: their rows are replaced, not doubled.
    rest = run.lakehouse.read("ops.sources").where("format NOT IN ('spotify_songs', 'artists')")
    run.lakehouse.overwrite("ops.sources", rest)
    assert ingest_tracks(replace(run, run_id="again"), catalogues).rows_in == 7
    assert {table: rows(run, table) for table in TABLES} == {table: found for table, (found, _) in before.items()}


def test_a_row_that_is_lost_stops_the_run_before_it_writes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_catalogue(tmp_path, "spotify_songs")

    def lossy(tracks: DataFrame) -> DataFrame:
        return pipeline.one_row_a_track(tracks).where("track_id != 'x1'")

    monkeypatch.setattr(pipeline, "_ONE_ROW", {"tracks": lossy})
    with pytest.raises(CountMismatchError, match=r"spotify_songs\.csv: 4 rows in, but 1 kept \+ 1 dup.* \+ 1 quar"):
        ingest_tracks(run, find_catalogues([str(tmp_path)]))
    assert not any(run.lakehouse.exists(table) for table in (*TABLES, "ops.sources"))


ODD_NAMES = (
    "Music Info.csv", "100%.csv", "a%20b.csv", "#1.csv", "[ab].csv", "{x,y}.csv", "back\\slash.csv", "co:lon.csv",
    "pl+us.CSV", "Björk ☀.csv", "what?*.csv", "pack ed#.csv.gz", os.fsdecode(b"\xff\xf3.csv"),
)  # fmt: skip


def counts_by_name(run: Run) -> dict[str, tuple[int, int, int, int]]:
    sources = run.lakehouse.read("ops.sources").collect()
    return {s.name: (s.rows_in, s.rows_kept, s.rows_duplicate, s.rows_quarantined) for s in sources}


def test_files_and_folders_of_any_name_are_taken_in(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "Kaggle 100% #1 [a]{b,c}\\d:e+é"
    for place, name in enumerate(ODD_NAMES):
        row = {"track_id": f"TR{place}", "name": f"Song, {place}", "artist": "Ö", "tags": "", "genre": "", "year": "0"}
        write_catalogue(folder / f"in {name}", "music_info", rows=[row, row, {**row, "name": ""}], name=name)
    ingest_tracks(run, find_catalogues([str(folder)]))
    found = counts_by_name(run)
    assert set(found.values()) == {(3, 1, 1, 1)}
    shown = {*ODD_NAMES[:-1], "\\xff\\xf3.csv"}
    assert set(found) == shown
    tracks = {r.track_id: (r.name, r.file) for r in run.lakehouse.read("bronze.tracks").collect()}
    assert {name for name, _ in tracks.values()} == {f"Song, {place}" for place in range(len(ODD_NAMES))}
    assert {Path(file).name for _, file in tracks.values()} == shown
    assert run.lakehouse.read("silver.tracks").count() == len(ODD_NAMES)


TRACKS_600K = (*CATALOGUE_SCHEMAS["tracks_600k"].columns, "`odd`", "_corrupt_record", "Name", "x", "X")


def line(**values: str) -> str:
    """A row of tracks.csv, quoted only where it must be."""
    plain = dict.fromkeys(TRACKS_600K, "") | {"id": "i", "name": "n", "artists": "['a']", "id_artists": "['b']"}
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow((plain | values).values())
    return out.getvalue()


# What stands in the file → what becomes of it: the title and artists of a kept row, the reason of another.
ODD_ROWS: list[tuple[str, Any]] = [
    (line(id="t1", name='Layla, "Live"\nAgain'), ('Layla, "Live"\nAgain', ["a"])),
    (line(id="t2").replace("t2,n,", 't2,"n,'), "malformed"),  # a quote that is never closed
    (line(id="t3", name="Quoted, title"), ("Quoted, title", ["a"])),
    (line(id="t4").replace("t4,n,", 't4,"n",more,'), "malformed"),
    (line(id="t5")[:20] + "\n", "malformed"),
    (line(id="t6", name="Sigur R@s"), "bad_encoding"),  # @ becomes a byte that is no UTF-8
    (line(id="t7", artists=r"['\ud83d']"), "missing_artist"),
    (line(id="t8", artists="{{}}"), "missing_artist"),
    (line(id="t9", artists="{'a', 'b'}"), "missing_artist"),
    (line(id="t10", artists="[311, 'x']"), ("n", ["311", "x"])),
    (line(id="t11", artists="[" * 50_000), "missing_artist"),
    (line(id="t12", artists="[None]"), "missing_artist"),
    (line(id="t13", tempo="120f"), "bad_tempo"),
    (line(id="t14", tempo="1e2"), ("n", ["a"])),
    (line(id="t15", duration_ms="1e300"), "bad_duration_ms"),
    (line(id="t16", release_date="2020-13"), "bad_release_date"),
    (line(id="t17", release_date="0000"), ("n", ["a"])),
    (line(id="t18", explicit="maybe"), "bad_explicit"),
    (line(id="t19", id_artists="{{}}"), "bad_artist_ids"),
    (line(id="t20", name="x" * 3_000_000), "too_long"),
    (line(id="t21", name="x" * 500_000), "too_long"),
    (line(id="None"), "missing_track_id"),
    (line(id="t22", name="a\0b"), "malformed"),
    (line(id="t23", name="\u200b\u00a0"), "missing_title"),
    (line(id="t3", name="Quoted, title"), "duplicate"),
    (line(id="t24", artists=str(["a"] * 501)), "too_long"),
    (line(id="t25", x="ignored", X="too", Name="also").rstrip("\n"), ("n", ["a"])),
]


def test_odd_rows_are_kept_right_or_put_into_quarantine_with_line_and_reason(run: Run, tmp_path: Path) -> None:
    text = ",".join(TRACKS_600K) + "\n" + "".join(row for row, _ in ODD_ROWS)
    (tmp_path / "tracks é.csv.gz").write_bytes(gzip.compress(text.encode().replace(b"R@s", b"R\xf3s") + "é".encode()))
    ingest_tracks(run, find_catalogues([str(tmp_path)]))
    refused = [fate for _, fate in ODD_ROWS if isinstance(fate, str) and fate != "duplicate"]
    kept = [fate for _, fate in ODD_ROWS if not isinstance(fate, str)]
    [counts] = counts_by_name(run).values()
    assert counts == (len(ODD_ROWS), len(kept), 1, len(refused))
    rows = run.lakehouse.read("bronze.tracks").collect()
    assert sorted((r.name, r.artists) for r in rows) == sorted(kept)
    expected, at = [], 2
    for row, fate in ODD_ROWS:
        if fate in refused:
            expected.append((at, fate))
        at += row.count("\n")
    found = []
    for row in run.lakehouse.read("bronze.quarantine").collect():
        told = json.loads(row.row)
        assert Path(row.file).name == "tracks é.csv.gz"
        assert told["_why"].count("expected ") == told["_why"].count(", found ") == 1
        assert len(row.row) < 25_000
        found.append((told["_line"], row.reason))
    assert sorted(found) == expected


def test_lines_that_no_row_accounts_for_stop_the_run_before_it_writes(run: Run, tmp_path: Path) -> None:
    write_catalogue(tmp_path, "artists")
    [catalogue] = find_catalogues([str(tmp_path)])
    longer = replace(catalogue, form=replace(catalogue.form, row_lines=4))
    with pytest.raises(CountMismatchError, match=r"artists\.csv: 4 lines with rows, but the rows .* take 3"):
        ingest_tracks(run, [longer])
    assert not any(run.lakehouse.exists(table) for table in (*TABLES, "ops.sources"))
