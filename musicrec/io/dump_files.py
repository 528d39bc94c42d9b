"""Which files of a folder are listens, whoever packed it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from musicrec.io.json_lines import ENDINGS
from musicrec.io.listenbrainz_json import OTHERS

MARKERS = ("END_TIMESTAMP", "TIMESTAMP", "START_TIMESTAMP", "SCHEMA_SEQUENCE")
_LINES, _PARQUET = ".listens", ".parquet"
_OF_LISTENS = re.compile(r"listens|\d{4}")


def is_data_file(path: Path) -> bool:
    """Whether a file that is named as a source by itself can hold listens."""
    return path.name.lower().endswith((_PARQUET, _LINES, *ENDINGS)) and path.name not in OTHERS


def is_dump(folder: Path) -> bool:
    """Whether the folder itself is a dump, rather than one that may hold some."""
    children = list(folder.iterdir())
    has_markers = any(child.name in MARKERS for child in children)
    has_files = any(child.is_file() and child.name.lower().endswith((_PARQUET, _LINES)) for child in children)
    has_tree = any(_OF_LISTENS.fullmatch(child.name) or _is_listens(child, folder) for child in children)
    return has_markers or has_files or (has_tree and bool(data_files(folder)))


def data_files(folder: Path) -> list[list[Path]]:
    """The files of a dump, those of parquet and those of JSON apart, each in the order of their numbers.

    Parquet lies in the folder, or in a folder of it that is itself called .parquet, as Spark writes it. JSON may lie
    anywhere below; files of other names than .listens only in a folder `listens` or of a year, or called listens….
    """
    parquet = [part for child in _parquet(folder) for part in ([child] if not child.is_dir() else _parquet(child))]
    lines = [path for path in folder.rglob("*") if path.is_file() and _is_listens(path, folder)]
    found = [[path for path in paths if _is_own(path, folder)] for paths in (parquet, lines)]
    return [sorted(paths, key=lambda path: _by_number(path.relative_to(folder))) for paths in found if paths]


def is_json(path: Path) -> bool:
    """Whether a data file is one of JSON."""
    return not path.name.lower().endswith(_PARQUET)


def _parquet(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name.lower().endswith(_PARQUET))


def _is_listens(path: Path, folder: Path) -> bool:
    name = path.name.lower()
    if name.endswith(_LINES):
        return True
    above = (folder.name, *path.relative_to(folder).parts[:-1])
    is_placed = any(_OF_LISTENS.fullmatch(part) for part in above) or name.startswith("listens")
    return name.endswith(ENDINGS) and name not in OTHERS and is_placed


def _is_own(path: Path, folder: Path) -> bool:
    """Not what a file system, Spark or macOS leaves beside the data."""
    is_file = not path.is_dir()
    return is_file and not path.name.startswith((".", "_")) and "__MACOSX" not in path.relative_to(folder).parts


def _by_number(path: Path) -> tuple[tuple[int, str], ...]:
    """2.parquet before 10.parquet."""
    return tuple((int(m[0]) if (m := re.match(r"\d+", part)) else -1, part) for part in path.parts)
