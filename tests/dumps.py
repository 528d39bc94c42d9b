"""Tiny ListenBrainz dumps in each of their forms, for the tests of whatever reads them."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

Row = Mapping[str, Any]

CURRENT = pa.schema(
    [
        pa.field("listened_at", pa.timestamp("ns"), nullable=False),
        pa.field("created", pa.timestamp("ns"), nullable=False),
        pa.field("user_id", pa.int64()),
        pa.field("recording_msid", pa.string()),
        pa.field("artist_name", pa.string()),
        pa.field("artist_credit_id", pa.int64()),
        pa.field("release_name", pa.string()),
        pa.field("release_mbid", pa.string()),
        pa.field("recording_name", pa.string()),
        pa.field("recording_mbid", pa.string()),
        pa.field("artist_credit_mbids", pa.list_(pa.string())),
    ]
)
TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%f"


def utc(text: str) -> datetime:
    """An instant of an ISO text in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def listen(user: int = 1, at: str = "2021-08-01 12:00:00", title: str = "Halo", **more: Any) -> dict[str, Any]:
    """A row of today's parquet layout; `more` sets any other column."""
    row = {
        "listened_at": utc(at).replace(tzinfo=None),
        "created": utc(at).replace(tzinfo=None),
        "user_id": user,
        "recording_msid": f"msid-{title}",
        "artist_name": "Beyoncé",
        "recording_name": title,
    }
    return {**row, **more}


def write_markers(folder: Path, end: str | None, start: str | None = None) -> None:
    """END_TIMESTAMP and START_TIMESTAMP, where given (a day is its midnight), and SCHEMA_SEQUENCE."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SCHEMA_SEQUENCE").write_text("1")
    for name, text in (("END_TIMESTAMP", end), ("START_TIMESTAMP", start)):
        if text is not None:
            (folder / name).write_text(text if ":" in text else f"{text} 00:00:00.000000")


def write_spark_dump(
    folder: Path, rows: Sequence[Row], end: str | None = "2021-08-07", start: str | None = None, files: int = 1
) -> Path:
    """A dump in today's layout, its rows dealt to `files` parquet files in turn."""
    write_markers(folder, end, start)
    for number in range(files):
        columns = {f.name: [row.get(f.name) for row in rows[number::files]] for f in CURRENT}
        table = pa.table([pa.array(columns[f.name], f.type) for f in CURRENT], schema=CURRENT)
        pq.write_table(table, folder / f"{number}.parquet", use_deprecated_int96_timestamps=True)
    return folder


def write_older_dump(folder: Path, rows: Iterable[Sequence[Any]], types: Sequence[pa.DataType] | None = None) -> Path:
    """A dump in the older layout, without markers: (user, artist, release, title, date, time) a row."""
    names = ("user_id", "artist_name", "release_name", "recording_name", "date", "time")
    kinds = types or [pa.int64(), pa.string(), pa.string(), pa.string(), pa.date32(), pa.time64("us")]
    folder.mkdir(parents=True, exist_ok=True)
    columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
    pq.write_table(pa.table(columns, names=list(names)), folder / "0.parquet")
    return folder


def json_listen(user: int | str | None = 1, at: int | str = 1627819200, title: str = "Halo", **more: Any) -> dict:
    """A line of the JSON dump; `more` sets or replaces top-level keys."""
    line = {
        "user_id": user,
        "user_name": "iliekcomputers",
        "timestamp": at,
        "track_metadata": {"artist_name": "Beyoncé", "track_name": title, "release_name": None, "additional_info": {}},
        "recording_msid": f"msid-{title}",
    }
    return {**line, **more}


def write_json_dump(folder: Path, lines: Iterable[Row | str], end: str | None = "2021-08-07") -> Path:
    """A JSON dump with one month's file; a text is written as it is."""
    write_markers(folder, end)
    month = folder / "listens" / "2021" / "8.listens"
    month.parent.mkdir(parents=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    month.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return folder


def pack(folder: Path, archive: Path) -> Path:
    """The folder as an archive; the ending decides the compression."""
    if archive.name.endswith(".zst"):
        raw = BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            tar.add(folder, folder.name)
        archive.write_bytes(zstandard.ZstdCompressor().compress(raw.getvalue()))
        return archive
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for path in sorted(folder.rglob("*")):
                zipped.write(path, path.relative_to(folder.parent))
        return archive
    mode = {".gz": "w:gz", ".xz": "w:xz"}.get(archive.suffix, "w")
    with tarfile.open(archive, mode) as tar:  # type: ignore[call-overload]
        tar.add(folder, folder.name)
    return archive
