"""Which day a night is for, and what becomes of times that cannot be right: by the real jobs, on tiny dumps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from musicrec.entry import run_steps
from musicrec.errors import InputError
from musicrec.io.listenbrainz import find_dumps
from musicrec.io.run_log import newest_day
from musicrec.io.runs import Run
from musicrec.io.tables import Lakehouse
from musicrec.pipelines.ingest_listens import ingest_listens
from musicrec.transforms.listens import ListenRules
from tests.conftest import ROOT
from tests.dumps import json_listen, listen, utc, write_json_dump, write_older_dump, write_spark_dump
from tests.strategies.times import Stamp, wrong_stamps

RULES = ListenRules()
NOW = utc("2026-01-02 03:04:05")
# A week of two listeners; its last listen is at 23:59:19 on the 22nd.
WEEK = [
    *(listen(user, f"2014-06-{day} {10 + user}:00:00", f"Song {day}") for day in range(16, 23) for user in (1, 2)),
    listen(1, "2014-06-22 23:59:19", "Late"),
]
DAY_AFTER = date(2014, 6, 23)
TABLES = ("bronze.listens", "bronze.quarantine", "ops.sources")


def ingest(run: Run, folder: Path, now: datetime = NOW) -> date:
    """Take in the dumps of `folder` as a run at `now` does; gives the night's day."""
    own = replace(run, lakehouse=Lakehouse(run.lakehouse.spark, str(folder.parent / "lakehouse")), now=now)
    ingest_listens(own, find_dumps([str(folder)], folder.parent / "staging"), RULES)
    return newest_day(own.lakehouse, RULES)


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """By delta-rs; every time is within what pandas can hold, whatever unit it counts in."""
    read = DeltaTable(folder.parent / "lakehouse" / table.replace(".", "/")).to_pyarrow_table()
    for column in read.columns:
        if pa.types.is_timestamp(column.type):
            column.cast(pa.timestamp("ns", column.type.tz))
    read.to_pandas()
    return read.to_pylist()


def counts(folder: Path) -> Counter[str]:
    """Rows in, kept, duplicate and quarantined of all dumps; what is counted as kept and quarantined is there."""
    sums: Counter[str] = Counter()
    for row in rows(folder, "ops.sources"):
        sums.update({name: row[f"rows_{name}"] for name in ("in", "kept", "duplicate", "quarantined")})
    assert len(rows(folder, "bronze.listens")) == sums["kept"]
    assert sums["in"] == sums["kept"] + sums["duplicate"] + sums["quarantined"]
    return sums


def reasons(folder: Path) -> dict[str, str]:
    """The reason of each quarantined row, by the row's title."""
    found = {}
    for row in rows(folder, "bronze.quarantine"):
        received = json.loads(row["row"])
        found[received.get("recording_name") or received["track_metadata"]["track_name"]] = row["reason"]
    return found


def week(folder: Path, end: str | None, more: Sequence[dict[str, Any]] = ()) -> Path:
    """The week as a dump that ends at `end`; `more` in a file of INT64: pyarrow writes no INT96 of other centuries."""
    dump = write_spark_dump(folder / "full-dump-1", WEEK, end, start=end)
    if more:
        schema = pq.read_schema(dump / "0.parquet")
        kinds = {
            field.name: pa.timestamp("us") if pa.types.is_timestamp(field.type) else field.type for field in schema
        }
        columns = {name: pa.array([row.get(name) for row in more], kind) for name, kind in kinds.items()}
        pq.write_table(pa.table(columns), dump / "1.parquet")
    return folder


# Each END that is told apart; tests/transforms/test_listen_days.py has the rule for more of them.
ENDS = {
    "just after midnight": ("2014-06-23 00:00:03", DAY_AFTER),
    "just before midnight, with a zone": ("2014-06-22T19:59:58-04:00", DAY_AFTER),
    "none": (None, DAY_AFTER),
    "in the afternoon": ("2014-06-22 14:20:00", date(2014, 6, 22)),
    "three hours ahead of the clock": ("2026-01-02 06:04:05", DAY_AFTER),
    "at the end of time": ("9999-12-31 23:59:59-12:00", DAY_AFTER),
}


