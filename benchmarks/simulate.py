"""Synthetic listening of any size, in the form of the files that the nightly takes in.

    python -m benchmarks.simulate OUT --listens 10000000 --listeners 100000 --tracks 200000 --increments 1 --seed 1

Writes `OUT/listenbrainz/synthetic-full-dump-1`, `synthetic-incremental-dump-2` and on, `OUT/synthetic_tracks.csv` and
a README that says that nobody played any of it. An increment is one day, a hundredth of the full dump. The same
arguments give the same files; memory is bounded by the catalogue and one file's rows, whatever the number of listens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.listening import DAY_SECONDS, Day, World, make_day, make_world
from benchmarks.synthetic_names import Names, catalogue_rows, make_names

FULL_DAYS = 100
FIRST_DAY = datetime(2021, 3, 1, tzinfo=UTC)
_ROWS_A_FILE = 500_000

# Shares of a dump's rows.
DUPLICATES, LATE, NO_TITLE, BAD_TIME, SPELT_OTHERWISE = 0.005, 0.002, 0.0003, 0.0002, 0.05

# The columns of the dumps that ListenBrainz publishes for Spark.
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


@dataclass(frozen=True)
class Planted:
    """What a dump holds: its rows, and how many of them an ingest must find to be what."""

    name: str
    rows: int
    duplicates: int
    bad: int


@dataclass(frozen=True)
class _Rows:
    """Listens on their way to a file [rows]; `fault` is 0, 1 (no title) or 2, 3 (a time too early, too late)."""

    user: NDArray[np.int64]
    track: NDArray[np.int64]
    second: NDArray[np.int64]
    otherwise: NDArray[np.bool_]
    fault: NDArray[np.int8]

    def take(self, rows: NDArray[np.int64]) -> _Rows:
        """Some of the rows, in this order."""
        columns = (self.user, self.track, self.second, self.otherwise, self.fault)
        return _Rows(*(column[rows] for column in columns))


def simulate(out: Path, listens: int, listeners: int, tracks: int, increments: int, seed: int) -> list[Planted]:
    """Write everything under `out`, which must not hold a simulation yet; gives what was planted in each dump."""
    world = make_world(listeners, tracks, FULL_DAYS + increments, seed)
    names = make_names(world, seed)
    out.mkdir(parents=True, exist_ok=True)
    a_day = max(listens // FULL_DAYS, 1)
    sizes = [a_day] * (FULL_DAYS - 1) + [listens - a_day * (FULL_DAYS - 1)] + [a_day] * increments
    periods = [range(FULL_DAYS), *(range(day, day + 1) for day in range(FULL_DAYS, FULL_DAYS + increments))]
    planted = []
    for number, period in enumerate(periods, start=1):
        name = f"synthetic-{'full' if number == 1 else 'incremental'}-dump-{number}"
        planted.append(_write_dump(out, name, world, names, period, sizes))
    catalogue_rows(world, names, seed).to_csv(out / "synthetic_tracks.csv", index=False)
    arguments = f"--listens {listens} --listeners {listeners} --tracks {tracks} --increments {increments} --seed {seed}"
    (out / "README.md").write_text(_readme(arguments, planted), encoding="utf-8")
    return planted


def _write_dump(out: Path, name: str, world: World, names: Names, period: range, sizes: list[int]) -> Planted:
    folder = out / "listenbrainz" / name
    folder.mkdir(parents=True)
    held: list[_Rows] = []
    number = rows = duplicates = bad = 0
    for part, copies in _days(world, period, sizes):
        held.append(part)
        rows, duplicates, bad = rows + len(part.user), duplicates + copies, bad + int((part.fault > 0).sum())
        if sum(len(one.user) for one in held) >= _ROWS_A_FILE:
            _write_file(folder / f"{number}.parquet", held, names)
            held, number = [], number + 1
    if held:
        _write_file(folder / f"{number}.parquet", held, names)
    start, end = (FIRST_DAY + timedelta(days=day) for day in (period.start, period.stop))
    marks = {"START_TIMESTAMP": start, "END_TIMESTAMP": end}
    for marker, moment in marks.items():
        (folder / marker).write_text(f"{moment:%Y-%m-%d %H:%M:%S}.000000", encoding="utf-8")
    (folder / "SCHEMA_SEQUENCE").write_text("1", encoding="utf-8")
    (folder / "COPYING").write_text("Synthetic data, made by benchmarks/simulate.py; CC0 1.0.\n", encoding="utf-8")
    return Planted(name, rows, duplicates, bad)


def _days(world: World, period: range, sizes: list[int]) -> Iterator[tuple[_Rows, int]]:
    """Each day's rows with their faults, and how many are copies of others or of the dump before."""
    for day in period:
        copies, late = _copies(sizes, day)
        rows = _with_faults(make_day(world, day, sizes[day] - copies - late), world.seed)
        rng = np.random.default_rng([world.seed, day, 2])
        parts = [rows, rows.take(rng.choice(np.flatnonzero(rows.fault == 0), copies, replace=False))]
        if late:
            # What came in twice: once before the last dump was made, once after.
            before = make_day(world, day - 1, sizes[day - 1] - sum(_copies(sizes, day - 1)))
            again = _with_faults(before, world.seed)
            parts.append(again.take(np.flatnonzero(again.fault == 0)[:late]))
        whole = _joined(parts)
        yield whole.take(np.argsort(whole.second, kind="stable")), copies + late


