from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from musicrec.errors import InputError
from musicrec.io.listenbrainz import Dump, check_dumps, count_rows, find_dumps, read_dump
from tests.dumps import json_listen, listen, pack, utc, write_json_dump, write_older_dump, write_spark_dump

FULL = "listenbrainz-spark-dump-7-20210807-000003-full"


def found(tmp_path: Path, *sources: Path) -> list[Dump]:
    return find_dumps([str(source) for source in sources], tmp_path / "staging")


def only(tmp_path: Path, source: Path) -> Dump:
    (dump,) = found(tmp_path, source)
    return dump


def rows_of(spark: SparkSession, dump: Dump) -> list[dict[str, Any]]:
    return sorted((row.asDict() for row in read_dump(spark, dump).collect()), key=lambda row: str(row["row"]))


def rewrite(path: Path, **columns: pa.Array | None) -> None:
    """Replace (or, given None, drop) columns of a parquet file."""
    table = pq.read_table(path)
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.remove_column(at) if values is None else table.set_column(at, name, values)
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)


# Finding


def test_dumps_come_in_order_of_their_end_whatever_the_order_and_form_of_the_sources(tmp_path: Path) -> None:
    late = write_spark_dump(tmp_path / "a-incremental", [listen()], end="2021-08-09", start="2021-08-08")
    early = write_spark_dump(tmp_path / "several" / FULL, [listen(), listen(2)], end="2021-08-07", files=2)
    lines = write_json_dump(tmp_path / "b-incremental", [json_listen()], end="2021-08-08")
    archive = pack(lines, tmp_path / "several" / "listenbrainz-listens-dump-8-20210808-000003-incremental.tar.zst")
    shutil.rmtree(lines)
    dumps = found(tmp_path, late, tmp_path / "several")
    assert [(d.name, d.format, d.kind) for d in dumps] == [
        (FULL, "parquet", "full"),
        ("b-incremental", "json", "incremental"),
        ("a-incremental", "parquet", "incremental"),
    ]
    assert [d.ended_at for d in dumps] == [utc("2021-08-07"), utc("2021-08-08"), utc("2021-08-09")]
    assert [d.started_at for d in dumps] == [None, None, utc("2021-08-08")]
    assert [path.name for path in dumps[0].files] == ["0.parquet", "1.parquet"]
    assert dumps == found(tmp_path, tmp_path / "several", late)
    assert found(tmp_path, archive)[0].source_id == dumps[1].source_id
    assert early.exists()


def test_a_dump_is_the_same_one_wherever_it_lies_and_another_when_its_content_differs(tmp_path: Path) -> None:
    here = write_spark_dump(tmp_path / "here", [listen()])
    packed = pack(here, tmp_path / "here.tar.gz")
    moved = shutil.copytree(here, tmp_path / "elsewhere")
    other = write_spark_dump(tmp_path / "other", [listen(user=2)])
    assert len(found(tmp_path, here, packed, moved)) == 1
    assert len(found(tmp_path, here, other)) == 2


def test_an_archive_is_unpacked_once(tmp_path: Path) -> None:
    archive = pack(write_spark_dump(tmp_path / "d", [listen()]), tmp_path / "d.tar")
    file = only(tmp_path, archive).files[0]
    before = file.stat().st_ino
    assert only(tmp_path, archive).files[0].stat().st_ino == before


def test_other_archives_of_the_service_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "download"
    write_spark_dump(folder / FULL, [listen()])
    (folder / "listenbrainz-public-dump-20210807-000003.tar.xz").write_text("not opened")
    (folder / f"{FULL}.tar.sha256").write_text("not opened")
    assert only(tmp_path, folder).name == FULL


def test_the_end_comes_from_TIMESTAMP_else_the_name_else_there_is_none(tmp_path: Path) -> None:
    folder = write_spark_dump(tmp_path / FULL, [listen(at="2021-08-01 23:59:59")], end="2021-08-05")
    (folder / "END_TIMESTAMP").rename(folder / "TIMESTAMP")
    assert only(tmp_path, folder).ended_at == utc("2021-08-05")
    (folder / "TIMESTAMP").write_text("2021-08-05T02:00:00+02:00\n")
    assert only(tmp_path, folder).ended_at == utc("2021-08-05")
    (folder / "TIMESTAMP").unlink()
    assert only(tmp_path, folder).ended_at == utc("2021-08-07 00:00:03")
    assert only(tmp_path, folder.rename(tmp_path / "plain")).ended_at is None


def test_a_dump_that_says_no_end_comes_after_those_that_do(tmp_path: Path) -> None:
    none = write_spark_dump(tmp_path / "a-full", [listen()], end=None)
    some = write_spark_dump(tmp_path / "b-incremental", [listen()], end="2999-01-01")
    assert [dump.name for dump in found(tmp_path, none, some)] == ["b-incremental", "a-full"]