def test_as_of_is_the_end_of_the_last_complete_day_whatever_the_end_says(run: Run, tmp_path: Path) -> None:
    listens, found = [], {}
    for place, (name, (end, _)) in enumerate(ENDS.items()):
        folder = week(tmp_path / str(place) / "dumps", end)
        found[name] = ingest(run, folder)
        assert counts(folder)["kept"] == len(WEEK)
        listens.append([{**row, "source_id": ""} for row in rows(folder, "bronze.listens")])
    assert found == {name: day for name, (_, day) in ENDS.items()}
    assert all(sorted(map(str, one)) == sorted(map(str, listens[0])) for one in listens)


@pytest.mark.parametrize("end", [None, "2025-12-31"])
def test_one_listeners_listens_of_other_centuries_move_nothing(run: Run, tmp_path: Path, end: str | None) -> None:
    at = {
        "in_future": ["2038-01-19 03:14:08", "3000-01-01 00:00:00", "9999-12-31 23:59:59", "2026-01-02 03:04:06"],
        "too_early": ["1969-12-31 23:59:59", "0001-01-01 00:00:00", "1601-01-01 00:00:00", "2002-09-30 23:59:59"],
    }
    wrong = [(reason, listen(2, text, f"{reason} {text}")) for reason, texts in at.items() for text in texts]
    # Years after all others, but not of the future: kept where the dump's end speaks for it.
    late = listen(2, "2019-03-01 12:00:00", "in_future late")
    folder = week(tmp_path / "dumps", end, [*(row for _, row in wrong), late])
    assert ingest(run, folder) == DAY_AFTER
    assert counts(folder)["kept"] == len(WEEK) + (end is not None)
    expected = {row["recording_name"]: reason for reason, row in wrong}
    assert reasons(folder) == expected | ({} if end else {"in_future late": "in_future"})
    for table in TABLES:
        rows(folder, table)


def json_dump(folder: Path, stamps: Iterable[Stamp], end: str | None) -> Path:
    """The week as JSON lines, and a line for each stamp, whose title is its place and its reason."""
    good = [
        json_listen(row["user_id"], int(row["listened_at"].replace(tzinfo=UTC).timestamp()), row["recording_name"])
        for row in WEEK
    ]
    wrong = [json_listen(1, stamp, f"{place} {reason}") for place, (stamp, reason) in enumerate(stamps)]
    write_json_dump(folder / "lines", [*wrong, *good], end)
    return folder


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stamps=st.lists(wrong_stamps(), min_size=40, max_size=120), end=st.sampled_from([None, "2014-06-23 00:00:03"]))
def test_whatever_stamps_come_among_good_ones_each_has_its_reason_and_the_night_its_day(
    run: Run, tmp_path_factory: pytest.TempPathFactory, stamps: list[Stamp], end: str | None
) -> None:
    folder = json_dump(tmp_path_factory.mktemp("stamps") / "dumps", stamps, end)
    assert ingest(run, folder) == DAY_AFTER
    fates = {"kept": len(WEEK), "duplicate": 0, "quarantined": len(stamps)}
    assert counts(folder) == {"in": sum(fates.values()), **fates}
    assert reasons(folder) == {f"{n} {reason}": reason for n, (_, reason) in enumerate(stamps)}


def test_stamps_that_plainly_say_a_time_are_read_as_that_time(run: Run, tmp_path: Path) -> None:
    at = "2014-06-20 10:00:00"
    plain = [1403258400, 1403258400.9, "1403258400", " 1403258400 ", "1.4032584e9", at, "2014-06-20T10:00:00Z"]
    plain += ["2014-06-20T15:45:00+05:45", "2014-06-20 06:00:00.5-04:00", "2014-06-20 12:00:00 Europe/Berlin"]
    folder = tmp_path / "dumps"
    write_json_dump(folder / "lines", [json_listen(1, stamp, str(n)) for n, stamp in enumerate(plain)], end=None)
    assert ingest(run, folder) == date(2014, 6, 21)
    kept = {row["recording_name"]: row["listened_at"].replace(microsecond=0) for row in rows(folder, "bronze.listens")}
    assert kept == {str(n): utc(at) for n in range(len(plain))}


