"""The public JSON-lines dump of ListenBrainz: `*.listens` files, a listen a line.

The lines are what `Listen.to_json` of metabrainz/listenbrainz-server writes: user_id, user_name, timestamp (seconds),
track_metadata, recording_msid. Clients fill track_metadata.additional_info as they like, so nothing there is trusted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.transforms.ids import listener_column, mbid_column, mbids_column, msid_column
from musicrec.transforms.listens import RAW_COLUMNS

# All leaves are text: from_json keeps a number or an object as its text, and clients send either.
_SCHEMA = """
    user_id string, user_name string, timestamp string, listened_at string, recording_msid string,
    track_metadata struct<
        artist_name: string, track_name: string, release_name: string,
        additional_info: struct<
            recording_msid: string, recording_mbid: string, release_mbid: string, artist_mbids: string,
            duration_ms: string, duration: string>,
        mbid_mapping: struct<recording_mbid: string, release_mbid: string, artist_mbids: string>>,
    unreadable string
"""
_YEAR_9999 = 253_402_300_799  # in seconds; a time beyond it is no time in seconds
_LONGEST_MS = 10**15


def check_file(path: Path) -> bool:
    """Whether the file holds a listen that can be parsed; False for a file without any line.

    Raises
    ------
    InputError : there are lines, and not one of them is a JSON object.
    """
    first = None
    for line, parsed in _lines(path):
        if parsed is not None:
            return True
        first = first or line
    if first is None:
        return False
    raise InputError(path, "a JSON object on each line", f"none; the first line is {first[:60]!r}")


def newest(paths: Sequence[Path]) -> date:
    """The day (UTC) of the newest listen; reads every line."""
    times = [time for path in paths for _, parsed in _lines(path) if parsed and (time := _seconds(parsed)) is not None]
    if not times:
        raise InputError(paths[0].parent, "at least one listen with a time", "none")
    return datetime.fromtimestamp(max(times), UTC).date()


def read_json(spark: SparkSession, files: Sequence[Path], label: Callable[[Column], Column]) -> DataFrame:
    """The lines as `RAW_COLUMNS`, blank ones left out. `label` makes the `file` column of a file's URL.

    A user_name stands in for a missing user_id, listened_at for timestamp; MBIDs come from the client's
    additional_info, where that has any, else from mbid_mapping; the duration from duration_ms, else from duration in
    seconds.
    """
    lines = read_lines(spark, files).withColumn("file", label(F.col("url")))
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "unreadable"}
    return lines.withColumn("j", F.from_json("value", _SCHEMA, options)).select(
        [value.cast(RAW_COLUMNS[name]).alias(name) for name, value in _columns().items()]
    )


def read_lines(spark: SparkSession, files: Sequence[Path]) -> DataFrame:
    """`value` = each line that is not blank, `url` = its file."""
    lines = spark.read.text([f"file://{path}" for path in files])
    return lines.select("value", F.col("_metadata.file_path").alias("url")).where(F.trim("value") != "")


def _columns() -> dict[str, Column]:
    track, info, mapping = "j.track_metadata", "j.track_metadata.additional_info", "j.track_metadata.mbid_mapping"
    given = (info, mapping)
    return {
        # A listener may be called "null"; an id is not.
        "user_id": F.coalesce(listener_column(F.col("j.user_id")), _filled("j.user_name")),
        "listened_at": F.coalesce(_instant("j.timestamp"), _instant("j.listened_at")),
        "recording_msid": F.coalesce(*[msid_column(F.col(f"{where}.recording_msid")) for where in ("j", info)]),
        "artist_name": F.col(f"{track}.artist_name"),
        "recording_name": F.col(f"{track}.track_name"),
        "release_name": F.col(f"{track}.release_name"),
        "recording_mbid": F.coalesce(*[mbid_column(F.col(f"{where}.recording_mbid")) for where in given]),
        "release_mbid": F.coalesce(*[mbid_column(F.col(f"{where}.release_mbid"), "release") for where in given]),
        "artist_mbids": F.coalesce(*[mbids_column(F.col(f"{where}.artist_mbids")) for where in given]),
        "duration_ms": F.coalesce(_milliseconds(f"{info}.duration_ms", 1), _milliseconds(f"{info}.duration", 1000)),
        "malformed": F.col("j").isNull() | (F.col("j.unreadable").isNotNull() & F.col(track).isNull()),
        "file": F.col("file"),
        "row": F.col("value"),
    }


def _filled(name: str) -> Column:
    return F.when(F.trim(name) != "", F.trim(name))


def _instant(name: str) -> Column:
    """Seconds since 1970, as a number or its text; else a date and time in UTC."""
    seconds = F.col(name).try_cast("double")
    is_time = seconds.between(-_YEAR_9999, _YEAR_9999)
    return F.coalesce(
        F.timestamp_seconds(F.when(is_time, F.floor(seconds))),
        F.when(seconds.isNull(), F.try_to_timestamp(F.col(name))),
    )


def _milliseconds(name: str, factor: int) -> Column:
    value = F.col(name).try_cast("double") * factor
    return F.when(value.between(-_LONGEST_MS, _LONGEST_MS), F.round(value)).cast("bigint")


def _lines(path: Path) -> Iterator[tuple[str, dict[str, object] | None]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.strip():
                try:
                    parsed = json.loads(line)
                except ValueError:
                    parsed = None
                yield line, parsed if isinstance(parsed, dict) else None


def _seconds(listen: dict[str, object]) -> float | None:
    try:
        seconds = float(str(listen.get("timestamp") or listen.get("listened_at")))
    except ValueError:
        return None
    return seconds if abs(seconds) <= _YEAR_9999 else None