def _copies(sizes: list[int], day: int) -> tuple[int, int]:
    """How many of a day's rows are copies of its own rows, and of the day before, which another dump has."""
    return int(sizes[day] * DUPLICATES), int(sizes[day] * LATE) if day >= FULL_DAYS else 0


def _with_faults(day: Day, seed: int) -> _Rows:
    rng = np.random.default_rng([seed, day.day, 1])
    size = len(day.user)
    fault = np.zeros(size, dtype=np.int8)
    dirty = rng.random(size)
    fault[dirty < NO_TITLE] = 1
    fault[(dirty >= NO_TITLE) & (dirty < NO_TITLE + BAD_TIME)] = 2
    fault[(dirty >= NO_TITLE + BAD_TIME / 2) & (dirty < NO_TITLE + BAD_TIME)] = 3
    return _Rows(day.user, day.track, day.second, rng.random(size) < SPELT_OTHERWISE, fault)


def _joined(parts: list[_Rows]) -> _Rows:
    names = ("user", "track", "second", "otherwise", "fault")
    return _Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _write_file(path: Path, held: list[_Rows], names: Names) -> None:
    rows = _joined(held)
    track = pa.array(rows.track)
    spelling = pa.array(rows.track * 2 + rows.otherwise)  # the usual spelling of a track, then the other one
    start = int(FIRST_DAY.timestamp())
    second = np.where(rows.fault == 2, 3600, np.where(rows.fault == 3, start + 3650 * DAY_SECONDS, start + rows.second))
    times = pa.array(second * 1_000_000_000, pa.timestamp("ns"))
    created = pa.array((start + rows.second) * 1_000_000_000, pa.timestamp("ns"))
    titles = pc.if_else(pa.array(rows.fault == 1), "", names.titles.take(spelling))
    columns = {
        "listened_at": times,
        "created": created,
        "user_id": pa.array(rows.user + 1),
        "recording_msid": names.msids.take(spelling),
        "artist_name": names.artists.take(track),
        "artist_credit_id": pa.nulls(len(track), pa.int64()),
        "release_name": names.releases.take(track),
        "release_mbid": pa.nulls(len(track), pa.string()),
        "recording_name": titles,
        "recording_mbid": names.mbids.take(track),
        "artist_credit_mbids": names.artist_mbids.take(track),
    }
    table = pa.Table.from_arrays([columns[field.name] for field in SCHEMA], schema=SCHEMA)
    pq.write_table(table, path, compression="SNAPPY", use_deprecated_int96_timestamps=True)


def _readme(arguments: str, planted: list[Planted]) -> str:
    lines = [f"| {p.name} | {p.rows:,} | {p.duplicates:,} | {p.bad:,} |" for p in planted]
    return "\n".join(
        [
            "# Synthetic listening",
            "Nobody played any of this: listeners, artists, titles and ids are drawn from a seed, to measure speed at",
            "size. It says nothing about how good a recommendation is. Written by",
            "",
            f"    python -m benchmarks.simulate OUT {arguments}",
            "",
            "| dump | rows | duplicates | without a title or with an impossible time |",
            "|---|---|---|---|",
            *lines,
            "",
            "`synthetic_tracks.csv` is a catalogue of invented tracks in a layout that Spotify data is published in.",
            "CC0 1.0.",
            "",
        ]
    )


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--listens", default=1_000_000, show_default=True, type=click.IntRange(min=FULL_DAYS))
@click.option("--listeners", default=10_000, show_default=True, type=click.IntRange(min=1))
@click.option("--tracks", default=50_000, show_default=True, type=click.IntRange(min=100))
@click.option("--increments", default=1, show_default=True, type=click.IntRange(min=0))
@click.option("--seed", default=1, show_default=True)
def main(out: Path, listens: int, listeners: int, tracks: int, increments: int, seed: int) -> None:
    """Write synthetic dumps and a catalogue into the folder OUT."""
    if (out / "listenbrainz").exists():
        raise click.ClickException(f"{out} holds dumps already")
    started = time.perf_counter()
    for dump in simulate(out, listens, listeners, tracks, increments, seed):
        click.echo(f"{dump.name}: {dump.rows:,} rows, {dump.duplicates:,} duplicates, {dump.bad:,} bad")
    click.echo(f"{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
