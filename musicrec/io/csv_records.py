r"""The records of a CSV file (RFC 4180), each with its line; a quote that is never closed costs its own line only.

A field in quotes may run over line ends, so a forgotten quote swallows rows up to the next one. A record that runs over
a line's end is therefore believed only where it

- is written by the book: behind each closing quote comes a separator or the line's end;
- has as many columns as the header;
- is not better explained by a quote too many: its first line has all columns if the open quote is read as a letter, and
  one of the lines that it runs over has them too.

Else the record is its first line, and wrong, and the next line starts afresh. What this takes for wrong though it is
right: a field over several lines with as many separators in it as the file has columns, less one, in just these places.
What it takes for right though it is wrong: a line with a forgotten quote and too few columns besides, whose rest makes
up a whole row with a later line's.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal

from musicrec.io.csv_lines import CutLine, is_blank
from musicrec.transforms.bounds import LONGEST_CSV_ROW, LONGEST_ROW

FaultKind = Literal["malformed", "bad_encoding", "too_long"]

# Lines that are looked at together.
_FEWEST_TOGETHER, _MOST_TOGETHER = 16, 1024

# Possessive: the end of a field is never looked for twice.
_IN_QUOTES = re.compile(r'(?:[^"]++|"")*+')
_LINE_END = re.compile(r"\r*(?:\n|\Z)")
_SURROGATE = re.compile("[\ud800-\udfff]")
# The bytes that an encoding does not know are these far above U+DC00.
_BYTES = range(0x80, 0x100)


@dataclass(frozen=True)
class Fault:
    """Why a record cannot be read, and its text."""

    kind: FaultKind
    why: str
    text: str


@dataclass
class Records:
    """Records one after the other.

    Attributes
    ----------
    lines : where each starts, from 1.
    spans : how many lines that are not blank each takes.
    rows : the fields of each; of one with a fault, none.
    faults : place in `rows` → what is wrong with it.
    """

    lines: list[int] = field(default_factory=list)
    spans: list[int] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)

    def add(self, line: int, span: int, found: list[str] | Fault) -> None:
        """Put one behind the others."""
        if isinstance(found, Fault):
            self.faults[len(self.rows)] = found
            found = []
        self.lines.append(line)
        self.spans.append(span)
        self.rows.append(found)

    def extend(self, others: Records) -> None:
        """Put others behind these."""
        for place, fault in others.faults.items():
            self.faults[len(self.rows) + place] = fault
        self.lines += others.lines
        self.spans += others.spans
        self.rows += others.rows


def read_records(blocks: Iterable[list[str]], separator: str, skip: int, header: Sequence[str]) -> Iterator[Records]:
    """The records behind the first `skip` lines, in the file's order; blank lines are none.

    Parameters
    ----------
    blocks : the file's lines, as `blocks_of_lines` gives them.
    separator : one letter.
    skip : the lines up to and with the header.
    header : its columns.
    """
    ahead = _Ahead(blocks)
    ahead.drop(skip)
    size = _MOST_TOGETHER
    while count := ahead.fill(1):
        found = _plain(ahead.text(min(count, size)), ahead.number, separator, len(header))
        plain = len(found.rows)
        ahead.drop(plain)
        if plain < min(count, size):
            _one_by_one(ahead, found, separator, header)
        # Where trouble is frequent, few lines are looked at in vain.
        size = min(_MOST_TOGETHER, max(_FEWEST_TOGETHER, 2 * plain))
        yield found


def read_header(blocks: Iterable[list[str]], separator: str) -> tuple[list[str], int]:
    """The fields of the first record and the number of the line on which it ends; no fields where there is no line."""
    ahead = _Ahead(blocks)
    while ahead.fill(1):
        if is_blank(ahead.line(0)):
            ahead.drop(1)
            continue
        read = _run_on(ahead, separator)
        fields = read.fields if read.trouble is None else next(csv.reader([ahead.line(0)], delimiter=separator))
        return fields, ahead.number - 1 + (read.span if read.trouble is None else 1)
    return [], 0


class _Ahead:
    """The lines that were read but not used up."""

    def __init__(self, blocks: Iterable[list[str]]) -> None:
        self._blocks = iter(blocks)
        self._lines: list[str] = []
        self._used = 0
        self.number = 1  # of the next line

    def fill(self, count: int) -> int:
        """Have at least `count` lines, if the file has them; gives how many there are."""
        while len(self._lines) - self._used < count:
            block = next(self._blocks, None)
            if block is None:
                break
            self._lines = [*self._lines[self._used :], *block]
            self._used = 0
        return len(self._lines) - self._used

    def text(self, count: int) -> list[str]:
        return self._lines[self._used : self._used + count]

    def line(self, place: int) -> str:
        return self._lines[self._used + place]

    def drop(self, count: int) -> None:
        self.fill(count)
        self._used += count
        self.number += count


def _plain(lines: list[str], number: int, separator: str, width: int) -> Records:
    """The records of the first lines, as long as each is one as it stands."""
    whole = "\n".join(lines)
    if not all(map(_is_whole, lines)) or "\0" in whole or not _is_text(whole):
        lines = list(takewhile(lambda line: _is_whole(line) and "\0" not in line and _is_text(line), lines))
    rows: list[list[str]] = []
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for row in reader:
            if len(row) != width or reader.line_num != len(rows) + 1:
                break
            rows.append(row)
    except csv.Error:  # the row stays for _one_by_one
        pass
    return Records(list(range(number, number + len(rows))), [1] * len(rows), rows)


def _is_text(text: str) -> bool:
    """Whether a text holds no bytes of another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _one_by_one(ahead: _Ahead, records: Records, separator: str, header: Sequence[str]) -> None:
    """Take the next record, or a blank line."""
    line, number = ahead.line(0), ahead.number
    found: list[str] | Fault | None
    span, found = 1, _length_fault(line)
    if found is None:
        if is_blank(line):
            ahead.drop(1)
            return
        span, found = _read_one(ahead, separator, header)
    filled = sum(not is_blank(each) for each in ahead.text(span))
    ahead.drop(span)
    records.add(number, filled, found)