def test_an_end_that_its_zone_puts_before_the_year_1_or_after_9999_is_a_time_all_the_same(tmp_path: Path) -> None:
    start, end = "0001-01-01 00:00:00+05:45", "9999-12-31 23:59:59-12:00"
    dump = only(tmp_path, write_spark_dump(tmp_path / "d", [listen()], end, start))
    assert (dump.started_at, dump.ended_at) == (utc("0001-01-01"), utc("9999-12-31 23:59:59"))


def test_files_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_spark_dump(tmp_path / "d", [listen(user) for user in range(11)], files=11)
    assert [path.stem for path in only(tmp_path, folder).files] == [str(n) for n in range(11)]


# Bad input


def test_a_missing_path_and_a_folder_without_a_dump(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone: expected a dump folder or archive, found no such file"):
        found(tmp_path, tmp_path / "gone")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="nothing: expected a dump"):
        found(tmp_path, tmp_path / "nothing")


@pytest.mark.parametrize("marker", ["END_TIMESTAMP", "START_TIMESTAMP"])
def test_a_bad_date(tmp_path: Path, marker: str) -> None:
    folder = write_spark_dump(tmp_path / "d", [listen()], start="2021-08-01")
    (folder / marker).write_text("2021-13-40 00:00:00")
    with pytest.raises(InputError, match=f"{marker}: expected a time such as .*'2021-13-40 00:00:00'"):
        found(tmp_path, folder)


def test_an_empty_dump(tmp_path: Path) -> None:
    for name, maker in (("parquet", write_spark_dump), ("lines", write_json_dump)):
        with pytest.raises(InputError, match=f"{name}: expected at least one listen, found none"):
            check_dumps(found(tmp_path, maker(tmp_path / name, [])))
    (tmp_path / "parquet" / "0.parquet").unlink()
    with pytest.raises(InputError, match=r"parquet: expected parquet or \.listens files, found none"):
        check_dumps(found(tmp_path, tmp_path / "parquet"))


def test_a_truncated_parquet(tmp_path: Path) -> None:
    folder = write_spark_dump(tmp_path / "d", [listen(), listen(2)], files=2)
    file = folder / "1.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"d/1\.parquet: expected a complete parquet file"):
        check_dumps(found(tmp_path, folder))


@pytest.mark.parametrize("column", ["user_id", "listened_at", "artist_name", "recording_name"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    folder = write_spark_dump(tmp_path / "d", [listen()])
    rewrite(folder / "0.parquet", **{column: None})
    with pytest.raises(InputError, match=rf"0\.parquet: expected the columns .*, found no {column}$"):
        check_dumps(found(tmp_path, folder))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("user_id", pa.array([1.5]), "user_id as an integer or text, found double"),
        ("listened_at", pa.array([5]), "listened_at as a timestamp, found int64"),
        ("artist_credit_mbids", pa.array(["x"]), "artist_credit_mbids as a list of text, found string"),
        ("artist_name", pa.array([None], pa.null()), "artist_name as text, found null"),
    ],
)
def test_a_column_of_another_type_is_named(tmp_path: Path, column: str, values: pa.Array, message: str) -> None:
    folder = write_spark_dump(tmp_path / "d", [listen()])
    rewrite(folder / "0.parquet", **{column: values})
    with pytest.raises(InputError, match=message):
        check_dumps(found(tmp_path, folder))


def test_a_json_file_without_a_single_listen(tmp_path: Path) -> None:
    folder = write_json_dump(tmp_path / "d", ["<html>", "[1]"])
    with pytest.raises(InputError, match=r"8\.listens: expected a JSON object on each line, .*'<html>"):
        check_dumps(found(tmp_path, folder))


# Reading


def test_todays_layout_keeps_every_field_and_instant(spark: SparkSession, tmp_path: Path) -> None:
    mbids = {"recording_mbid": "r", "release_mbid": "l", "artist_credit_mbids": ["a", "b"], "release_name": "IASF"}
    folder = write_spark_dump(tmp_path / "with space+plus", [listen(**mbids), listen(2, at="1999-12-31 23:59:59")])
    dump = only(tmp_path, folder)
    assert check_dumps([dump]) == {dump.source_id: 2}
    first, second = rows_of(spark, dump)[::-1]
    assert first["row"].startswith('{"listened_at":"2021-08-01T12:00:00.000Z"')
    assert first | {"row": ""} == {
        "user_id": "1",
        "listened_at": datetime(2021, 8, 1, 12, 0, 0),
        "stamp": None,
        "recording_msid": "msid-Halo",
        "artist_name": "Beyoncé",
        "recording_name": "Halo",
        "release_name": "IASF",
        "recording_mbid": "r",
        "release_mbid": "l",
        "artist_mbids": ["a", "b"],
        "duration_ms": None,
        "malformed": False,
        "undecoded": False,
        "file": "0.parquet",
        "row": "",
    }
    epoch = read_dump(spark, dump).where("user_id = '2'").selectExpr("unix_timestamp(listened_at)").collect()[0][0]
    assert epoch == int(utc("1999-12-31 23:59:59").timestamp())
    assert (second["user_id"], second["artist_mbids"]) == ("2", None)


