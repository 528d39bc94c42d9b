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
    has_files = any(child.name.lower().endswith((_PARQUET, _LINES)) and child.is_file() for child in folder.iterdir())
    return has_files or _is_marked(folder) or bool(_lines(folder))


def others_below(folder: Path) -> list[Path]:
    """What in a folder may be, or hold, further dumps; with markers in it all below is its own."""
    if _is_marked(folder):
        return []
    children = sorted(folder.iterdir())
    if is_dump(folder):
        children = [child for child in children if child.is_file() or not _holds_its_listens(child)]
    return [child for child in children if not child.name.startswith(".") and child.name != "__MACOSX"]


def data_files(folder: Path) -> list[list[Path]]:
    """The files of a dump, those of parquet and those of JSON apart, each in the order of their numbers.

    Parquet lies in the folder, or in a folder of it that is itself called .parquet, as Spark writes it. JSON lies in
    it, or in a folder `listens` or of a year; with markers beside, .listens may lie anywhere below. Files of other
    names than .listens count in such a folder, or when they are called listens….
    """
    parquet = [part for child in _parquet(folder) for part in ([child] if not child.is_dir() else _parquet(child))]
    parquet = [path for path in parquet if _is_own(path, folder)]
    return [
        sorted(paths, key=lambda path: _by_number(path.relative_to(folder)))
        for paths in (parquet, _lines(folder))
        if paths
    ]


def places_of(marker: str, folder: Path) -> list[Path]:
    """Where a dump holds the file `marker`: at its root, below, else beside `listens`; not where another dump does."""
    if _is_marked(folder):
        found = list(folder.rglob(marker))
    else:
        found = [path for child in folder.iterdir() if _holds_its_listens(child) for path in child.rglob(marker)]
    beside = [folder.parent / marker] if folder.name == "listens" else []
    return [path for path in (*sorted(found, key=lambda path: (len(path.parts), path)), *beside) if path.is_file()]


def is_json(path: Path) -> bool:
    """Whether a data file is one of JSON."""
    return not path.name.lower().endswith(_PARQUET)


def _is_marked(folder: Path) -> bool:
    return any((folder / name).is_file() for name in MARKERS)


def _holds_its_listens(folder: Path) -> bool:
    return bool(_OF_LISTENS.fullmatch(folder.name)) or folder.name.lower().endswith(_PARQUET)


def _parquet(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name.lower().endswith(_PARQUET))


def _lines(folder: Path) -> list[Path]:
    if _is_marked(folder) or _OF_LISTENS.fullmatch(folder.name):
        found = list(folder.rglob("*"))
    else:
        below = (child for child in folder.iterdir() if child.is_dir() and _OF_LISTENS.fullmatch(child.name))
        found = [*folder.iterdir(), *(path for child in below for path in child.rglob("*"))]
    return [path for path in found if _is_own(path, folder) and _is_listens(path, folder)]


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
