"""ListenBrainz dumps as parquet: the layout of today and the older one with a date and a time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StructField, StructType

from musicrec.errors import InputError
from musicrec.transforms.listens import RAW_COLUMNS
from musicrec.transforms.times import instant_of, stamp_of

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
    return int(file.metadata.num_rows)


def read_current(spark: SparkSession, files: Sequence[Path], label: Callable[[Column], Column]) -> DataFrame:
    """The files of today's layout as `RAW_COLUMNS`. `label` makes the `file` column of a file's URL.

    Times, INT96 ones too, are instants in UTC.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[Path]] = defaultdict(list)
    for path in files:
        file = open_file(path)
        names = tuple(sorted(f.name for f in file.schema_arrow if not pt.is_null(f.type)))
        groups[_time_unit(file), names].append(path)
    parts = [_read_alike(spark, paths, set(names), unit, label) for (unit, names), paths in sorted(groups.items())]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.unionByName(part)
    return whole


def _read_alike(
    spark: SparkSession, paths: Sequence[Path], names: set[str], unit: str, label: Callable[[Column], Column]
) -> DataFrame:
    urls = [f"file://{path}" for path in paths]
    df = spark.read.parquet(*urls)
    if unit == "milliseconds":
        # As Spark would read them, one that is too large for microseconds ends the job.
        counted = [StructField(f.name, LongType()) if f.name == "listened_at" else f for f in df.schema]
        df = spark.read.schema(StructType(counted)).parquet(*urls)
    if unit in _IN_MICROS:
        df = df.withColumn("listened_at", F.expr(_IN_MICROS[unit]))
    known = [c for c in df.columns if c in names]
    source = {c: c for c in RAW_COLUMNS} | {"artist_mbids": "artist_credit_mbids"}
    values = {
        name: F.col(source[name]).cast(kind) if source[name] in names else F.lit(None).cast(kind)
        for name, kind in RAW_COLUMNS.items()
    }
    values["stamp"] = F.lit(None).cast("double")
    values["malformed"] = F.lit(False)
    values["file"] = label(F.col("_metadata.file_path"))
    values["row"] = F.to_json(F.struct(*known), {"ignoreNullFields": "false"})
    return df.select([value.alias(name) for name, value in values.items()])


# Counts as instants: INT64 nanoseconds are read as numbers (`musicrec.spark`). What is beyond the instants that
# Spark has becomes the last or the first of them.
_IN_MICROS = {
    "milliseconds": "timestamp_millis(greatest(least(listened_at, 9223372036854775), -9223372036854775))",
    "nanoseconds": "timestamp_micros(listened_at div 1000)",
}


def read_older(spark: SparkSession, files: Sequence[Path], label: Callable[[Column], Column]) -> DataFrame:
    """The files of the older layout as `RAW_COLUMNS`; `date` and `time` are in UTC.

    Read by pyarrow on the workers: Spark has no type for a parquet TIME.
    """
    paths = spark.createDataFrame([(str(path),) for path in files], "path string").repartition(len(files), "path")
    texts = ", ".join(f"{name} string" for name in (*_OLDER_COLUMNS, "path"))
    df = paths.mapInArrow(_read_as_text, texts)
    day, clock = (F.trim(F.col(name)) for name in ("date", "time"))
    is_given = (day != "") & (clock != "")
    text = F.when(is_given, F.concat_ws(" ", F.substring(day, 1, 10), clock))
    values = {name: F.lit(None).cast(kind) for name, kind in RAW_COLUMNS.items()}
    values |= {name: F.col(name) for name in ("user_id", "artist_name", "recording_name", "release_name")}
    # Without a day or a clock time there is no time: midnight, or the day of the run, would be made up.
    values["listened_at"] = instant_of(text)
    values["stamp"] = stamp_of(text)
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
                    _as_text(rows.column(name)) if name in there else pa.nulls(len(rows), pa.string())
                    for name in _OLDER_COLUMNS
                ]
                yield pa.RecordBatch.from_arrays([*columns, pa.array([path] * len(rows), pa.string())], names)


def _as_text(values: pa.Array) -> pa.Array:
    """Days and times as ISO writes them, an instant with a zone as that in UTC."""
    if pt.is_timestamp(values.type) and values.type.tz:
        values = values.cast(pa.timestamp(values.type.unit, "UTC"))
    return values.cast(pa.string())


def _time_unit(file: pq.ParquetFile) -> str:
    """What `listened_at` counts in: `milliseconds`, `microseconds`, `nanoseconds` or `INT96`.

    By the parquet type: the Arrow type beside it can be another.
    """
    columns = (file.schema.column(i) for i in range(len(file.schema)))
    column = next(column for column in columns if column.path == "listened_at")
    if column.physical_type == "INT96":
        return "INT96"
    return str(json.loads(column.logical_type.to_json())["timeUnit"])
