"""Files of JSON objects: one a line, several on a line, in arrays, or spread over lines; and what of them is none.

A record is an object, or an element of an array, whatever it is. What cannot be read is a record too, as its text: the
rest of its line, or in a document over many lines all up to the next line that begins as it does.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf

from musicrec.errors import InputError
from musicrec.io.local_files import SourceFiles, spark_reader

# Names of files of JSON objects.
ENDINGS = (".jsonl", ".ndjson", ".json")
# What a record may be surrounded by: white space, a byte order mark in mid-file, the zeros that a crash leaves, and the
# sign before each text of a sequence (RFC 7464).
_BLANK = " \t\r\n\f\v\ufeff\x00\x1e\x85\xa0\u200b\u2028\u2029"
# So much of a file is looked at to tell lines from a document: a little, and if its first value is longer, more.
_HEADS = (1 << 16, 16 << 20)
_LONGEST_DOCUMENT = 1 << 30
# A value is looked for in so many letters, then in more; the longest token that may be cut is "-Infinity".
_PIECE, _LONGEST_TOKEN = 1 << 12, 16
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
# In one JSON object `}` and `]` are followed by a comma, a closing bracket or nothing; other text may be two objects.
_MAY_BE_SEVERAL = r"[}\]]\s*(?:[^\s,}\]]|,\s*[{\[])"


def records_of(text: str) -> Iterator[str]:
    """The records of a line, or of a whole document, as their own text without line breaks; of an empty array itself.

    >>> list(records_of('{"a": 1}, [{"b": 2}, 3] {"c"'))
    ['{"a": 1}', '{"b": 2}', '3', '{"c"']
    """
    at, depth, end = _skip(text, 0, ""), 0, len(text)
    is_empty = False
    while at < end:
        mark = text[at]
        if mark == "[" and depth < 1:
            depth, is_empty, start = depth + 1, True, at
            at = _skip(text, at + 1, "")
        elif mark == "]" and depth:
            depth -= 1
            if is_empty:
                yield _one_line(text[start : at + 1])
            is_empty = False
            at = _skip(text, at + 1, ",")
        else:
            is_empty = False
            after = _value_end(text, at) if depth or mark == "{" else None
            if after is None:
                after = _next_alike(text, at)
            yield _one_line(text[at:after])
            at = _skip(text, after, ",")
    if is_empty:
        yield _one_line(text[start:])


def read_records(spark: SparkSession, files: SourceFiles) -> DataFrame:
    """`value` = each record's text, `file` = where it stood, `undecoded` = its line holds bytes that are not UTF-8.

    Spark ends a line at \\n, \\r\\n and \\r alone. Blank lines are no records.
    """
    if not files.paths:
        return spark.createDataFrame([], "value string, file string, undecoded boolean")
    lines = spark_reader(spark).text(files.paths)
    named = lines.select("value", files.label(F.col("_metadata.file_path")).alias("file"))
    text = F.col("value")
    known = named.where(F.trim(text, F.lit(_BLANK)) != "").withColumn("undecoded", ~F.is_valid_utf8(text))
    several = F.when(_may_be_several(text) & ~F.col("undecoded"), text)
    found = pandas_udf(_split, "array<string>")(several)  # type: ignore[call-overload]
    split = known.withColumn("records", F.coalesce(found, F.array("value")))
    text = F.explode("records").alias("value")
    return split.select(text, "file", "undecoded").withColumn("value", F.make_valid_utf8("value"))


def objects_of(path: Path) -> Iterator[tuple[str, dict[str, object] | None]]:
    """Each record's text, and the record where it is an object; read line by line, a document as a whole.

    Raises
    ------
    InputError : the file is no text in UTF-8, or a document of over 1 GiB.
    """
    for record in _records(path):
        yield record, as_object(record)


def as_object(text: str) -> dict[str, object] | None:
    """The JSON object that a text is; None where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def check_file(path: Path, shown: Path | None = None) -> bool:
    """Whether the file holds a JSON object; False for one that holds nothing.

    Raises
    ------
    InputError : there is something, and not one object; the file is no text in UTF-8; named as `shown`.
    """
    first = None
    for record, found in objects_of(path):
        if found is not None:
            return True
        first = first or record
    if first is None or re.fullmatch(r"\[\s*\]", first):
        return False
    raise InputError(shown or path, "a JSON object on each line", f"none; the first line is {first[:60]!r}")


