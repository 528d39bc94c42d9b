from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import os
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data" / "sample"
DUMPS = {"full-dump-1": 27_111, "incremental-dump-2": 5_543, "incremental-dump-3": 5_019}
PERIODS = {
    "full-dump-1": ("2014-06-15 18:27:08", "2014-06-21 00:00:00"),
    "incremental-dump-2": ("2014-06-21 00:00:00", "2014-06-22 00:00:00"),
    "incremental-dump-3": ("2014-06-22 00:00:00", "2014-06-23 00:00:00"),
}
# As ListenBrainz publishes it.
LAYOUT = [
    "required int96 field_id=-1 listened_at;",
    "required int96 field_id=-1 created;",
    "required int64 field_id=-1 user_id;",
    "required binary field_id=-1 recording_msid (String);",
    "required binary field_id=-1 artist_name (String);",
    "optional int64 field_id=-1 artist_credit_id;",
    "optional binary field_id=-1 release_name (String);",
    "optional binary field_id=-1 release_mbid (String);",
    "required binary field_id=-1 recording_name (String);",
    "optional binary field_id=-1 recording_mbid (String);",
    "optional group field_id=-1 artist_credit_mbids (List) {",
    "repeated group field_id=-1 list {",
    "optional binary field_id=-1 element (String);",
    "}",
    "}",
    "}",
]


def parquet_files(dump: str) -> list[Path]:
    return sorted((SAMPLE / "listenbrainz" / dump).glob("*.parquet"))


def rows() -> list[dict]:
    tables = [pq.read_table(path) for dump in DUMPS for path in parquet_files(dump)]
    return pa.concat_tables(tables).to_pylist()


def load_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_sample", SAMPLE / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("dump", DUMPS)
def test_a_dump_is_laid_out_as_published(dump: str) -> None:
    folder = SAMPLE / "listenbrainz" / dump
    files = parquet_files(dump)
    numbers = [f"{n}.parquet" for n in range(len(files))]
    markers = {"COPYING", "END_TIMESTAMP", "SCHEMA_SEQUENCE", "START_TIMESTAMP"}
    assert {path.name for path in folder.iterdir()} == {*numbers, *markers}
    for path in files:
        file = pq.ParquetFile(path)
        assert [line.strip() for line in str(file.schema).splitlines()[2:] if line.strip()] == LAYOUT
        assert {file.metadata.row_group(0).column(i).compression for i in range(11)} == {"SNAPPY"}
    assert sum(pq.read_metadata(path).num_rows for path in files) == DUMPS[dump]
    start, end = PERIODS[dump]
    assert (folder / "START_TIMESTAMP").read_text() == f"{start}.000000"
    assert (folder / "END_TIMESTAMP").read_text() == f"{end}.000000"
    times = [str(t) for path in files for t in pq.read_table(path).column("listened_at").to_pylist()]
    assert start <= min(times) <= max(times) < end
    assert times == sorted(times)


def test_keys_are_unique_and_time_strictly_increases_within_a_station() -> None:
    listens = rows()
    assert len({(r["user_id"], r["listened_at"], r["recording_msid"]) for r in listens}) == len(listens) == 37_673
    stations = defaultdict(list)
    for r in listens:
        stations[r["user_id"] // 10].append(r["listened_at"])
        assert r["user_id"] % 10 == r["listened_at"].hour // 6
    assert len(stations) == 25
    assert all(before < after for times in stations.values() for before, after in pairwise(times))
    assert len({r["user_id"] for r in listens}) == 100
    assert sum(r["recording_name"] == "" for r in listens) == 26
    assert sum(r["artist_name"] == "" for r in listens) == 8
    assert all(r["created"] == r["listened_at"] and r["recording_mbid"] is None for r in listens)


def test_listeners_are_the_stations_and_parts() -> None:
    with (SAMPLE / "listeners.csv").open(newline="") as lines:
        listeners = list(csv.DictReader(lines))
    assert len(listeners) == 100
    assert listeners[0] == {"user_id": "10", "callsign": "KCFX", "part_of_day": "night"}
    assert listeners[-1] == {"user_id": "253", "callsign": "WZLX", "part_of_day": "evening"}
    assert {int(r["user_id"]) for r in listeners} == {r["user_id"] for r in rows()}


def test_the_catalogue_is_whole_and_the_sample_small() -> None:
    with gzip.open(SAMPLE / "spotify_songs.csv.gz", "rt", encoding="utf-8", newline="") as lines:
        tracks = list(csv.DictReader(lines))
    assert len(tracks) == 32_833
    assert len({r["track_id"] for r in tracks}) == 28_356
    assert len(tracks[0]) == 23
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) < 6_000_000


def test_plays_are_spread_between_polls_in_the_stations_order() -> None:
    build = load_build()
    # Two plays at a first poll, three a thousand seconds later (with a second's jitter), one after a long gap.
    plays = [build.Play(t, counter, "a", "s") for counter, t in enumerate([90_000, 2001, 2001, 2000, 1000, 1000], 1)]
    polls = build.polls(plays[::-1])
    assert polls == [(1000, 2), (2001, 3), (90_000, 1)]
    # Steps: 1001 / 3 s, then 15 minutes at most; the first is their median.
    assert build.spread(polls) == [383, 1000, 1334, 1667, 2001, 90_000]


def test_the_shipped_files_are_what_the_script_builds(tmp_path: Path) -> None:
    shipped = {
        name: digest for digest, name in (line.split("  ") for line in (SAMPLE / "SHA256SUMS").read_text().splitlines())
    }
    built = {
        p.relative_to(SAMPLE).as_posix() for p in SAMPLE.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert built - {"README.md", "build.py", "SHA256SUMS"} == set(shipped)
    assert {name: hashlib.sha256((SAMPLE / name).read_bytes()).hexdigest() for name in shipped} == shipped

    published = Path(os.environ.get("MUSICREC_SHARED_DATA", ROOT.parent / "shared" / "data"))
    plays, tracks = published / "listens/classic_rock_plays.csv", published / "spotify/spotify_songs.csv"
    if plays.is_file() and tracks.is_file():
        load_build().build(plays, tracks, tmp_path)
        assert (tmp_path / "SHA256SUMS").read_text() == (SAMPLE / "SHA256SUMS").read_text()