def test_files_of_a_dump_may_differ_in_the_optional_columns(spark: SparkSession, tmp_path: Path) -> None:
    folder = write_spark_dump(tmp_path / "d", [listen(1, release_name="x"), listen(2)], files=2)
    rewrite(folder / "1.parquet", recording_msid=None, release_name=pa.array([None], pa.null()))
    dump = only(tmp_path, folder)
    check_dumps([dump])
    rows = {row["user_id"]: (row["recording_msid"], row["release_name"]) for row in rows_of(spark, dump)}
    assert rows == {"1": ("msid-Halo", "x"), "2": (None, None)}


@pytest.mark.parametrize(
    ("types", "row"),
    [
        (None, (7, "Kiasmos", "K", "Lit", date(2020, 1, 4), time(15, 38, 31))),
        ([pa.string()] * 6, ("7", "Kiasmos", "K", "Lit", "2020-01-04", "15:38:31")),
        (
            [pa.string(), *[pa.string()] * 3, pa.timestamp("us"), pa.time32("s")],
            ("7", "Kiasmos", "K", "Lit", datetime(2020, 1, 4), time(15, 38, 31)),
        ),
    ],
    ids=["dates", "texts", "timestamps"],
)
def test_the_older_layout(
    spark: SparkSession, tmp_path: Path, types: list[pa.DataType] | None, row: tuple[Any, ...]
) -> None:
    dump = only(tmp_path, write_older_dump(tmp_path / "old", [row], types))
    assert (dump.format, dump.ended_at) == ("parquet-older", None)
    assert check_dumps([dump]) == {dump.source_id: 1}
    (read,) = rows_of(spark, dump)
    names = (read["user_id"], read["artist_name"], read["release_name"], read["recording_name"], read["file"])
    assert names == ("7", "Kiasmos", "K", "Lit", "0.parquet")
    assert read["listened_at"] == datetime(2020, 1, 4, 15, 38, 31)
    assert '"time":"15:38:31' in read["row"]


def test_json_lines_in_all_the_ways_that_clients_write_them(spark: SparkSession, tmp_path: Path) -> None:
    track = {"artist_name": "A", "track_name": "T", "release_name": "R"}
    rec, rel, x, y, m = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "12345")
    rich = {"recording_mbid": rec.upper(), "artist_mbids": [x, y], "release_mbid": rel, "duration_ms": "215000"}
    mapped = {"recording_mbid": m, "artist_mbids": [m]}
    nothing = {"recording_mbid": "None", "artist_mbids": ["null"], "recording_msid": "undefined"}
    lines = [
        json_listen("10", track_metadata=track | {"additional_info": rich, "mbid_mapping": mapped}),
        json_listen("11", track_metadata=track | {"additional_info": {"duration": 12.5}, "mbid_mapping": mapped}),
        json_listen(None, "1627819201", track_metadata=track | {"additional_info": None}),
        {"user_id": 13, "listened_at": 1627819202, "track_metadata": track | {"additional_info": []}},
        json_listen("14", "soon", track_metadata=track | {"additional_info": {"duration_ms": "3:35"}}),
        json_listen("15", 1e30, track_metadata=track | {"additional_info": {"artist_mbids": f"{x},{y}"}}),
        '{"user_id": 16, "timest',
        json_listen("17", track_metadata=track | {"additional_info": nothing, "mbid_mapping": mapped}),
        json_listen("18", "1627819200d", track_metadata=track | {"additional_info": {"duration_ms": "215000f"}}),
        json_listen("null", track_metadata=track) | {"user_name": "null", "recording_msid": "NaN"},
        json_listen("None", track_metadata=track) | {"user_name": None},
        "   ",
        "[]",
    ]
    dump = only(tmp_path, write_json_dump(tmp_path / "d", lines))
    check_dumps([dump])
    assert count_rows(spark, dump) == 12
    rows = {row["user_id"]: row for row in rows_of(spark, dump) if not row["malformed"]}
    # An id "None" is none; somebody is called "null".
    assert rows.keys() == {"10", "11", "iliekcomputers", "13", "14", "15", "17", "18", "null", None}
    also = [rows.pop(user) for user in ("17", "null", None)]
    assert (also[0]["recording_mbid"], also[0]["artist_mbids"]) == (m, [m])
    assert [row["recording_msid"] for row in also] == ["msid-Halo", None, "msid-Halo"]
    at = utc("2021-08-01 12:00:00").replace(tzinfo=None)
    assert [rows[u]["listened_at"] and (rows[u]["listened_at"] - at).seconds for u in sorted(rows)] == [
        0, 0, 2, None, None, None, 1,
    ]  # fmt: skip
    assert [rows[u]["duration_ms"] for u in sorted(rows)] == [215_000, 12_500, None, None, None, None, None]
    assert (rows["10"]["recording_mbid"], rows["10"]["artist_mbids"], rows["10"]["release_mbid"]) == (
        rec,
        [x, y],
        rel,
    )
    assert (rows["11"]["recording_mbid"], rows["11"]["artist_mbids"]) == (m, [m])
    assert rows["15"]["artist_mbids"] == [x, y]
    assert {row["artist_name"] for row in rows.values()} == {"A"}
    assert rows["13"]["recording_msid"] is None
    assert rows["10"]["file"] == "listens/2021/8.listens"
    assert sorted(row["row"] for row in rows_of(spark, dump) if row["malformed"]) == ["[]", '{"user_id": 16, "timest']


