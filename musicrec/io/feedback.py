"""What listeners said of recordings and artists: found, checked before any table is touched, and read as text.

A line is a JSON object. Statements on recordings are those of metabrainz/listenbrainz-server: the API's `user_id` (a
name), `created` (seconds), `recording_msid` and/or `recording_mbid` and `score`; and those of its feedback dump, where
`user_name`, `created` as an ISO time and `feedback` stand for them. The dump is
`listenbrainz-feedback-dump-YYYYMMDD-HHMMSS.tar.zst` with TIMESTAMP and
`lbdump/feedback/{listens,recommendations}/YYYY/MM/DD/data.json`. Two further kinds of lines are this project's own:
`artist_mbid` or `artist_name` instead of a recording blocks an artist, and a line with nothing but `user_id` and
`user_name` says whose name a name is. In a user's export (listenbrainz_NAME_TIME.zip) the file feedback.jsonl holds
statements of the user whom user.json names.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

import zstandard
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.archives import DAMAGED, Room, archive_stem, extract
from musicrec.io.json_lines import ENDINGS, check_file, read_records, stage_documents
from musicrec.io.listenbrainz_json import USER, user_of
from musicrec.io.local_files import SourceFiles, shown
from musicrec.transforms.feedback import RAW_COLUMNS

_PACKED = (".gz", ".zst")
_CHUNK = 1 << 20
_DUMP_NAME = re.compile(r"feedback-dump-(\d{8}-\d{6})")
# All leaves are text: from_json keeps a number as its text.
_TEXTS = (
    "user_id",
    "user_name",
    "recording_msid",
    "recording_mbid",
    "artist_mbid",
    "artist_name",
    "score",
    "feedback",
    "created",
)
_SCHEMA = ", ".join(f"{name} string" for name in (*_TEXTS, "unreadable"))


@dataclass(frozen=True)
class FeedbackSource:
    """A file of statements, or a dump of all that stood at a time.

    Attributes
    ----------
    source_id : hash of the contents, unpacked: a file that is renamed, moved or packed is the same source.
    name : of the file, folder or archive.
    folder : its files are below it.
    files : unpacked, in order.
    snapshot_at : of a dump, when it was made: what it does not hold did not stand any more. None for a file.
    staging : folder for what has to be read in place of a file.
    user : whose statements they are where a line does not say; only of a user's export.
    """

    source_id: str
    name: str
    folder: Path
    files: tuple[Path, ...]
    snapshot_at: datetime | None
    staging: Path
    user: str | None = None


def find_feedback(sources: Sequence[str], staging: Path) -> list[FeedbackSource]:
    """The feedback of `sources`, each content once, dumps in order of their time, then files by name.

    Parameters
    ----------
    sources : files (.json, .jsonl, .ndjson, also .gz or .zst), dumps (archives or folders), folders of any of them.
    staging : what is packed is unpacked here.

    Raises
    ------
    InputError : a path is missing or holds no feedback, a file is damaged, cannot be read or has no JSON object.
    """
    found: dict[str, FeedbackSource] = {}
    for source in sources:
        path = Path(source).absolute()
        if not path.exists():
            raise InputError(source, "a feedback file, dump or folder", "no such file or folder")
        try:
            read = list(_below(path, staging.absolute()))
        except OSError as error:
            raise InputError(shown(error.filename or path), "a file that can be read", str(error.strerror)) from error
        if not read:
            raise InputError(source, f"feedback files ({', '.join(ENDINGS)}) or dumps", "none")
        for one in read:
            found.setdefault(one.source_id, one)
    latest = datetime.max.replace(tzinfo=UTC)
    return sorted(found.values(), key=lambda one: (one.snapshot_at or latest, one.name, one.source_id))


def read_feedback(spark: SparkSession, source: FeedbackSource) -> DataFrame:
    """The records as `musicrec.transforms.feedback.RAW_COLUMNS`."""
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "unreadable", "allowSingleQuotes": "false"}
    records = read_lines(spark, source).withColumn("j", F.from_json("value", _SCHEMA, options))
    is_lost = F.col("j").isNull() | F.col("j.unreadable").isNotNull()
    names = [F.when(F.trim(f"j.{name}") != "", F.col(f"j.{name}")) for name in ("user_id", "user_name")]
    of_user = F.when(F.coalesce(*names).isNull(), F.lit(source.user))
    columns = {
        **{name: F.col(f"j.{name}") for name in _TEXTS},
        "user_id": F.coalesce(of_user, "j.user_id"),
        "malformed": is_lost,
        "undecoded": F.col("undecoded"),
        "file": F.concat_ws("/", F.lit(source.name), "file"),
        "row": F.col("value"),
    }
    return records.select([columns[name].cast(kind).alias(name) for name, kind in RAW_COLUMNS.items()])


def read_lines(spark: SparkSession, source: FeedbackSource) -> DataFrame:
    """As `musicrec.io.json_lines.read_records`."""
    return read_records(spark, readable_files(source))


def readable_files(source: FeedbackSource) -> SourceFiles:
    """The source's files as Spark is given them; a JSON document over many lines as a copy with a record on each.

    Raises
    ------
    InputError : a document is too large, or a file's name needs a link that cannot be made.
    """
    staging = source.staging / f"readable-{source.source_id}"
    return SourceFiles(source.folder, source.files, staging, stage_documents(source.files, staging / "lines"))


def _below(path: Path, staging: Path) -> Iterator[FeedbackSource]:
    if path.is_file():
        yield _unpacked(path, staging) if archive_stem(path) else _single(path, staging)
    elif (path / USER).is_file():
        yield _export(path, path.name, staging)
    elif _is_dump(path):
        yield _dump(path, path.name, staging)
    else:
        for child in sorted(path.iterdir()):
            is_wanted = child.is_dir() or archive_stem(child) or _plain_name(child)
            if not child.name.startswith(".") and is_wanted:
                yield from _below(child, staging)


def _plain_name(path: Path) -> str | None:
    """The file's name unpacked; None where it is no feedback file."""
    name = path.stem if path.suffix in _PACKED else path.name
    return name if name.lower().endswith(ENDINGS) else None


