"""ListenBrainz dumps: found, checked before any table is touched, and read into one set of columns.

What metabrainz/listenbrainz-server writes: `listenbrainz-spark-dump-ID-YYYYMMDD-HHMMSS-{full,incremental}.tar` with
N.parquet files, and `listenbrainz-listens-dump-ID-...-{full,incremental}.tar.{zst,xz}` with listens/YYYY/M.listens,
each in one folder of that name beside SCHEMA_SEQUENCE, COPYING and the times: START_TIMESTAMP and END_TIMESTAMP, or
in full dumps of the service just TIMESTAMP. An increment is cut by when a listen came in, so its listens can be old.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io import listenbrainz_json, listenbrainz_parquet
from musicrec.io.archives import archive_stem, extract
from musicrec.io.listenbrainz_parquet import CURRENT, OLDER

JSON = "json"
_MARKERS = ("END_TIMESTAMP", "TIMESTAMP", "START_TIMESTAMP", "SCHEMA_SEQUENCE")
# The other archives that the service puts beside those of the listens.
_NOT_LISTENS = re.compile(r"listenbrainz-(public|private|statistics|feedback|sample)\b")
_NAME_TIME = re.compile(r"-(\d{8})-(\d{6})(?:-|$)")
_HASHED_WHOLE_BYTES = 64 << 20


@dataclass(frozen=True)
class Dump:
    """A dump, unpacked.

    Attributes
    ----------
    source_id : the same wherever the dump lies and whether or not it is packed: a hash of its format, end, file names
        and sizes, and, up to 64 MiB, of its contents.
    name : of its folder or archive.
    format : `parquet`, `parquet-older` or `json`.
    kind : `full` or `incremental`.
    started_at, ended_at : the period it covers, UTC, as it says itself; None where it does not.
    files : its data files in order.
    """

    source_id: str
    name: str
    format: str
    kind: str
    started_at: datetime | None
    ended_at: datetime | None
    folder: Path
    files: tuple[Path, ...]


def find_dumps(sources: Sequence[str], staging: Path) -> list[Dump]:
    """The dumps of `sources`, each once, in order of their end; those that say none come last.

    Parameters
    ----------
    sources : dump folders, archives, or folders that hold several of either.
    staging : archives are unpacked here; one that was unpacked before is not unpacked again.

    Raises
    ------
    InputError : a path is missing, holds no dump, an archive is damaged or unsafe, or a timestamp is no date.
    """
    found: dict[str, Dump] = {}
    for source in sources:
        path = Path(source).absolute()
        if not path.exists():
            raise InputError(source, "a dump folder or archive", "no such file or folder")
        dumps = [_describe(folder, name) for folder, name in _folders(path, staging.absolute())]
        if not dumps:
            raise InputError(source, "a dump (parquet or .listens files, or archives of them)", "none")
        for dump in dumps:
            found.setdefault(dump.source_id, dump)
    return in_order(found.values())


def in_order(dumps: Iterable[Dump]) -> list[Dump]:
    """By their end, where they say one, a full dump before the increments."""
    never = datetime.max.replace(tzinfo=UTC)
    return sorted(dumps, key=lambda dump: (dump.ended_at or never, dump.kind != "full", dump.source_id))


def check_dumps(dumps: Sequence[Dump]) -> dict[str, int]:
    """Read every file's footer or first lines. Gives the rows of each parquet dump by source_id.

    Raises
    ------
    InputError : a file is damaged, lacks a column or has it in another type; a dump has no file or no row.
    """
    rows = {}
    for dump in dumps:
        if not dump.files:
            raise InputError(dump.folder, "parquet or .listens files", "none")
        if dump.format == JSON:
            filled = [listenbrainz_json.check_file(path) for path in dump.files]
            is_empty = not any(filled)
        else:
            rows[dump.source_id] = sum(listenbrainz_parquet.check_file(path, dump.format) for path in dump.files)
            is_empty = rows[dump.source_id] == 0
        if is_empty:
            raise InputError(dump.folder, "at least one listen", "none")
    return rows


def count_rows(spark: SparkSession, dump: Dump) -> int:
    """The dump's rows by another way than `read_dump`: from the parquet footers, or the lines that are not blank."""
    if dump.format == JSON:
        return listenbrainz_json.read_lines(spark, dump.files).count()
    return sum(listenbrainz_parquet.check_file(path, dump.format) for path in dump.files)