def test_parquet_times_of_every_unit_and_zone_are_the_same_instant(spark: SparkSession, tmp_path: Path) -> None:
    """pandas writes nanoseconds, with a zone or without; the counts beyond what Spark has are its first or last day."""
    counted = {"ms": 10**3, "us": 10**6, "ns": 10**9}
    folder = write_spark_dump(tmp_path / "d", [listen(n) for n in range(5) for _ in range(8)], files=8)
    kinds = [(unit, zone) for unit in counted for zone in (None, "Asia/Kathmandu")]
    at = utc("2021-08-01 12:00:00.123000")
    for n, (unit, zone) in enumerate(kinds):
        second = counted[unit]
        counts = [int(at.timestamp() * 1000) * second // 1000, -second, None, 2**63 - 1, -(2**63) + 1]
        path = folder / f"{n}.parquet"
        # `created` too: what is not looked at must not stop the rest either.
        times = {name: pa.array(counts, pa.timestamp(unit, zone)) for name in ("listened_at", "created")}
        table = pq.read_table(path)
        for name, values in times.items():
            table = table.set_column(table.schema.get_field_index(name), name, values)
        pq.write_table(table, path, version="2.6")
    dump = only(tmp_path, folder)
    check_dumps([dump])
    read = read_dump(spark, dump).where("file < '6'").selectExpr("file", "user_id", "unix_micros(listened_at)")
    of_file: dict[str, dict[str, int | None]] = {}
    for file, user, micros in read.collect():
        of_file.setdefault(file, {})[user] = micros
    assert set(of_file) == {f"{n}.parquet" for n in range(6)}
    for times_of in of_file.values():
        assert times_of["0"] == int(at.timestamp() * 1000) * 1000
        assert times_of["1"] == -1_000_000
        assert times_of["2"] is None
        assert (times_of["3"] or 0) > int(utc("2262-01-01").timestamp()) * 10**6
        assert (times_of["4"] or 0) < int(utc("1678-01-01").timestamp()) * 10**6


@pytest.mark.parametrize("of", ["date", "time"])
def test_the_older_layout_has_no_time_without_a_day_or_a_clock_time(
    spark: SparkSession, tmp_path: Path, of: str
) -> None:
    fine: dict[str, Any] = {"date": "2020-01-04", "time": "15:38:31"}
    given = [None, "", " ", "soon", "24:00:00" if of == "time" else "4.1.2020", fine[of]]
    rows = [(n, "A", "R", "T", *(fine | {of: value}).values()) for n, value in enumerate(given)]
    dump = only(tmp_path, write_older_dump(tmp_path / "old", rows, [pa.int64(), *[pa.string()] * 5]))
    read = {int(r["user_id"]): (r["listened_at"], r["stamp"]) for r in rows_of(spark, dump)}
    assert [read[n] for n in (0, 1, 2)] == [(None, None)] * 3
    assert [(at, str(stamp)) for at, stamp in (read[3], read[4])] == [(None, "nan")] * 2
    assert read[5] == (datetime(2020, 1, 4, 15, 38, 31), None)


def test_naive_times_are_utc(tmp_path: Path) -> None:
    dump = only(tmp_path, write_spark_dump(tmp_path / "d", [listen()]))
    assert dump.ended_at.tzinfo is UTC