def stage_documents(files: Sequence[Path], staging: Path) -> Mapping[Path, Path]:
    """Of the files that are documents over many lines: a copy in `staging`, their own folder, a record on each line.

    Raises
    ------
    InputError : a document of over 1 GiB.
    """
    staged = {}
    for number, path in enumerate(files):
        if not _is_document(path):
            continue
        target = staged[path] = staging / f"{number:06d}.jsonl"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_suffix(".unfinished")
            with unfinished.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
                out.writelines(f"{record}\n" for record in _records(path))
            unfinished.rename(target)
    return staged


def _records(path: Path) -> Iterator[str]:
    """As `read_records` finds them: a line that is not UTF-8 is one as a whole."""
    if _is_document(path):
        size = path.stat().st_size
        if size > _LONGEST_DOCUMENT:
            raise InputError(path, "a JSON document of up to 1 GiB, or an object on each line", f"{size:,} bytes")
        yield from records_of(path.read_text(encoding="utf-8", errors="surrogateescape"))
        return
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            if any("\udc80" <= letter <= "\udcff" for letter in line):
                yield _one_line(line)
            else:
                yield from records_of(line)


def _is_document(path: Path) -> bool:
    """Whether a record spans lines, or one line is too long to be read as a whole by others."""
    for size in _HEADS:
        with path.open("rb") as file:
            raw = file.read(size)
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InputError(path, "text in UTF-8", "UTF-16")
        head = raw.decode("utf-8", "surrogateescape")
        at = _skip(head, 0, "")
        if at < len(head) and head[at] not in "[{":
            return False
        end = _value_end(head, at)
        if end is not None:
            return _has_break(head[at:end])
        if len(raw) < size:
            return head[at : at + 1] == "["
    return head[at : at + 1] == "[" or not _has_break(head)


def _has_break(text: str) -> bool:
    return "\n" in text or "\r" in text


def _value_end(text: str, at: int) -> int | None:
    """Where the JSON value that begins at `at` ends; None where none begins there."""
    # A piece at a time: json counts the lines before each error that it finds.
    size = _PIECE
    while True:
        piece = text[at : at + size]
        is_rest = at + len(piece) == len(text)
        try:
            end = _DECODER.raw_decode(piece)[1]
            if is_rest or end < len(piece):
                return at + end
        except RecursionError:
            return None
        except json.JSONDecodeError as error:
            is_cut = error.msg.startswith("Unterminated") or error.pos > len(piece) - _LONGEST_TOKEN
            if is_rest or not is_cut:
                return None
        size *= 4


def _next_alike(text: str, at: int) -> int:
    """Where, after a value that cannot be read, the next line begins with an object that is indented no deeper."""
    line = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
    if text[line:at].strip(" \t[,"):
        return len(text)
    found = re.compile(rf"[\r\n][ \t,]{{0,{at - line}}}(?=\{{)").search(text, at)
    return found.start() if found else len(text)


def _skip(text: str, at: int, also: str) -> int:
    blank = _BLANK + also
    while at < len(text) and text[at] in blank:
        at += 1
    return at


def _one_line(text: str) -> str:
    # No string of JSON holds a line break.
    kept = text.strip(_BLANK)
    return re.sub(r"[\r\n]+[ \t]*", " ", kept.rstrip(_BLANK + ",") or kept)


def _may_be_several(text: Column) -> Column:
    """Whether a line may be anything but one object; with a song's `}` in quotes it may say so of one object too."""
    braces = [F.length(F.replace(text, F.lit(brace))) for brace in "{}"]
    is_enclosed = F.startswith(text, F.lit("{")) & F.endswith(F.rtrim(text), F.lit("}"))
    return ~is_enclosed | (braces[0] != braces[1]) | F.rlike(text, F.lit(_MAY_BE_SEVERAL))


def _split(lines: pd.Series) -> pd.Series:
    return lines.map(lambda line: None if line is None else list(records_of(line)))
