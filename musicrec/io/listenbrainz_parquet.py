"""ListenBrainz dumps as parquet: the layout of today and the older one with a date and a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.transforms.ids import listener_column
from musicrec.transforms.listens import RAW_COLUMNS

CURRENT, OLDER = "parquet", "parquet-older"


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind))


def _is_id(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) or _is_text(kind))


def _is_texts(kind: pa.DataType) -> bool:
    return bool(pt.is_list(kind) and _is_text(kind.value_type))


def _is_day(kind: pa.DataType) -> bool:
    return bool(pt.is_date(kind) or pt.is_timestamp(kind) or _is_text(kind))


def _is_clock(kind: pa.DataType) -> bool:
    return bool(pt.is_time(kind) or _is_text(kind))


_Check = tuple[Callable[[pa.DataType], bool], str]
_TEXT, _ID = (_is_text, "text"), (_is_id, "an integer or text")
_REQUIRED: dict[str, dict[str, _Check]] = {
    CURRENT: {
        "user_id": _ID,
        "listened_at": (pt.is_timestamp, "a timestamp"),
        "artist_name": _TEXT,
        "recording_name": _TEXT,
    },
    OLDER: {
        "user_id": _ID,
        "artist_name": _TEXT,
        "recording_name": _TEXT,
        "date": (_is_day, "a date or text"),
        "time": (_is_clock, "a time or text"),
    },
}
# Dumps before 2022 had no recording_msid.
_OPTIONAL: dict[str, dict[str, _Check]] = {
    CURRENT: {
        "recording_msid": _TEXT,
        "release_name": _TEXT,
        "recording_mbid": _TEXT,
        "release_mbid": _TEXT,
        "artist_credit_mbids": (_is_texts, "a list of text"),
    },
    OLDER: {"release_name": _TEXT},
}


def open_file(path: Path) -> pq.ParquetFile:
    """The file with its footer read.

    Raises
    ------
    InputError : it is not parquet or cut short.
    """
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(path, "a complete parquet file", str(error).splitlines()[0]) from error


def layout(path: Path) -> str:
    """`CURRENT` or `OLDER`, by the columns."""
    names = set(open_file(path).schema_arrow.names)
    return OLDER if {"date", "time"} <= names and "listened_at" not in names else CURRENT


def check_file(path: Path, layout_name: str) -> int:
    """Compare the footer with what the layout must have; gives the file's rows.

    Raises
    ------
    InputError : the file is damaged, lacks a column, or a column has another type.
    """
    file = open_file(path)
    schema = file.schema_arrow
    required, optional = _REQUIRED[layout_name], _OPTIONAL[layout_name]
    missing = [name for name in required if name not in schema.names]
    if missing:
        raise InputError(path, f"the columns {', '.join(required)}", f"no {', '.join(missing)}")
    for name, (is_right, kind) in {**required, **optional}.items():
        found = schema.field(name).type if name in schema.names else None
        # pandas writes a column of nothing but None as type null.
        if found is not None and not is_right(found) and not (name in optional and pt.is_null(found)):
            raise InputError(path, f"column {name} as {kind}", str(found))
    if layout_name == CURRENT and _is_nanoseconds(file):
        raise InputError(path, "column listened_at as INT96, milli- or microseconds", "INT64 nanoseconds")
    return int(file.metadata.num_rows)


def newest(paths: Sequence[Path], layout_name: str) -> date:
    """The day (UTC) of the newest listen; reads one column of every file."""
    column = "listened_at" if layout_name == CURRENT else "date"
    days = []
    for path in paths:
        check_file(path, layout_name)
        for batch in open_file(path).iter_batches(columns=[column]):
            text = pc.max(batch.column(0).cast(pa.string())).as_py()
            if text is not None:
                days.append((text[:10], path))
    if not days:
        raise InputError(paths[0].parent, "at least one listen with a time", "none")
    last, path = max(days)
    try:
        return date.fromisoformat(last)
    except ValueError as error:
        raise InputError(path, "dates such as 2021-08-07", repr(last)) from error


def read_current(spark: SparkSession, files: Sequence[Path], label: Callable[[Column], Column]) -> DataFrame:
    """The files of today's layout as `RAW_COLUMNS`. `label` makes the `file` column of a file's URL.

    INT96 times are instants in UTC.
    """
    groups: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path in files:
        schema = open_file(path).schema_arrow
        groups[tuple(sorted(f.name for f in schema if not pt.is_null(f.type)))].append(path)
    parts = [_read_alike(spark, paths, set(names), label) for names, paths in sorted(groups.items())]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.unionByName(part)
    return whole


def _read_alike(
    spark: SparkSession, paths: Sequence[Path], names: set[str], label: Callable[[Column], Column]
) -> DataFrame:
    df = spark.read.parquet(*[f"file://{path}" for path in paths])
    known = [c for c in df.columns if c in names]
    source = {c: c for c in RAW_COLUMNS} | {"artist_mbids": "artist_credit_mbids"}
    values = {
        name: F.col(source[name]).cast(kind) if source[name] in names else F.lit(None).cast(kind)
        for name, kind in RAW_COLUMNS.items()
    }
    values["user_id"] = listener_column(values["user_id"])
    values["malformed"] = F.lit(False)
    values["file"] = label(F.col("_metadata.file_path"))
    values["row"] = F.to_json(F.struct(*known), {"ignoreNullFields": "false"})
    return df.select([value.alias(name) for name, value in values.items()])


def read_older(spark: SparkSession, files: Sequence[Path], label: Callable[[Column], Column]) -> DataFrame:
    """The files of the older layout as `RAW_COLUMNS`; `date` and `time` are in UTC.

    Read by pyarrow on the workers: Spark has no type for a parquet TIME.
    """
    paths = spark.createDataFrame([(str(path),) for path in files], "path string").repartition(len(files), "path")
    texts = ", ".join(f"{name} string" for name in (*_OLDER_COLUMNS, "path"))
    df = paths.mapInArrow(_read_as_text, texts)
    stamp = F.concat_ws(" ", F.substring("date", 1, 10), F.coalesce("time", F.lit("")))
    values = {name: F.lit(None).cast(kind) for name, kind in RAW_COLUMNS.items()}
    values |= {name: F.col(name) for name in ("artist_name", "recording_name", "release_name")}
    values["user_id"] = listener_column(F.col("user_id"))
    values["listened_at"] = F.try_to_timestamp(stamp)
    values["malformed"] = F.lit(False)
    values["file"] = label(F.col("path"))
    values["row"] = F.to_json(F.struct(*_OLDER_COLUMNS), {"ignoreNullFields": "false"})
    return df.select([value.alias(name) for name, value in values.items()])


_OLDER_COLUMNS = ("user_id", "artist_name", "release_name", "recording_name", "date", "time")


def _read_as_text(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """Each file whose path comes in, batch by batch, every column as text."""
    names = [*_OLDER_COLUMNS, "path"]
    for batch in batches:
        for path in batch.column(0).to_pylist():
            for rows in pq.ParquetFile(path).iter_batches():
                there = set(rows.schema.names)
                columns = [
                    rows.column(name).cast(pa.string()) if name in there else pa.nulls(len(rows), pa.string())
                    for name in _OLDER_COLUMNS
                ]
                yield pa.RecordBatch.from_arrays([*columns, pa.array([path] * len(rows), pa.string())], names)


def _is_nanoseconds(file: pq.ParquetFile) -> bool:
    index = file.schema_arrow.names.index("listened_at")
    if file.schema_arrow.field(index).type.unit != "ns":
        return False
    columns = [file.schema.column(i) for i in range(len(file.schema))]
    return any(c.path == "listened_at" and c.physical_type != "INT96" for c in columns)


def midnight(day: date) -> datetime:
    """The start of a day in UTC."""
    return datetime.combine(day, time(), UTC)
