"""Listens as JSON: the public dump of ListenBrainz (`*.listens`) and what it exports for one of its users.

The lines are what `Listen.to_json` of metabrainz/listenbrainz-server writes: user_id, user_name, timestamp (seconds),
track_metadata, recording_msid. A user's export (listenbrainz/background/export.py) is a zip of listens/YYYY/M.jsonl
beside user.json, which says whose listens they are; its lines have listened_at, and the msid in track_metadata.
Clients fill track_metadata.additional_info as they like, so nothing there is trusted.
"""

from __future__ import annotations

import re
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.json_lines import as_object, read_records
from musicrec.io.local_files import SourceFiles
from musicrec.transforms.ids import listener_column, mbid_column, mbids_column, msid_column
from musicrec.transforms.listens import RAW_COLUMNS
from musicrec.transforms.numbers import decimal
from musicrec.transforms.times import instant_of, stamp_of

# All leaves are text: from_json keeps a number or an object as its text, and clients send either.
_SCHEMA = """
    user_id string, user_name string, timestamp string, listened_at string, recording_msid string,
    track_metadata struct<
        artist_name: string, track_name: string, release_name: string, recording_msid: string,
        additional_info: struct<
            recording_msid: string, recording_mbid: string, release_mbid: string, artist_mbids: string,
            duration_ms: string, duration: string>,
        mbid_mapping: struct<recording_mbid: string, release_mbid: string, artist_mbids: string>>,
    unreadable string
"""
# Whose listens an export holds, and its files that hold none.
USER = "user.json"
OTHERS = (USER, "feedback.jsonl", "pinned_recording.jsonl")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_MS = 10**15


def read_json(spark: SparkSession, files: SourceFiles, user: str | None) -> DataFrame:
    """The records as `RAW_COLUMNS`.

    A user_name stands in for a missing user_id, `user` for both, listened_at for timestamp; MBIDs come from the
    client's additional_info, where that has any, else from mbid_mapping; the duration from duration_ms, else from
    duration in seconds.
    """
    # Single quotes are no JSON: two objects in them could not be told apart from one.
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "unreadable", "allowSingleQuotes": "false"}
    records = read_records(spark, files)
    return records.withColumn("j", F.from_json("value", _SCHEMA, options)).select(
        [value.cast(RAW_COLUMNS[name]).alias(name) for name, value in _columns(user).items()]
    )


def user_of(folder: Path) -> str | None:
    """Whose listens an export holds, by user.json in its folder or in the one above; None where there is none.

    Raises
    ------
    InputError : it says neither a user_id nor a username.
    """
    for path in (folder / USER, folder.parent / USER):
        if path.is_file():
            found = as_object(path.read_text(encoding="utf-8-sig", errors="replace")) or {}
            names = [str(found[key]).strip() for key in ("user_id", "username") if found.get(key) is not None]
            if not any(names):
                raise InputError(path, "a JSON object with user_id or username", "neither")
            if any(_SURROGATE.search(name) for name in names):
                raise InputError(path, "user_id and username as text", "half of a surrogate pair")
            return next(filter(None, names))
    return None


def _columns(user: str | None) -> dict[str, Column]:
    track, info, mapping = "j.track_metadata", "j.track_metadata.additional_info", "j.track_metadata.mbid_mapping"
    given = (info, mapping)
    times = ("j.timestamp", "j.listened_at")
    at = F.coalesce(*[instant_of(F.col(name)) for name in times])
    msids = [msid_column(F.col(f"{where}.recording_msid")) for where in ("j", track, info)]
    return {
        # A listener may be called "null"; an id is not.
        "user_id": F.coalesce(listener_column(F.col("j.user_id")), _filled("j.user_name"), F.lit(user)),
        "listened_at": at,
        "stamp": F.when(at.isNull(), F.coalesce(*[stamp_of(F.col(name)) for name in times])),
        "recording_msid": F.coalesce(*msids),
        "artist_name": F.col(f"{track}.artist_name"),
        "recording_name": F.col(f"{track}.track_name"),
        "release_name": F.col(f"{track}.release_name"),
        "recording_mbid": F.coalesce(*[mbid_column(F.col(f"{where}.recording_mbid")) for where in given]),
        "release_mbid": F.coalesce(*[mbid_column(F.col(f"{where}.release_mbid"), "release") for where in given]),
        "artist_mbids": F.coalesce(*[mbids_column(F.col(f"{where}.artist_mbids")) for where in given]),
        "duration_ms": F.coalesce(_milliseconds(f"{info}.duration_ms", 1), _milliseconds(f"{info}.duration", 1000)),
        "malformed": F.col("j").isNull() | (F.col("j.unreadable").isNotNull() & F.col(track).isNull()),
        "undecoded": F.col("undecoded"),
        "file": F.col("file"),
        "row": F.col("value"),
    }


def _filled(name: str) -> Column:
    return F.when(F.trim(name) != "", F.trim(name))


def _milliseconds(name: str, factor: int) -> Column:
    value = decimal(F.col(name)) * factor
    return F.when(value.between(-_LONGEST_MS, _LONGEST_MS), F.round(value)).cast("bigint")
