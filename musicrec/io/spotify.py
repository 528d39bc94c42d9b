"""Spotify catalogues and play counts as CSV files: which files are there, what each is, and its rows as text."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import IntegerType, LongType, StringType, StructField, StructType

from musicrec.errors import InputError
from musicrec.io.csv_forms import OPENERS, CsvForm, inspect, reading
from musicrec.io.csv_lines import blocks_of_lines
from musicrec.io.csv_records import Records, read_records
from musicrec.io.local_files import shown
from musicrec.io.spotify_schemas import CATALOGUE_SCHEMAS, CatalogueKind, name_columns, recognise
from musicrec.transforms.catalogue_text import LIST_OF

# What the reader adds to a file's own columns.
FILE, SOURCE_ID = "_file", "_source_id"
LINE, LINES = "_line", "_lines"
FAULT, WHY, CORRUPT = "_fault", "_why", "_corrupt_record"
_ADDED = (
    StructField(FILE, StringType()),
    StructField(SOURCE_ID, StringType()),
    StructField(LINE, LongType()),
    StructField(LINES, IntegerType()),
    StructField(FAULT, StringType()),
    StructField(WHY, StringType()),
    StructField(CORRUPT, StringType()),
)
_LISTED = ("artists", "id_artists", "genres")
# Names that the transforms give to what they add.
_RESERVED = (*(field.name for field in _ADDED), "_reason", *(f"{LIST_OF}{name}" for name in _LISTED))

_SUFFIXES = tuple(OPENERS)
_BATCH = 4096  # rows that go to Spark at once


@dataclass(frozen=True)
class Catalogue:
    """A CSV file that is known.

    Attributes
    ----------
    source_id : hash of the content, unpacked: a file that is renamed, moved or packed is the same source.
    name : the file's name.
    schema_name : the layout, a key of `CATALOGUE_SCHEMAS`.
    path : where it lies; a local or mounted path.
    form : how it is read.
    columns : its columns in the file's order, in the layout's spelling; no two are alike.
    """

    source_id: str
    name: str
    schema_name: str
    path: str
    form: CsvForm
    columns: tuple[str, ...]

    @property
    def kind(self) -> CatalogueKind:
        """Which bronze table its rows go to."""
        return CATALOGUE_SCHEMAS[self.schema_name].kind

    @property
    def shown_path(self) -> str:
        """The path as tables and messages name it."""
        return shown(Path(self.path))


def find_catalogues(sources: Sequence[str]) -> list[Catalogue]:
    """The CSV files of files and folders (searched to the bottom), each content once, by layout, name and content.

    Every file is read to its end.

    Raises
    ------
    InputError : a path that is not there, a folder without CSV files, a file that is empty, broken or unknown.
    """
    order = list(CATALOGUE_SCHEMAS)
    paths = sorted({path for source in sources for path in _paths(source)})
    found: dict[str, Catalogue] = {}
    for path in paths:
        catalogue = _recognise_file(path)
        found.setdefault(catalogue.source_id, catalogue)
    return sorted(found.values(), key=lambda c: (order.index(c.schema_name), c.name, c.source_id))


def read_catalogues(spark: SparkSession, catalogues: Sequence[Catalogue]) -> list[tuple[str, DataFrame]]:
    """The rows of files, every column as text, empty ones null; with the layout's name, one DataFrame a set of columns.

    A task reads a file. Beside the file's columns each row has `_file`, `_source_id`, `_line` (where it starts, from 1)
    and `_lines` (how many that are not blank it takes). A row that cannot be read has `_fault` (`malformed`,
    `bad_encoding`, `too_long`), `_why` and its text in `_corrupt_record`, and no columns. A column without a name is
    called `_column_N`, N from 0.
    """
    alike: dict[tuple[str, tuple[str, ...]], list[Catalogue]] = defaultdict(list)
    for catalogue in catalogues:
        alike[catalogue.schema_name, catalogue.columns].append(catalogue)
    return [(schema_name, _read(spark, columns, files)) for (schema_name, columns), files in alike.items()]


def _read(spark: SparkSession, columns: tuple[str, ...], files: Sequence[Catalogue]) -> DataFrame:
    schema = StructType([*_ADDED, *(StructField(name, StringType()) for name in columns)])

    def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for place in batch.column(0).to_pylist():
                yield from arrow_rows(files[place])

    return spark.range(0, len(files), 1, len(files)).mapInArrow(rows, schema)


def arrow_rows(catalogue: Catalogue) -> Iterator[pa.RecordBatch]:
    """A file's rows as `read_catalogues` describes them, some thousands at a time."""
    form = catalogue.form
    with reading(Path(catalogue.path)) as stream:
        blocks = blocks_of_lines(stream, form.encoding)
        together = Records()
        for records in read_records(blocks, form.separator, form.header_lines, form.header):
            together.extend(records)
            if len(together.rows) >= _BATCH:
                yield _as_arrow(catalogue, together)
                together = Records()
        yield _as_arrow(catalogue, together)


def _as_arrow(catalogue: Catalogue, records: Records) -> pa.RecordBatch:
    width = len(catalogue.columns)
    count = len(records.rows)
    fields = zip(*(row or [""] * width for row in records.rows), strict=True) if count else [()] * width
    faults = [records.faults.get(place) for place in range(count)] if records.faults else [None] * count
    added = [
        pa.array([catalogue.shown_path] * count, pa.string()),
        pa.array([catalogue.source_id] * count, pa.string()),
        pa.array(records.lines, pa.int64()),
        pa.array(records.spans, pa.int32()),
        pa.array([fault and fault.kind for fault in faults], pa.string()),
        pa.array([fault and fault.why for fault in faults], pa.string()),
        pa.array([fault and fault.text for fault in faults], pa.string()),
    ]
    own = [pa.array([value or None for value in values], pa.string()) for values in fields]
    names = [*(field.name for field in _ADDED), *catalogue.columns]
    return pa.RecordBatch.from_arrays([*added, *own], names=names)


def _paths(source: str) -> list[Path]:
    try:
        return [path.resolve() for path in _csv_files(source)]
    except (OSError, ValueError) as error:  # a name that is too long, or no name at all
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(shown(Path(source)), "a CSV file or a folder of CSV files", why) from error


def _csv_files(source: str) -> Iterable[Path]:
    path = Path(source)
    if path.is_file():
        if not path.name.lower().endswith(_SUFFIXES):
            raise InputError(shown(path), f"a CSV file ({', '.join(_SUFFIXES)})", "a file of another name")
        return [path]
    if not path.is_dir():
        raise InputError(shown(path), "a CSV file or a folder of CSV files", "nothing there")
    # What begins with "._" is what macOS writes beside a file.
    inside = [
        p for p in path.rglob("*") if p.name.lower().endswith(_SUFFIXES) and not p.name.startswith("._") and p.is_file()
    ]
    if not inside:
        raise InputError(shown(path), f"a folder with CSV files ({', '.join(_SUFFIXES)})", "none in it")
    return inside


def _recognise_file(path: Path) -> Catalogue:
    form = inspect(path, is_known=_is_known)
    how_read = "" if form.encoding.startswith("utf") else f" (read as {form.encoding}, since they are not UTF-8)"
    schema = recognise(form.header, shown(path), how_read)
    if not form.row_lines:
        raise InputError(shown(path), "rows under the header", "none")
    columns = name_columns(form.header, schema, _RESERVED)
    return Catalogue(form.content_id, shown(Path(path.name)), schema.name, os.fspath(path), form, columns)


def _is_known(header: Sequence[str]) -> bool:
    try:
        recognise(header, "")
    except InputError:
        return False
    return True
