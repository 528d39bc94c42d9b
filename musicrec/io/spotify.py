"""Spotify catalogues and play counts as CSV files: which files are there, what each is, and its rows as text."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from musicrec.errors import InputError
from musicrec.io.spotify_schemas import CATALOGUE_SCHEMAS, CatalogueKind, recognise

# What the reader adds to a file's own columns.
CORRUPT, FILE, SOURCE_ID = "_corrupt_record", "_file", "_source_id"

_SUFFIXES = (".csv", ".csv.gz")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Catalogue:
    """A CSV file that is known.

    Attributes
    ----------
    source_id : hash of the content, unpacked: a file that is renamed, moved or packed is the same source.
    name : the file's name.
    schema_name : the layout, a key of `CATALOGUE_SCHEMAS`.
    path : where it lies; a local or mounted path.
    header : its columns in the file's order.
    """

    source_id: str
    name: str
    schema_name: str
    path: str
    header: tuple[str, ...]

    @property
    def kind(self) -> CatalogueKind:
        """Which bronze table its rows go to."""
        return CATALOGUE_SCHEMAS[self.schema_name].kind


def find_catalogues(sources: Sequence[str]) -> list[Catalogue]:
    """The CSV files of files and folders (searched to the bottom), each content once, by layout, name and content.

    Raises
    ------
    InputError : a path that is not there, a folder without CSV files, a file that is empty, broken or unknown.
    """
    order = list(CATALOGUE_SCHEMAS)
    paths = sorted({path.resolve() for source in sources for path in _csv_files(source)})
    found: dict[str, Catalogue] = {}
    for path in paths:
        catalogue = _recognise_file(path)
        found.setdefault(catalogue.source_id, catalogue)
    return sorted(found.values(), key=lambda c: (order.index(c.schema_name), c.name, c.source_id))


def read_catalogue(spark: SparkSession, catalogue: Catalogue) -> DataFrame:
    """A file's rows, every column as text; a row that breaks the layout has its text in `_corrupt_record`.

    `_file` and `_source_id` say where a row is from. A column without a name is called `_column_N`, N from 0.
    """
    names = [column or f"_column_{place}" for place, column in enumerate(catalogue.header)]
    schema = StructType([StructField(name, StringType()) for name in [*names, CORRUPT]])
    rows = (
        spark.read.schema(schema)
        .option("header", True)
        .option("multiLine", True)
        .option("quote", '"')
        .option("escape", '"')
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", CORRUPT)
        # A pruned reader does not see that a row has too few or too many columns.
        .option("columnPruning", False)
        .csv(Path(catalogue.path).as_uri())
    )
    return rows.withColumns({FILE: F.lit(catalogue.path), SOURCE_ID: F.lit(catalogue.source_id)})


def _csv_files(source: str) -> Iterable[Path]:
    path = Path(source)
    if path.is_file():
        if not path.name.lower().endswith(_SUFFIXES):
            raise InputError(source, "a .csv or .csv.gz file", "a file of another name")
        return [path]
    if not path.is_dir():
        raise InputError(source, "a CSV file or a folder of CSV files", "nothing there")
    inside = [p for p in path.rglob("*") if p.is_file() and p.name.lower().endswith(_SUFFIXES)]
    if not inside:
        raise InputError(source, "a folder with .csv or .csv.gz files", "none in it")
    return inside


def _recognise_file(path: Path) -> Catalogue:
    try:
        with _open(path) as content:
            header, has_rows = _read_header(content, path)
        schema = recognise(header, str(path))
        if not has_rows:
            raise InputError(path, "rows under the header", "none")
        return Catalogue(_content_hash(path), path.name, schema.name, str(path), tuple(header))
    except UnicodeDecodeError as error:
        raise InputError(path, "UTF-8 text", f"another encoding ({error.reason} at byte {error.start})") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(path, "a whole gzip file", str(error)) from error
    except csv.Error as error:
        raise InputError(path, "a CSV header", str(error)) from error
    except OSError as error:
        raise InputError(path, "a file that can be read", error.strerror or str(error)) from error


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def _read_header(content: IO[bytes], path: Path) -> tuple[list[str], bool]:
    """The header's columns and whether a row follows it."""
    reader = csv.reader(io.TextIOWrapper(content, encoding="utf-8-sig", newline=""))
    rows = (row for row in reader if row)
    header = next(rows, None)
    if header is None:
        raise InputError(path, "a CSV header", "an empty file")
    return [column.strip() for column in header], next(rows, None) is not None


def _content_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with _open(path) as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()[:32]
