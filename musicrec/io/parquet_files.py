"""Parquet from anywhere: columns by name in any case, texts however they are packed, and which files Spark can read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from musicrec.errors import InputError


def open_file(path: Path) -> pq.ParquetFile:
    """The file with its footer read.

    Raises
    ------
    InputError : it is not parquet, cut short or encrypted.
    """
    try:
        # A name in bytes: pyarrow takes no other than UTF-8 as text.
        return pq.ParquetFile(pa.OSFile(os.fsencode(path)))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(path, "a complete parquet file", _first_line(error)) from error


def batches_of(path: Path, file: pq.ParquetFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns, batch by batch.

    Raises
    ------
    InputError : the file has a hole.
    """
    try:
        yield from file.iter_batches(columns=list(columns))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(path, "a parquet file that can be read to its end", _first_line(error)) from error


def columns_of(path: Path, names: Sequence[str], wanted: Iterable[str]) -> dict[str, str]:
    """What the file calls each wanted column that it has: by that very name, else by one in another case.

    Raises
    ------
    InputError : the very name is there twice, or is not, and several in another case are.
    """
    found = {}
    for name in wanted:
        alike = [c for c in names if c.lower() == name]
        same = [c for c in alike if c == name] or alike
        if len(same) > 1:
            raise InputError(path, f"one column {name}", f"several: {', '.join(same)}")
        if same:
            found[name] = same[0]
    return found


def is_for_spark(file: pq.ParquetFile) -> bool:
    """Whether Spark reads all columns as they are meant; it takes names that differ in case only for one."""
    schema = file.schema_arrow
    lowered = [name.lower() for name in schema.names]
    return len(set(lowered)) == len(lowered) and all(map(_is_sparks, schema.types))


def text_column(rows: pa.RecordBatch, name: str | None, is_list: bool) -> pa.Array:
    """A column as text, or as lists of text: those of lists of lists are flattened. Nulls where there is none."""
    kind = pa.list_(pa.string()) if is_list else pa.string()
    if name is None or pt.is_null(rows.schema.field(name).type):
        return pa.nulls(len(rows), kind)
    column = rows.column(name)
    if not is_list:
        return as_text(column)
    # By way of bytes: what is not UTF-8 stays as it is.
    lists = [_flat(x) for x in column.cast(_as_bytes(column.type)).to_pylist()]
    return pa.array(lists, pa.list_(pa.binary())).cast(options=_options(kind))


def as_text(column: pa.Array) -> pa.Array:
    """As text, times as in SQL; bytes that are not UTF-8 stay as they are."""
    if pt.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pt.is_timestamp(column.type):
        # Instants with a zone as that in UTC; no text of nanoseconds is a time to Spark.
        unit = "us" if column.type.unit == "ns" else column.type.unit
        column = column.cast(pa.timestamp(unit), safe=False)
    return column.cast(options=_options(pa.string()))


def _options(kind: pa.DataType) -> pc.CastOptions:
    return pc.CastOptions(target_type=kind, allow_invalid_utf8=True)


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    return pa.list_(_as_bytes(kind.value_type)) if element_of(kind) is not None else pa.binary()


def _flat(value: Any) -> Any:
    """The lowest elements of lists of lists, without nulls; a null list stays null."""
    if not isinstance(value, list):
        return value
    parts = [part for part in value if part is not None]
    return [x for part in parts for x in (_flat(part) if isinstance(part, list) else (part,))]


def unpacked(kind: pa.DataType) -> pa.DataType:
    """Without the dictionary that a column is packed with."""
    return unpacked(kind.value_type) if pt.is_dictionary(kind) else kind


def element_of(kind: pa.DataType) -> pa.DataType | None:
    """The type of a list's elements, of lists of lists too; None where it is no list."""
    kind = unpacked(kind)
    if not (pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)):
        return None
    return element_of(kind.value_type) or unpacked(kind.value_type)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text; bytes count, which some writers call text."""
    kind = unpacked(kind)
    return any(is_kind(kind) for is_kind in (pt.is_string, pt.is_large_string, pt.is_binary, pt.is_large_binary))


def _is_sparks(kind: pa.DataType) -> bool:
    kind = unpacked(kind)
    if pt.is_list(kind) or pt.is_large_list(kind):
        return element_of(kind) == unpacked(kind.value_type) and _is_sparks(kind.value_type)
    simple = (pt.is_integer, pt.is_floating, pt.is_boolean, pt.is_null, pt.is_date, pt.is_decimal, pt.is_timestamp)
    return is_text(kind) or any(is_kind(kind) for is_kind in simple)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
