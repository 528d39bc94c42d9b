"""Files and folders whatever their names: how Spark is given them, what tables call them, and which cannot be.

Spark's paths are patterns, in which `[ ] { } * ? \\` have a meaning, unless it is told otherwise. Hadoop cannot open a
file whose name holds a colon, and the JVM none whose name is not text; such a file is given by a link.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyspark.sql import Column, DataFrameReader, SparkSession
from pyspark.sql import functions as F

from musicrec.errors import InputError

# What delta-rs finds no folder by: it takes `\` for `/`, decodes `%20`, and knows no control characters.
_NOT_FOR_DELTA = re.compile(r"[\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")
# What it can read but not write: its writer takes the folder's name for that of a host.
_ONLY_READ = re.compile(r"[\[\]|^]")

_STAGED = "musicrec-staged-"


class SourceFiles:
    """The files of a source, to be read by Spark and named in tables.

    Parameters
    ----------
    folder : which holds the files.
    files : as they are.
    staging : their own folder for links to those that Spark cannot open by name; the workers must see it.
    copies : file → what is to be read in its place, below `staging`.

    Attributes
    ----------
    paths : what Spark is given, in the order of the files.
    behind : what Spark is given → the file.

    Raises
    ------
    InputError : a link is needed and cannot be made.
    """

    def __init__(
        self, folder: Path, files: Sequence[Path], staging: Path, copies: Mapping[Path, Path] | None = None
    ) -> None:
        self._folder, self._staging = folder, staging
        self._labels: list[str] = []
        self.behind: dict[str, Path] = {}
        copies = copies or {}
        self.paths = [self._given(path, copies.get(path)) for path in files]

    def label(self, url: Column) -> Column:
        """A file's name relative to the folder, from its URL as `_metadata.file_path` has it."""
        # All files of a folder whose name is no text are staged.
        names = self._within(url, self._folder) if _is_text(str(self._folder)) else F.lit(None)
        if not self._labels:
            return names
        number = F.regexp_extract(url, rf"/{_STAGED}(\d+)/\d+[^/]*$", 1).try_cast("int")
        return F.coalesce(F.get(F.array(*map(F.lit, self._labels)), number), names)

    def _given(self, path: Path, copy: Path | None) -> str:
        own = str(path)
        if copy is None and ":" not in path.name and _is_text(own):
            self.behind[f"file://{own}"] = path
            return f"file://{own}"
        link = self._staging / f"{_STAGED}{len(self._labels)}" / f"{len(self._labels)}{_ending(path)}"
        self._labels.append(shown(path.relative_to(self._folder)))
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(copy or path)
        except OSError as error:
            expected = "a name without colons and in UTF-8, or a staging folder that can hold links"
            raise InputError(path, expected, f"{link.parent}: {error.strerror}") from error
        self.behind[f"file://{link}"] = path
        return f"file://{link}"

    @staticmethod
    def _within(url: Column, folder: Path) -> Column:
        # Where nothing is escaped: cut off without decoding, which would cost more than all else of a row.
        def after(text: Column) -> Column:
            start = F.instr(text, f"{folder.as_posix()}/")
            return F.when(start > 0, F.substr(text, start + F.lit(len(f"{folder.as_posix()}/"))))

        decoded = F.url_decode(F.replace(url, F.lit("+"), F.lit("%2B")))
        plain = F.when(~F.contains(url, F.lit("%")), after(url))
        return F.coalesce(plain, after(decoded), decoded)


def spark_reader(spark: SparkSession) -> DataFrameReader:
    """A reader that takes a path as it is: no pattern, and no column from a folder that is named `key=value`."""
    return spark.read.option("__globPaths__", "false").option("recursiveFileLookup", "true")


def shown(path: Path | str) -> str:
    """A path as text; bytes that are none as \\xNN."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def check_root(root: str) -> None:
    """Refuse a local folder for tables that Spark would find, but delta-rs, with which apps read, would not.

    Raises
    ------
    InputError : its name holds a character that delta-rs takes for something else.
    """
    found = _NOT_FOR_DELTA.search(root)
    if found and "://" not in root:
        expected = "a folder without \\, control characters or % before two hexadecimal digits"
        raise InputError(f"lakehouse.root {root}", expected, repr(found[0]))
    if not _is_text(root):
        raise InputError(f"lakehouse.root {shown(root)}", "a name in UTF-8", "other bytes")


def is_written_by_delta_rs(root: str) -> bool:
    """Whether delta-rs can write a table in a folder of this local root."""
    return not _ONLY_READ.search(root)


def _is_text(path: str) -> bool:
    return path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)


def _ending(path: Path) -> str:
    return path.suffix if path.suffix.isascii() and ":" not in path.suffix else ""
