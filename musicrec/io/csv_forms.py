"""What a CSV file is, found by reading it once from end to end: its packing, encoding, lines, header and separator."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import hashlib
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from musicrec.errors import InputError
from musicrec.io.csv_lines import blocks_of_lines, is_blank
from musicrec.io.csv_records import read_header
from musicrec.io.local_files import shown
from musicrec.transforms.folding import BLANKS

SEPARATORS = ",;\t|"

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UTF8 = "utf-8-sig"  # takes a file without the mark too
_WESTERN = "cp1252"  # what is called latin-1 and ends in Windows' quotes and dashes
# In Western text odd letters stand among ASCII ones; where so many of their runs are long, it is another alphabet.
_MOST_LONG = 0.25
# Three odd bytes that are neither quotes, dashes, spaces nor marks such as ¡ « ®.
_LONG_RUN = re.compile(
    "[\udc8a\udc8c\udc8e\udc9a\udc9c\udc9e\udc9f\udca2-\udca8\udcaa\udcac\udcb1-\udcb6\udcb8-\udcba\udcbc-\udcbe\udcc0-\udcff]{3}"
)
_ODD_BYTES = re.compile("[\udc80-\udcff]+")
# What no one writes in Western text: signs within words, and at the end of one a capital or a sign that opens. So look
# the letters of DOS and old Macs ("Beyonc‚", "Bj”rk", "BeyoncŽ").
_MISPLACED = re.compile(
    "(?<=[A-Za-z])[\udc80-\udc84\udc86-\udc89\udc8b\udc93-\udc95\udc98\udc99\udc9b\udca1-\udcac\udcaf\udcb1-\udcb3\udcb6\udcb8-\udcbf](?=[A-Za-z])"
    "|(?<=[a-z])[\udc82-\udc84\udc86-\udc8c\udc8e\udc9f]"
)
_BLANKS = BLANKS.replace("\0", "")
_MOST_MISPLACED = 0.1
_NO_CP1252 = re.compile("[\udc81\udc8d\udc8f\udc90\udc9d]")


@dataclass(frozen=True)
class CsvForm:
    """How a file is read.

    Attributes
    ----------
    content_id : hash of the unpacked bytes.
    encoding : a codec's name; utf-8-sig also where some lines are not UTF-8.
    separator : one letter.
    header : its columns in the file's order, trimmed.
    header_lines : the lines up to and with the header.
    row_lines : the lines behind the header that are not blank.
    """

    content_id: str
    encoding: str
    separator: str
    header: tuple[str, ...]
    header_lines: int
    row_lines: int


def inspect(path: Path, is_known: Callable[[Sequence[str]], bool]) -> CsvForm:
    """Read a file to its end and say what it is.

    Parameters
    ----------
    path : ends in one of `OPENERS`.
    is_known : whether a header is one that is looked for; of the separators, the first that makes a known one is taken,
        else the one that makes most columns.

    Raises
    ------
    InputError : it cannot be read, is damaged or empty, or is no text.
    """
    with reading(path) as stream:
        mark = stream.read(len(codecs.BOM_UTF32_LE))
    marked = next((name for bom, name in _MARKS if mark.startswith(bom)), _UTF8)
    look = _Look(has_letters=mark.startswith(codecs.BOM_UTF8))
    lines = 0
    with reading(path) as stream:
        for block in blocks_of_lines(stream, marked, look.see):
            lines += _filled(block)
    encoding = marked if marked != _UTF8 or look.is_utf8() else _WESTERN
    with reading(path) as stream:
        head = next(blocks_of_lines(stream, encoding), [])
    separator, columns, header_lines = _header(path, head, is_known)
    rows = lines - _filled(head[:header_lines])
    return CsvForm(look.content_id(), encoding, separator, columns, header_lines, rows)


def _filled(lines: list[str]) -> int:
    """How many lines are not blank."""
    return len(lines) - sum(map(is_blank, lines))


def _header(path: Path, head: list[str], is_known: Callable[[Sequence[str]], bool]) -> tuple[str, tuple[str, ...], int]:
    """The separator, the columns and how many lines they and what is above them take."""
    found = []
    try:
        for separator in SEPARATORS:
            columns, lines = read_header([head], separator)
            found.append((separator, tuple(tidy_name(column) for column in columns), lines))
    except csv.Error as error:
        raise InputError(shown(path), "a CSV header", str(error)) from error
    best = next((each for each in found if is_known(each[1])), max(found, key=lambda each: len(each[1])))
    if not best[2]:
        raise InputError(shown(path), "a CSV header", "an empty file")
    if any("\0" in column for column in best[1]):
        raise InputError(shown(path), "a CSV header as text", "zero bytes (no text, or UTF-16 without its mark)")
    return best


class _Look:
    """What the whole of a file shows: its hash, and whether it is UTF-8 where it has no mark that says so."""

    def __init__(self, has_letters: bool) -> None:
        self._digest = hashlib.sha256()
        self._has_letters = has_letters
        self._runs = self._long_runs = self._misplaced = 0
        self._is_western = True

    def see(self, chunk: bytes, text: str) -> None:
        """Take the next piece, as bytes and decoded."""
        self._digest.update(chunk)
        if text.isascii():
            return
        runs = _ODD_BYTES.findall(text)
        self._runs += len(runs)
        self._long_runs += sum(map(bool, map(_LONG_RUN.search, runs)))
        self._misplaced += len(_MISPLACED.findall(text)) if runs else 0
        self._is_western &= not any(map(_NO_CP1252.search, runs))
        self._has_letters |= not (_ODD_BYTES.sub("", text) if runs else text).isascii()

    def is_utf8(self) -> bool:
        """Whether what is not ASCII is to be read as UTF-8: all of it can be, or some of it is, or it is no cp1252."""
        is_usual = self._long_runs <= _MOST_LONG * self._runs and self._misplaced <= _MOST_MISPLACED * self._runs
        is_western = self._is_western and is_usual
        return not self._runs or self._has_letters or not is_western

    def content_id(self) -> str:
        """The hash of the bytes."""
        return self._digest.hexdigest()[:32]


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked.

    Raises
    ------
    InputError : it cannot be read, or its packing is damaged or cut short.
    """
    ending = next(ending for ending in sorted(OPENERS, key=len, reverse=True) if path.name.lower().endswith(ending))
    try:
        with OPENERS[ending](path) as stream:
            yield stream
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise InputError(shown(path), f"a whole {ending} file", str(error)) from error
    except UnicodeDecodeError as error:
        expected = f"{error.encoding} text, as the mark at its beginning says"
        raise InputError(shown(path), expected, f"bytes that are not ({error.reason})") from error
    except OSError as error:
        raise InputError(shown(path), "a file that can be read", error.strerror or str(error)) from error


def tidy_name(column: str) -> str:
    """A column's name without what is not seen around it; odd bytes as text."""
    return column.strip(_BLANKS).encode("utf-8", "backslashreplace").decode("utf-8")


def _open_plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _open_gzip(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb"))


def _open_bz2(path: Path) -> IO[bytes]:
    return cast(IO[bytes], bz2.open(path, "rb"))


def _open_xz(path: Path) -> IO[bytes]:
    return cast(IO[bytes], lzma.open(path, "rb"))


def _open_zip(path: Path) -> IO[bytes]:
    """The one CSV file of a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".csv") and not _is_hidden(name)]
            if len(names) == 1:
                return archive.open(names[0])
    except (RuntimeError, NotImplementedError) as error:  # a password, an unusual compression or version
        raise InputError(shown(path), "an archive that can be unpacked", str(error)) from error
    raise InputError(shown(path), "one .csv file in the archive", f"{len(names)} of them")


def _is_hidden(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


OPENERS: Mapping[str, Callable[[Path], IO[bytes]]] = {
    ".csv": _open_plain,
    ".csv.gz": _open_gzip,
    ".csv.bz2": _open_bz2,
    ".csv.xz": _open_xz,
    ".csv.zip": _open_zip,
}