def _is_dump(folder: Path) -> bool:
    names = {child.name for child in folder.iterdir()}
    return bool(names & {"TIMESTAMP", "lbdump"}) or (folder / "feedback" / "listens").is_dir()


def _unpacked(archive: Path, staging: Path) -> FeedbackSource:
    stem = archive_stem(archive)
    assert stem is not None
    target = staging / _mark(archive) / "unpacked"
    if not target.exists():
        extract(archive, target)
    users = sorted(target.rglob(USER), key=lambda path: (len(path.parts), path))
    return _export(users[0].parent, stem, staging) if users else _dump(target, stem, staging)


def _export(folder: Path, name: str, staging: Path) -> FeedbackSource:
    """What a user said, by their export, which leaves the file out where there is nothing."""
    files = [path for path in (folder / "feedback.jsonl",) if path.is_file()]
    for path in files:
        check_file(path)
    user = user_of(folder)
    return FeedbackSource(_source_id(files, user), shown(name), folder, tuple(files), None, staging, user)


def _dump(folder: Path, name: str, staging: Path) -> FeedbackSource:
    below = (path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(ENDINGS))
    # What macOS packs beside the data is none.
    files = sorted(path for path in below if not path.name.startswith((".", "_")) and "__MACOSX" not in path.parts)
    if not files:
        raise InputError(folder, "a feedback dump (lbdump/feedback/…/data.json)", "no data file")
    return FeedbackSource(_source_id(files), shown(name), folder, tuple(files), _time_of(folder, name), staging)


def _time_of(folder: Path, name: str) -> datetime:
    """When a dump was made: by its TIMESTAMP, else by its name."""
    found = [path for path in folder.rglob("TIMESTAMP") if path.is_file()]
    marks = sorted(found, key=lambda path: (len(path.parts), path))
    text = marks[0].read_text(encoding="utf-8", errors="replace").strip() if marks else ""
    named = _DUMP_NAME.search(name)
    try:
        time = datetime.fromisoformat(text) if marks or not named else datetime.strptime(named[1], "%Y%m%d-%H%M%S")
    except ValueError:
        where = marks[0] if marks else folder
        raise InputError(where, "a dump's time such as 2021-08-07 00:00:00", repr(text[:60])) from None
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:  # by its zone it is before the year 1 or after 9999
        return time.replace(tzinfo=UTC)


def _single(path: Path, staging: Path) -> FeedbackSource:
    name = _plain_name(path)
    if name is None:
        raise InputError(path, f"a feedback file ({', '.join(ENDINGS)}, packed or not) or a dump", "another file")
    plain = path
    if path.suffix in _PACKED:
        plain = staging / f"feedback-{_mark(path)}" / name
        if not plain.exists():
            _unpack(path, plain)
    check_file(plain, path)
    return FeedbackSource(_source_id([plain]), shown(path.name), plain.parent, (plain,), None, staging)


def _mark(path: Path) -> str:
    """Another one for a changed file under the same name."""
    state = path.stat()
    return hashlib.sha256(f"{shown(path)}\n{state.st_size}\n{state.st_mtime_ns}".encode()).hexdigest()[:12]


def _unpack(path: Path, plain: Path) -> None:
    plain.parent.mkdir(parents=True, exist_ok=True)
    unfinished = plain.with_name(f"{plain.name}.unfinished")
    opener = gzip.open if path.suffix == ".gz" else zstandard.open
    try:
        with opener(path, "rb") as packed, unfinished.open("wb") as out:
            Room(path, plain.parent).copy(cast(IO[bytes], packed), out)
    except DAMAGED as error:
        raise InputError(path, "a complete packed file", f"{type(error).__name__}: {error}") from error
    unfinished.rename(plain)


def _source_id(files: Sequence[Path], user: str | None = None) -> str:
    digest = hashlib.sha256((user or "").encode())
    for path in files:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        digest.update(b"\0")
    return digest.hexdigest()[:16]