def read_dump(spark: SparkSession, dump: Dump) -> DataFrame:
    """The dump's rows as `musicrec.transforms.listens.RAW_COLUMNS`; `file` is relative to the dump's folder."""

    def label(url: Column) -> Column:
        folder = dump.folder.as_posix()
        path = F.url_decode(F.replace(url, F.lit("+"), F.lit("%2B")))
        within = F.regexp_replace(path, rf"^.*?\Q{folder}\E/", "")
        # Where nothing is escaped: cut off without a pattern, which would cost more than all else of a row.
        start = F.instr(url, f"{folder}/")
        is_plain = (start > 0) & ~F.contains(url, F.lit("%"))
        return F.when(is_plain, F.substr(url, start + F.lit(len(folder) + 1))).otherwise(within)

    readers = {
        CURRENT: listenbrainz_parquet.read_current,
        OLDER: listenbrainz_parquet.read_older,
        JSON: listenbrainz_json.read_json,
    }
    return readers[dump.format](spark, dump.files, label)


def _folders(path: Path, staging: Path) -> Iterator[tuple[Path, str]]:
    """The dump folders at or below `path` with their names; archives are unpacked."""
    if path.is_file():
        yield from _unpacked(path, staging)
    elif _is_dump(path):
        yield path, path.name
    else:
        for child in sorted(path.iterdir()):
            is_archive = child.is_file() and archive_stem(child) and not _NOT_LISTENS.match(child.name)
            if not child.name.startswith(".") and (child.is_dir() or is_archive):
                yield from _folders(child, staging)


def _unpacked(archive: Path, staging: Path) -> Iterator[tuple[Path, str]]:
    stem = archive_stem(archive)
    if stem is None:
        raise InputError(archive, "a dump folder or an archive (.tar, .tar.gz, .tar.xz, .tar.zst)", "another file")
    # A changed archive under the same name is unpacked anew.
    state = archive.stat()
    mark = hashlib.sha256(f"{archive}\n{state.st_size}\n{state.st_mtime_ns}".encode()).hexdigest()[:12]
    target = staging / f"{stem}-{mark}"
    if not target.exists():
        extract(archive, target)
    for folder, name in _folders(target, staging):
        yield folder, stem if folder == target else name


def _is_dump(folder: Path) -> bool:
    names = [child.name for child in folder.iterdir()]
    has_files = any(name.endswith((".parquet", ".listens")) for name in names)
    has_json_tree = any(name == "listens" or re.fullmatch(r"\d{4}", name) for name in names)
    return has_files or any(name in _MARKERS for name in names) or (has_json_tree and bool(_data_files(folder)))


def _data_files(folder: Path) -> list[Path]:
    parquet = [path for path in folder.glob("*.parquet") if not path.name.startswith((".", "_"))]
    lines = [path for path in folder.rglob("*.listens") if not path.name.startswith((".", "_"))]
    return sorted(parquet or lines, key=lambda path: _by_number(path.relative_to(folder)))


def _by_number(path: Path) -> tuple[tuple[int, str], ...]:
    """2.parquet before 10.parquet."""
    return tuple((int(m[0]) if (m := re.match(r"\d+", part)) else -1, part) for part in path.parts)


def _describe(folder: Path, name: str) -> Dump:
    files = _data_files(folder)
    form = (
        JSON if files and files[0].suffix == ".listens" else listenbrainz_parquet.layout(files[0]) if files else CURRENT
    )
    started_at = _marked_time(folder, "START_TIMESTAMP")
    ended_at = _marked_time(folder, "END_TIMESTAMP") or _marked_time(folder, "TIMESTAMP") or _named_time(name)
    kind = "incremental" if "incremental" in name else "full"
    source_id = _source_id(folder, files, form, ended_at)
    return Dump(source_id, name, form, kind, started_at, ended_at, folder, tuple(files))


def _marked_time(folder: Path, marker: str) -> datetime | None:
    """The time that the file `marker` holds: the one at the root, else the first below, else beside `listens`."""
    places = sorted(folder.rglob(marker), key=lambda path: (len(path.parts), path))
    beside = folder.parent / marker
    if not places and folder.name == "listens" and beside.is_file():
        places = [beside]
    if not places:
        return None
    text = places[0].read_text(encoding="utf-8", errors="replace").strip()
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(places[0], "a time such as 2021-08-07 00:00:00.000000", repr(text[:60])) from error
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:  # by its zone it is before the year 1 or after 9999
        return time.replace(tzinfo=UTC)


def _named_time(name: str) -> datetime | None:
    found = _NAME_TIME.search(name)
    if found is None:
        return None
    try:
        return datetime.strptime("".join(found.groups()), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise InputError(name, "a name with a time such as 20210807-000000", "-".join(found.groups())) from error


def _source_id(folder: Path, files: Sequence[Path], form: str, ended_at: datetime | None) -> str:
    end = ended_at.isoformat() if ended_at else None
    sizes = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files]
    digest = hashlib.sha256(json.dumps([form, end, sizes]).encode())
    if sum(size for _, size in sizes) <= _HASHED_WHOLE_BYTES:
        for path in files:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
