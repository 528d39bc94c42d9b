"""The files of the protocols: found by pattern in any folder, plain or .gz, every line checked."""

from __future__ import annotations

import gzip
import zlib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicrec.errors import InputError

Ints = NDArray[np.int64]


def one_file(folder: Path, pattern: str, but: str | None = None) -> Path:
    """The one file whose name, without .gz, fits `pattern` and not `but`.

    Raises
    ------
    InputError : none does, or more than one.
    """
    names = {path: path.name.removesuffix(".gz") for path in sorted(folder.iterdir()) if path.is_file()}
    fits = [path for path, name in names.items() if fnmatch(name, pattern) and not (but and fnmatch(name, but))]
    if len(fits) != 1:
        found = ", ".join(path.name for path in fits) or "none"
        raise InputError(folder, f"one file {pattern} or {pattern}.gz" + (f" but {but}" if but else ""), found)
    return fits[0]


def read_lines(path: Path) -> list[str]:
    """The lines that are not blank.

    Raises
    ------
    InputError : there are none, or the file cannot be read as text.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        lines = [line for line in raw.decode("utf-8").splitlines() if line.strip()]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(path, "lines of text", str(error)) from None
    if not lines:
        raise InputError(path, "lines", "none")
    return lines


def ints_by_line(path: Path) -> list[Ints]:
    """The whole numbers ≥ 0 of each line, any number of them."""
    return [_ints(path, line, line.split()) for line in read_lines(path)]


def pairs_by_line(path: Path) -> tuple[Ints, Ints]:
    """Of lines `user item item ...`, the users and items, one place a pair, each pair once."""
    rows = ints_by_line(path)
    users = np.repeat([row[0] for row in rows], [len(row) - 1 for row in rows]).astype(np.int64)
    items = np.concatenate([row[1:] for row in rows])
    if not len(items):
        raise InputError(path, "items after a listener", "none")
    cells = np.unique(users << 32 | items)
    return cells >> 32, cells & (2**32 - 1)


def read_columns(path: Path, columns: int, header: bool = False) -> list[Ints]:
    """Columns of whole numbers ≥ 0, divided by blanks or tabs.

    Raises
    ------
    InputError : a line has another number of columns, or something else in it.
    """
    lines = read_lines(path)[1 if header else 0 :]
    flat = " ".join(lines).split()
    try:
        values = np.array(flat, dtype=np.int64)
    except (ValueError, OverflowError):
        values = np.full(1, -1)
    if len(values) == columns * len(lines) and values.min(initial=0) >= 0:
        return list(values.reshape(-1, columns).T)
    for line in lines:
        if len(_ints(path, line, line.split())) != columns:
            raise InputError(path, f"{columns} columns in a line", line[:60])
    raise InputError(path, f"{columns} columns of whole numbers", "others")


def read_negatives(path: Path) -> tuple[Ints, Ints]:
    """Of lines `(user,item) item × 99`: the pairs [lines × 2] and the others [lines × 99]."""
    rows = []
    for line in read_lines(path):
        head, _, rest = line.partition(")")
        row = _ints(path, line, [*head.removeprefix("(").split(","), *rest.split()])
        if len(row) != 101:
            raise InputError(path, "(listener,item) and 99 items in a line", f"{len(row)} numbers: {line[:60]}")
        rows.append(row)
    table = np.array(rows)
    return table[:, :2], table[:, 2:]


def _ints(path: Path, line: str, words: list[str]) -> Ints:
    try:
        values = np.array(words, dtype=np.int64)
    except (ValueError, OverflowError):
        values = np.full(1, -1)
    if values.min(initial=0) < 0:
        raise InputError(path, "whole numbers from 0 on", line[:60]) from None
    return values
