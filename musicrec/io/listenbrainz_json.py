"""The public JSON-lines dump of ListenBrainz: `*.listens` files, a listen a line.

The lines are what `Listen.to_json` of metabrainz/listenbrainz-server writes: user_id, user_name, timestamp (seconds),
track_metadata, recording_msid. Clients fill track_metadata.additional_info as they like, so nothing there is trusted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.transforms.listens import RAW_COLUMNS
from musicrec.transforms.times import instant_of, stamp_of

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


def read_json(spark: SparkSession, files: Sequence[Path], label: Callable[[Column], Column]) -> DataFrame:
    """The lines as `RAW_COLUMNS`, blank ones left out. `label` makes the `file` column of a file's URL.

    A user_name stands in for a missing user_id, listened_at for timestamp; MBIDs come from the client's
    additional_info, else from mbid_mapping; the duration from duration_ms, else from duration in seconds.
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
    times = ("j.timestamp", "j.listened_at")
    at = F.coalesce(*[instant_of(F.col(name)) for name in times])
    return {
        "user_id": F.coalesce(_filled("j.user_id"), _filled("j.user_name")),
        "listened_at": at,
        "stamp": F.when(at.isNull(), F.coalesce(*[stamp_of(F.col(name)) for name in times])),
        "recording_msid": F.coalesce(_filled("j.recording_msid"), _filled(f"{info}.recording_msid")),
        "artist_name": F.col(f"{track}.artist_name"),
        "recording_name": F.col(f"{track}.track_name"),
        "release_name": F.col(f"{track}.release_name"),
        "recording_mbid": F.coalesce(_filled(f"{info}.recording_mbid"), _filled(f"{mapping}.recording_mbid")),
        "release_mbid": F.coalesce(_filled(f"{info}.release_mbid"), _filled(f"{mapping}.release_mbid")),
        "artist_mbids": F.coalesce(_list(f"{info}.artist_mbids"), _list(f"{mapping}.artist_mbids")),
        "duration_ms": F.coalesce(_milliseconds(f"{info}.duration_ms", 1), _milliseconds(f"{info}.duration", 1000)),
        "malformed": F.col("j").isNull() | (F.col("j.unreadable").isNotNull() & F.col(track).isNull()),
        "file": F.col("file"),
        "row": F.col("value"),
    }


def _filled(name: str) -> Column:
    return F.when(F.trim(name) != "", F.trim(name))


def _milliseconds(name: str, factor: int) -> Column:
    value = F.col(name).try_cast("double") * factor
    return F.when(value.between(-_LONGEST_MS, _LONGEST_MS), F.round(value)).cast("bigint")


def _list(name: str) -> Column:
    """A JSON list of text, or one text with commas; null where empty."""
    parsed = F.when(F.col(name).startswith("["), F.from_json(name, "array<string>"))
    plain = F.when(~F.col(name).startswith("["), F.split(F.col(name), r"\s*,\s*"))
    values = F.filter(F.coalesce(parsed, plain), lambda x: x != "")
    return F.when(F.size(values) > 0, values)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, object] | None]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.strip():
                try:
                    parsed = json.loads(line)
                except ValueError:
                    parsed = None
                yield line, parsed if isinstance(parsed, dict) else None
