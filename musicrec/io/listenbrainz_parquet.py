"""ListenBrainz dumps as parquet: the layout of today and the older one with a date and a time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StructField, StructType

from musicrec.errors import InputError
from musicrec.io.local_files import SourceFiles, spark_reader
from musicrec.io.parquet_files import (
    batches_of,
    columns_of,
    element_of,
    is_for_spark,
    is_text,
    open_file,
    text_column,
    unpacked,
)
from musicrec.transforms.ids import listener_column
from musicrec.transforms.listens import RAW_COLUMNS
from musicrec.transforms.times import instant_of, stamp_of

CURRENT, OLDER = "parquet", "parquet-older"


def _is_id(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(unpacked(kind)) or is_text(kind))


def _is_texts(kind: pa.DataType) -> bool:
    element = element_of(kind)
    return element is not None and (is_text(element) or pt.is_null(element))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pt.is_timestamp(unpacked(kind)))


def _is_day(kind: pa.DataType) -> bool:
    return bool(pt.is_date(unpacked(kind)) or _is_time(kind) or is_text(kind))


def _is_clock(kind: pa.DataType) -> bool:
    return bool(pt.is_time(unpacked(kind)) or is_text(kind))


_Check = tuple[Callable[[pa.DataType], bool], str]
_TEXT, _ID = (is_text, "text"), (_is_id, "an integer or text")
_REQUIRED: dict[str, dict[str, _Check]] = {
    CURRENT: {
        "user_id": _ID,
        "listened_at": (_is_time, "a timestamp"),
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


def layout(path: Path) -> str:
    """`CURRENT` or `OLDER`, by the columns."""
    names = {name.lower() for name in open_file(path).schema_arrow.names}
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
    names = columns_of(path, schema.names, [*required, *optional])
    missing = [name for name in required if name not in names]
    if missing:
        raise InputError(path, f"the columns {', '.join(required)}", f"no {', '.join(missing)}")
    for name, (is_right, kind) in {**required, **optional}.items():
        found = schema.field(schema.names.index(names[name])).type if name in names else None
        # pandas writes a column of nothing but None as type null.
        if found is not None and not is_right(found) and not (name in optional and pt.is_null(found)):
            raise InputError(path, f"column {name} as {kind}", str(found))
    return int(file.metadata.num_rows)


def read_current(spark: SparkSession, paths: Sequence[Path], files: SourceFiles) -> DataFrame:
    """The files of today's layout as `RAW_COLUMNS`: by Spark, those that Spark has no types for by pyarrow.

    Times, INT96 ones too, are instants in UTC.
    """
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    by_arrow: list[str] = []
    for path, given in zip(paths, files.paths, strict=True):
        file = open_file(path)
        if is_for_spark(file):
            kinds = sorted(f"{f.name} {f.type}" for f in file.schema_arrow if not pt.is_null(f.type))
            groups[_time_unit(path, file), *kinds].append(given)
        else:
            by_arrow.append(given)
    parts = [_read_alike(spark, given, files, kinds[0]) for kinds, given in sorted(groups.items())]
    if by_arrow:
        text, at = _read_text(spark, by_arrow, _CURRENT_COLUMNS), F.col("listened_at")
        times = {"listened_at": instant_of(at), "stamp": stamp_of(at)}
        parts.append(_as_raw(text, {c: c for c in _CURRENT_COLUMNS}, times, _CURRENT_COLUMNS, files))
    return reduce(DataFrame.unionByName, parts)


def _read_alike(spark: SparkSession, given: Sequence[str], files: SourceFiles, unit: str) -> DataFrame:
    """Files whose columns are the same. A column of nothing but nulls, which has no type, is not read."""
    path = files.behind[given[0]]
    schema = open_file(path).schema_arrow
    known = [field.name for field in schema if not pt.is_null(field.type)]
    names = columns_of(path, known, _CURRENT_COLUMNS)
    at = names["listened_at"]
    df = spark_reader(spark).parquet(*given)
    if unit == "milliseconds":
        # As Spark would read them, one that is too large for microseconds ends the job.
        counted = [StructField(f.name, LongType()) if f.name == at else f for f in df.schema]
        df = spark_reader(spark).schema(StructType(counted)).parquet(*given)
    if unit in _IN_MICROS:
        df = df.withColumn(at, F.expr(_IN_MICROS[unit].format(f"`{at}`")))
    times = {"listened_at": _column(at), "stamp": F.lit(None)}
    return _as_raw(df.withColumn(_URL, F.col("_metadata.file_path")), names, times, known, files)


# Counts as instants: INT64 nanoseconds are read as numbers (`musicrec.spark`). What is beyond the instants that
# Spark has becomes the last or the first of them; least and greatest pass a null over.
_IN_MICROS = {
    "milliseconds": "if({0} is null, null, "
    "timestamp_millis(greatest(least({0}, 9223372036854775), -9223372036854775)))",
    "nanoseconds": "timestamp_micros({0} div 1000)",
}


def _time_unit(path: Path, file: pq.ParquetFile) -> str:
    """What `listened_at` counts in: `milliseconds`, `microseconds`, `nanoseconds` or `INT96`.

    By the parquet type: the Arrow type beside it can be another.
    """
    own = columns_of(path, file.schema_arrow.names, ["listened_at"])["listened_at"]
    column = next(c for c in (file.schema.column(i) for i in range(len(file.schema))) if c.path == own)
    if column.physical_type == "INT96":
        return "INT96"
    return str(json.loads(column.logical_type.to_json())["timeUnit"])


def read_older(spark: SparkSession, paths: Sequence[Path], files: SourceFiles) -> DataFrame:
    """The files of the older layout as `RAW_COLUMNS`; `date` and `time` are in UTC.

    Read by pyarrow on the workers: Spark has no type for a parquet TIME.
    """
    df = _read_text(spark, files.paths, _OLDER_COLUMNS)
    day, clock = (F.trim(F.col(name)) for name in ("date", "time"))
    is_given = (day != "") & (clock != "")
    # Without a day or a clock time there is no time: midnight, or the day of the run, would be made up.
    text = F.when(is_given, F.concat_ws(" ", F.substring(day, 1, 10), clock))
    names = {name: name for name in ("user_id", "artist_name", "recording_name", "release_name")}
    return _as_raw(df, names, {"listened_at": instant_of(text), "stamp": stamp_of(text)}, _OLDER_COLUMNS, files)


_URL = "musicrec file"
_OLDER_COLUMNS = ("user_id", "artist_name", "release_name", "recording_name", "date", "time")
_CURRENT_COLUMNS = (*_REQUIRED[CURRENT], *_OPTIONAL[CURRENT])
_MBIDS = "artist_credit_mbids"


def _as_raw(
    df: DataFrame, names: Mapping[str, str], times: Mapping[str, Column], shown: Sequence[str], files: SourceFiles
) -> DataFrame:
    """`RAW_COLUMNS` of columns that a file calls `names`, and of `times`; the row as received are those `shown`."""
    source = {name: name for name in RAW_COLUMNS} | {"artist_mbids": _MBIDS}
    values = {
        name: _column(names[source[name]]).cast(kind) if source[name] in names else F.lit(None).cast(kind)
        for name, kind in RAW_COLUMNS.items()
    }
    values |= {name: value.cast(RAW_COLUMNS[name]) for name, value in times.items()}
    values["malformed"] = F.lit(False)
    texts = [name for name, kind in RAW_COLUMNS.items() if kind == "string" and name in names]
    faults = [~F.is_valid_utf8(values[name]) for name in texts]
    faults.append(F.exists(values["artist_mbids"], lambda x: ~F.is_valid_utf8(x)))
    values["undecoded"] = reduce(Column.__or__, [F.coalesce(fault, F.lit(False)) for fault in faults])
    # What is not text cannot be given to Python, which looks for ids.
    values |= {name: F.make_valid_utf8(values[name]) for name in texts}
    values["artist_mbids"] = F.transform(values["artist_mbids"], lambda x: F.make_valid_utf8(x))
    values["user_id"] = listener_column(values["user_id"])
    values["file"] = files.label(F.col(f"`{_URL}`"))
    values["row"] = F.to_json(F.struct(*map(_column, shown)), {"ignoreNullFields": "false"})
    return df.select([value.alias(name) for name, value in values.items()])


def _column(name: str) -> Column:
    return F.col(f"`{name.replace('`', '``')}`")


def _read_text(spark: SparkSession, given: Sequence[str], columns: Sequence[str]) -> DataFrame:
    """Columns as text, lists as lists of text, and `_URL` = the file's URL; a task a file."""
    paths = spark.createDataFrame([(path,) for path in given], "path string").repartition(len(given), "path")
    kinds = [f"`{name}` {'array<string>' if name == _MBIDS else 'string'}" for name in columns]
    return paths.mapInArrow(partial(_texts_of, tuple(columns)), ", ".join([*kinds, f"`{_URL}` string"]))


def _texts_of(columns: Sequence[str], batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """Each file whose path comes in, batch by batch."""
    for batch in batches:
        for given in batch.column(0).to_pylist():
            path = Path(given.removeprefix("file://"))
            file = open_file(path)
            there = columns_of(path, file.schema_arrow.names, columns)
            for rows in batches_of(path, file, list(there.values())):
                texts = [text_column(rows, there.get(name), name == _MBIDS) for name in columns]
                urls = pa.array([f"file://{quote(str(path))}"] * len(rows), pa.string())
                yield pa.RecordBatch.from_arrays([*texts, urls], [*columns, _URL])
