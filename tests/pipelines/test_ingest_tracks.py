from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import DataFrame

import musicrec.pipelines.ingest_tracks as pipeline
from musicrec.errors import CountMismatchError
from musicrec.io.runs import Run
from musicrec.io.spotify import find_catalogues
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