def test_a_null_time_or_date_of_the_older_layout_is_a_missing_time_and_never_midnight(run: Run, tmp_path: Path) -> None:
    day, clock = date(2014, 6, 22), time(10, 30)
    given_rows = [(1, "A", "R", "fine", day, clock), (1, "A", "R", "midnight", day, time(0))]
    given_rows += [(1, "A", "R", "no time", day, None), (1, "A", "R", "no date", None, clock)]
    write_older_dump(tmp_path / "dumps" / "older", given_rows)
    assert ingest(run, tmp_path / "dumps") == DAY_AFTER
    kept = {row["recording_name"]: row["listened_at"] for row in rows(tmp_path / "dumps", "bronze.listens")}
    assert kept == {"fine": utc("2014-06-22 10:30:00"), "midnight": utc("2014-06-22 00:00:00")}
    assert reasons(tmp_path / "dumps") == {"no time": "missing_time", "no date": "missing_time"}


def test_a_dump_of_a_part_of_today_gives_lists_and_a_later_one_the_day(run: Run, tmp_path: Path) -> None:
    today = [listen(user, f"2014-06-22 0{user}:00:00") for user in (1, 2)]
    folder = tmp_path / "dumps"
    write_spark_dump(folder / "incremental-dump-1", today, end="2014-06-22 14:20:00", start="2014-06-22")
    assert ingest(run, folder, utc("2014-06-22 14:25:00")) == DAY_AFTER
    more = [listen(1, "2014-06-22 20:00:00", "Late"), listen(1, "2014-06-23 09:00:00", "Next")]
    write_spark_dump(folder / "incremental-dump-2", more, end="2014-06-23 14:20:00")
    assert ingest(run, folder, utc("2014-06-23 14:25:00")) == DAY_AFTER
    assert counts(folder)["kept"] == 4


def test_a_day_that_is_not_over_by_the_clock_is_not_complete(run: Run, tmp_path: Path) -> None:
    """An end that is hours ahead, as of a machine in another zone: what has come in by now is all there is."""
    folder = week(tmp_path / "dumps", end="2014-06-23 02:00:00")
    assert ingest(run, folder, utc("2014-06-22 20:00:00")) == date(2014, 6, 22)
    assert reasons(folder) == {"Late": "in_future"}


def test_without_any_listen_there_is_no_day(run: Run, tmp_path: Path) -> None:
    write_json_dump(tmp_path / "dumps" / "lines", [json_listen(1, -5, "a"), json_listen(1, None, "b")], end=None)
    with pytest.raises(InputError, match=r"bronze\.listens.*expected at least one listen, found none"):
        ingest(run, tmp_path / "dumps")
    assert counts(tmp_path / "dumps")["quarantined"] == 2
    assert [row["ended_at"] for row in rows(tmp_path / "dumps", "ops.sources")] == [None]


def test_what_lies_past_as_of_waits_in_bronze_and_counts_on_a_later_night(spark: SparkSession, tmp_path: Path) -> None:
    """By the jobs as they are run: silver has the complete days first, and the rest when its day is complete."""
    folder, root = tmp_path / "dumps", tmp_path / "lakehouse"
    overrides = (f"lakehouse.root={root}", f"sources.listens={folder}", "sources.tracks=")
    steps, config = ["ingest_listens", "build_silver"], ROOT / "conf" / "local.toml"
    week(folder, end="2014-06-22 14:20:00")
    run_steps(steps, config, None, overrides, False)
    assert len(rows(folder, "silver.listens")) == len(WEEK) - 3
    write_spark_dump(
        folder / "incremental-dump-3", [listen(2, "2014-06-22 15:00:00", "New")], end="2014-06-23 00:00:03"
    )
    run_steps(steps, config, None, overrides, False)
    assert len(rows(folder, "silver.listens")) == len(WEEK) + 1
    days = [row["as_of"] for row in rows(folder, "ops.runs") if row["job"] == "build_silver"]
    assert sorted(days) == [DAY_AFTER - timedelta(days=1), DAY_AFTER]