def _read_one(ahead: _Ahead, separator: str, header: Sequence[str]) -> tuple[int, list[str] | Fault]:
    """How many lines the next record takes, and its fields or what is wrong with it."""
    read = _run_on(ahead, separator)
    width = len(header)
    believed = read.trouble is None and len(read.fields) == width
    if believed and read.span > 1:
        first, *others = (_breadth(line, separator) for line in ahead.text(read.span))
        believed = first < width or all(breadth < width for breadth in others)
    lines = ahead.text(read.span if believed else 1)
    fault = _text_fault("\n".join(lines))
    if not believed:
        fault = fault or _shape_fault(lines[0], separator, header)
    return len(lines), fault or read.fields


def _length_fault(line: str) -> Fault | None:
    if not isinstance(line, CutLine):
        return None
    return Fault("too_long", _too_long(line.length), _shown(line) + _cut(line.length))


def _text_fault(text: str) -> Fault | None:
    """What is wrong with the letters of a record."""
    if len(text) > LONGEST_CSV_ROW:
        return Fault("too_long", _too_long(len(text)), _shown(text))
    if odd := _SURROGATE.search(text):
        byte = ord(odd.group()) - 0xDC00
        what = f"the byte 0x{byte:02X}" if byte in _BYTES else "half of a surrogate pair"
        return Fault("bad_encoding", f"expected text in the file's encoding, found {what}", _shown(text))
    if "\0" in text:
        return Fault("malformed", "expected text, found a zero byte", _shown(text))
    return None


def _too_long(length: int) -> str:
    return f"a row: expected at most {LONGEST_CSV_ROW:,} characters, found {length:,}"


def _shape_fault(line: str, separator: str, header: Sequence[str]) -> Fault:
    """What is wrong with a line that is no record by itself, nor the beginning of one."""
    read = _scan(line, separator)
    place = len(read.fields)
    column = f"column {place + 1}" + (f" ({header[place]})" if place < len(header) else "")
    if read.trouble == "open":
        why = f"{column}: expected a closing quote, found none that ends the row"
    elif read.trouble == "broken":
        why = f"{column}: expected a separator behind the closing quote, found {line[read.end]!r}"
    else:
        why = f"expected {len(header)} columns, found {len(read.fields)}"
    return Fault("malformed", why, _shown(line))


def _breadth(line: str, separator: str) -> int:
    """A line's columns; where a quote makes trouble, it counts as a letter."""
    read = _scan(line, separator)
    if read.trouble is None:
        return len(read.fields)
    return len(read.fields) + 1 + line.count(separator, read.start)


@dataclass(frozen=True)
class _Read:
    """A record's fields up to its end, or up to the field that makes trouble: where it starts, where it stopped."""

    fields: list[str]
    start: int
    end: int
    span: int
    trouble: Literal["open", "broken"] | None


def _run_on(ahead: _Ahead, separator: str) -> _Read:
    """The record that starts with the next line, over as many lines as its quotes ask for, within bounds."""
    read = _scan(ahead.line(0), separator)
    count = 1
    while read.trouble == "open":
        # Doubled, so that the text is not searched again for each line.
        there = ahead.fill(2 * count)
        lines = list(takewhile(_is_whole, ahead.text(min(there, 2 * count))))
        if len(lines) == count or sum(map(len, lines)) > 2 * LONGEST_CSV_ROW:
            break
        count = len(lines)
        read = _scan("\n".join(lines), separator)
    return read


def _is_whole(line: str) -> bool:
    return not isinstance(line, CutLine)


def _scan(text: str, separator: str) -> _Read:
    r"""The record at the beginning of a text, which may hold further lines, parted by `\n`."""
    # A return within a field is a letter.
    plain = re.compile(rf"(?:[^{re.escape(separator)}\n\r]++|\r++(?!\n|\Z))*+")
    fields: list[str] = []
    at = 0
    while True:
        start = at
        if text.startswith('"', at):
            at = _IN_QUOTES.match(text, at + 1).end()  # type: ignore[union-attr]
            if at == len(text):
                return _Read(fields, start, at, 0, "open")
            value = text[start + 1 : at].replace('""', '"')
            at += 1
        else:
            at = plain.match(text, at).end()  # type: ignore[union-attr]
            value = text[start:at]
        is_last = _LINE_END.match(text, at)
        if not is_last and not text.startswith(separator, at):
            return _Read(fields, start, at, 0, "broken")
        fields.append(value)
        if is_last:
            return _Read(fields, start, at, text.count("\n", 0, at) + 1, None)
        at += 1


def _shown(text: str) -> str:
    """A text's beginning, odd bytes as `\\xF3`."""
    shown = _SURROGATE.sub(_byte_shown, text[:LONGEST_ROW])
    return shown if len(text) <= LONGEST_ROW else shown + _cut(len(text))


def _cut(length: int) -> str:
    return f" … (cut: it has {length} characters)"


def _byte_shown(odd: re.Match[str]) -> str:
    byte = ord(odd.group()) - 0xDC00
    return f"\\x{byte:02X}" if byte in _BYTES else f"\\u{ord(odd.group()):04X}"
