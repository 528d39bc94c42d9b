"""Build the bundled sample from the published files: the same bytes each time.

    python data/sample/build.py --listens classic_rock_plays.csv --tracks spotify_songs.csv [--out data/sample]

What is done to the plays, and why, is told in README.md beside this file.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

SAME_POLL_S = 60  # the plays of one poll carry times up to a few seconds apart
LONGEST_STEP_S = 15 * 60  # a station was not polled for a while: its plays are not spread over the gap
PARTS = ("night", "morning", "afternoon", "evening")
ROWS_A_FILE = 8_000
MSID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/fivethirtyeight/data/classic-rock")
DUMPS = (
    ("full-dump-1", None, "2014-06-21"),
    ("incremental-dump-2", "2014-06-21", "2014-06-22"),
    ("incremental-dump-3", "2014-06-22", "2014-06-23"),
)
# The column order, types and required/optional flags of the dumps that ListenBrainz publishes for Spark.
SCHEMA = pa.schema(
    [
        pa.field("listened_at", pa.timestamp("ns"), nullable=False),
        pa.field("created", pa.timestamp("ns"), nullable=False),
        pa.field("user_id", pa.int64(), nullable=False),
        pa.field("recording_msid", pa.string(), nullable=False),
        pa.field("artist_name", pa.string(), nullable=False),
        pa.field("artist_credit_id", pa.int64()),
        pa.field("release_name", pa.string()),
        pa.field("release_mbid", pa.string()),
        pa.field("recording_name", pa.string(), nullable=False),
        pa.field("recording_mbid", pa.string()),
        pa.field("artist_credit_mbids", pa.list_(pa.field("element", pa.string()))),
    ]
)
COPYING = """\
These plays are FiveThirtyEight's classic-rock data (https://github.com/fivethirtyeight/data/tree/master/classic-rock),
licensed under the Creative Commons Attribution 4.0 International License
(https://creativecommons.org/licenses/by/4.0/). Changed: times spread between polls, stations split by part of the day.
"""


class Play(NamedTuple):
    """A play as published, of one station."""

    polled_at: int  # seconds since 1970, UTC
    counter: int  # 1 = the station's newest play
    artist: str
    song: str


class Listen(NamedTuple):
    """A play as a listener's listen."""

    listened_at: int
    user_id: int
    artist: str
    song: str


def read_plays(path: Path) -> dict[str, list[Play]]:
    """The plays of each station, oldest first: the counter that ends unique_id falls as time goes on."""
    stations: dict[str, list[Play]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            counter = int(row["unique_id"].removeprefix(row["callsign"]))
            stations[row["callsign"]].append(Play(int(row["time"]), counter, row["artist"], row["song"]))
    return {callsign: sorted(plays, key=lambda p: -p.counter) for callsign, plays in sorted(stations.items())}


def polls(plays: Sequence[Play]) -> list[tuple[int, int]]:
    """(time, number of plays) of each poll, in order; a poll's time is the latest that one of its plays carries."""
    found: list[tuple[int, int]] = []
    for play in plays:
        if found and play.polled_at - found[-1][0] <= SAME_POLL_S:
            found[-1] = (max(found[-1][0], play.polled_at), found[-1][1] + 1)
        else:
            found.append((play.polled_at, 1))
    return found


def spread(found: Sequence[tuple[int, int]]) -> list[int]:
    """A time for each play: a poll's plays lie evenly between the poll before and it, the last one at the poll.

    Nothing comes before the first poll: its step is the median of the station's later ones.
    """
    steps = [min((t - before) / k, LONGEST_STEP_S) for (before, _), (t, k) in pairwise(found)]
    steps.insert(0, median(steps))
    times = [t - round(step * (k - 1 - i)) for (t, k), step in zip(found, steps, strict=True) for i in range(k)]
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ValueError("two plays of a station would get the same time")
    return times


def to_listens(stations: dict[str, list[Play]]) -> list[Listen]:
    """All listens, in order of time and listener; a listener is a station in a six-hour part of the day (UTC)."""
    listens = []
    for rank, plays in enumerate(stations.values(), start=1):
        for play, time in zip(plays, spread(polls(plays)), strict=True):
            part = time % 86_400 // 21_600
            listens.append(Listen(time, 10 * rank + part, play.artist, play.song))
    return sorted(listens)


def to_table(listens: Sequence[Listen]) -> pa.Table:
    """The columns of a Spark dump; nothing is mapped to MusicBrainz."""
    times = pa.array([x.listened_at * 1_000_000_000 for x in listens], pa.timestamp("ns"))
    columns = {
        "listened_at": times,
        "created": times,
        "user_id": [x.user_id for x in listens],
        "recording_msid": [str(uuid.uuid5(MSID_NAMESPACE, f"{x.artist}\n{x.song}")) for x in listens],
        "artist_name": [x.artist for x in listens],
        "recording_name": [x.song for x in listens],
    }
    nothing = [None] * len(listens)
    return pa.table([pa.array(columns.get(f.name, nothing), f.type) for f in SCHEMA], schema=SCHEMA)


def write_dump(folder: Path, listens: Sequence[Listen], start: str, end: str) -> None:
    """One dump, as the service lays it out."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, len(listens), ROWS_A_FILE)):
        table = to_table(listens[first : first + ROWS_A_FILE])
        pq.write_table(table, folder / f"{number}.parquet", compression="SNAPPY", use_deprecated_int96_timestamps=True)
    files = {"SCHEMA_SEQUENCE": "1", "START_TIMESTAMP": start, "END_TIMESTAMP": end, "COPYING": COPYING}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def write_dumps(folder: Path, listens: Sequence[Listen]) -> None:
    """The full dump and the two increments."""
    for name, start, end in DUMPS:
        low = _seconds(start) if start else 0
        part = [x for x in listens if low <= x.listened_at < _seconds(end)]
        first = datetime.fromtimestamp(part[0].listened_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        write_dump(
            folder / name, part, f"{start} 00:00:00.000000" if start else f"{first}.000000", f"{end} 00:00:00.000000"
        )


def write_listeners(path: Path, callsigns: Sequence[str]) -> None:
    """Who each user_id is."""
    rows = [f"{10 * rank + i},{name},{part}" for rank, name in enumerate(callsigns, 1) for i, part in enumerate(PARTS)]
    path.write_text("\n".join(["user_id,callsign,part_of_day", *rows]) + "\n", encoding="utf-8")


def write_tracks(path: Path, source: Path) -> None:
    """The catalogue as published, compressed without a time stamp or name."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(source.read_bytes())


def write_checksums(out: Path) -> None:
    """SHA256SUMS of every built file, as sha256sum -c reads it."""
    built = [p for p in (out / "listenbrainz").rglob("*") if p.is_file()]
    built += [out / "listeners.csv", out / "spotify_songs.csv.gz"]
    names = sorted(p.relative_to(out).as_posix() for p in built)
    lines = [f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def build(listens: Path, tracks: Path, out: Path) -> None:
    """Write the whole sample into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    stations = read_plays(listens)
    write_dumps(out / "listenbrainz", to_listens(stations))
    write_listeners(out / "listeners.csv", list(stations))
    write_tracks(out / "spotify_songs.csv.gz", tracks)
    write_checksums(out)


def _seconds(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--listens", type=Path, required=True, help="classic_rock_plays.csv")
    arguments.add_argument("--tracks", type=Path, required=True, help="spotify_songs.csv")
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent)
    given = arguments.parse_args()
    build(given.listens, given.tracks, given.out)
