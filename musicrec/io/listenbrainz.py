"""ListenBrainz dumps and users' exports: found, checked before any table is touched, and read into one set of columns.

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

from pyspark.sql import DataFrame, SparkSession

from musicrec.errors import InputError
from musicrec.io import json_lines, listenbrainz_json, listenbrainz_parquet
from musicrec.io.archives import ARCHIVES, archive_stem, extract
from musicrec.io.dump_files import data_files, is_data_file, is_dump, is_json, others_below, places_of
from musicrec.io.listenbrainz_parquet import CURRENT
from musicrec.io.local_files import SourceFiles, shown

JSON = "json"
# The other archives that the service puts beside those of the listens.
_NOT_LISTENS = re.compile(r"listenbrainz-(public|private|statistics|feedback|sample)\b")
_NAME_TIME = re.compile(r"-(\d{8})-(\d{6})(?:-|$)")
_HASHED_WHOLE_BYTES = 64 << 20
# An archive in an archive is unpacked, one in that is not: some archives hold themselves.
_DEPTH = 2


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
    staging : folder for what has to be read in place of a file.
    user : whose listens they are where a line does not say; only of a user's export.
    """

    source_id: str
    name: str
    format: str
    kind: str
    started_at: datetime | None
    ended_at: datetime | None
    folder: Path
    files: tuple[Path, ...]
    staging: Path
    user: str | None = None


def find_dumps(sources: Sequence[str], staging: Path) -> list[Dump]:
    """The dumps of `sources`, each once, in order of their end; those that say none come last.

    Parameters
    ----------
    sources : dump folders, archives, single files, or folders that hold several of either.
    staging : archives are unpacked here; one that was unpacked before is not unpacked again.

    Raises
    ------
    InputError : a path is missing, holds no dump, an archive is damaged or unsafe, a timestamp is no date, or a file
        cannot be read.
    """
    found: dict[str, Dump] = {}
    for source in sources:
        path = Path(source).absolute()
        if not path.exists():
            raise InputError(source, "a dump folder or archive", "no such file or folder")
        try:
            dumps = list(_below(path, staging.absolute()))
        except OSError as error:
            raise InputError(shown(error.filename or path), "a file that can be read", str(error.strerror)) from error
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
            filled = [json_lines.check_file(path) for path in dump.files]
            is_empty = not any(filled)
        else:
            rows[dump.source_id] = sum(listenbrainz_parquet.check_file(path, dump.format) for path in dump.files)
            is_empty = rows[dump.source_id] == 0
        if is_empty:
            raise InputError(dump.folder, "at least one listen", "none")
    return rows


def count_rows(spark: SparkSession, dump: Dump) -> int:
    """The dump's rows by another way than `read_dump`: from the parquet footers, or the records of JSON."""
    if dump.format == JSON:
        return json_lines.read_records(spark, readable_files(dump)).count()
    return sum(listenbrainz_parquet.check_file(path, dump.format) for path in dump.files)


def read_dump(spark: SparkSession, dump: Dump) -> DataFrame:
    """The dump's rows as `musicrec.transforms.listens.RAW_COLUMNS`; `file` is relative to the dump's folder."""
    if dump.format == JSON:
        return listenbrainz_json.read_json(spark, readable_files(dump), dump.user)
    reader = listenbrainz_parquet.read_current if dump.format == CURRENT else listenbrainz_parquet.read_older
    return reader(spark, dump.files, readable_files(dump))


def readable_files(dump: Dump) -> SourceFiles:
    """The dump's files as Spark is given them; a JSON document over many lines as a copy with a record on each.

    Raises
    ------
    InputError : a document is too large, or a file's name needs a link that cannot be made.
    """
    staging = dump.staging / f"readable-{dump.source_id}"
    copies = json_lines.stage_documents(dump.files, staging / "lines") if dump.format == JSON else {}
    return SourceFiles(dump.folder, dump.files, staging, copies)


def _below(path: Path, staging: Path) -> Iterator[Dump]:
    if path.is_file() and archive_stem(path) is None and is_data_file(path):
        yield _describe(path.parent, path.name, [path], staging, is_alone=True)
        return
    for folder, name in _folders(path, staging):
        for files in data_files(folder) or [[]]:
            yield _describe(folder, name, files, staging)


def _folders(path: Path, staging: Path, depth: int = 0) -> Iterator[tuple[Path, str]]:
    """The dump folders at or below `path` with their names; archives are unpacked."""
    if path.is_file():
        yield from _unpacked(path, staging, depth)
        return
    if is_dump(path):
        yield path, path.name
    for child in others_below(path):
        is_archive = child.is_file() and archive_stem(child) and not _NOT_LISTENS.match(child.name)
        if child.is_dir() or is_archive:
            yield from _folders(child, staging, depth)


def _unpacked(archive: Path, staging: Path, depth: int) -> Iterator[tuple[Path, str]]:
    stem = archive_stem(archive)
    if stem is None:
        raise InputError(archive, f"a dump folder, file or archive ({', '.join(ARCHIVES)})", "another file")
    if depth == _DEPTH:
        raise InputError(archive, f"archives in at most {_DEPTH} others", "more")
    # A changed archive under the same name is unpacked anew.
    state = archive.stat()
    mark = hashlib.sha256(f"{shown(archive)}\n{state.st_size}\n{state.st_mtime_ns}".encode()).hexdigest()[:12]
    target = staging / mark / "unpacked"
    if not target.exists():
        extract(archive, target)
    for folder, name in _folders(target, staging, depth + 1):
        yield folder, stem if folder == target else name


def _describe(folder: Path, name: str, files: list[Path], staging: Path, is_alone: bool = False) -> Dump:
    form = JSON if files and is_json(files[0]) else listenbrainz_parquet.layout(files[0]) if files else CURRENT
    user = listenbrainz_json.user_of(folder) if form == JSON else None

    def marked(marker: str) -> datetime | None:
        # Of what else lies in the folder of a single file nothing is known.
        return None if is_alone else _marked_time(folder, marker)

    started_at = marked("START_TIMESTAMP")
    ended_at = marked("END_TIMESTAMP") or marked("TIMESTAMP") or _named_time(name)
    kind = "incremental" if "incremental" in name else "full"
    source_id = _source_id(folder, files, form, ended_at, user)
    return Dump(source_id, shown(name), form, kind, started_at, ended_at, folder, tuple(files), staging, user)


def _marked_time(folder: Path, marker: str) -> datetime | None:
    """The time that the dump's file `marker` holds."""
    places = places_of(marker, folder)
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


def _source_id(folder: Path, files: Sequence[Path], form: str, ended_at: datetime | None, user: str | None) -> str:
    sizes = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files]
    facts = [form, ended_at.isoformat() if ended_at else None, sizes, *([user] if user else [])]
    digest = hashlib.sha256(json.dumps(facts).encode())
    if sum(size for _, size in sizes) <= _HASHED_WHOLE_BYTES:
        for path in files:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
