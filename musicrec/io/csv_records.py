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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from musicrec.io.csv_faults import Fault, length_fault, shape_fault, text_fault
from musicrec.io.csv_lines import CutLine, is_blank
from musicrec.io.csv_scan import Scanned, breadth, scan
from musicrec.transforms.bounds import LONGEST_CSV_ROW

# The mark of a file that was put behind another; it is no part of a record.
_MARK = "\ufeff"
# Lines that are looked at together.
_FEWEST_TOGETHER, _MOST_TOGETHER = 16, 1024


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
        ahead.unmark()
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

    def unmark(self) -> None:
        """Leave out byte order marks before what the next line holds."""
        if self.line(0).startswith(_MARK) and not is_blank(without := self.line(0).lstrip(_MARK)):
            self._lines[self._used] = without

    def drop(self, count: int) -> None:
        self.fill(count)
        self._used += count
        self.number += count


def _plain(lines: list[str], number: int, separator: str, width: int) -> Records:
    """The records of the first lines, as long as each is one as it stands."""
    whole = "\n".join(lines)
    if not all(map(_is_whole, lines)) or "\0" in whole or _MARK in whole or not _is_text(whole):
        lines = list(takewhile(_is_plain, lines))
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


def _is_plain(line: str) -> bool:
    return _is_whole(line) and "\0" not in line and not line.startswith(_MARK) and _is_text(line)


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
    span, found = 1, length_fault(line)
    if found is None:
        if is_blank(line):
            ahead.drop(1)
            return
        ahead.unmark()
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
        first, *others = (breadth(line, separator) for line in ahead.text(read.span))
        believed = first < width or all(breadth < width for breadth in others)
    lines = ahead.text(read.span if believed else 1)
    fault = text_fault("\n".join(lines))
    if not believed:
        fault = fault or shape_fault(lines[0], separator, header)
    return len(lines), fault or read.fields


def _run_on(ahead: _Ahead, separator: str) -> Scanned:
    """The record that starts with the next line, over as many lines as its quotes ask for, within bounds."""
    read = scan(ahead.line(0), separator)
    count = 1
    while read.trouble == "open":
        # Doubled, so that the text is not searched again for each line.
        there = ahead.fill(2 * count)
        lines = list(takewhile(_is_whole, ahead.text(min(there, 2 * count))))
        if len(lines) == count or sum(map(len, lines)) > 2 * LONGEST_CSV_ROW:
            break
        count = len(lines)
        read = scan("\n".join(lines), separator)
    return read


def _is_whole(line: str) -> bool:
    return not isinstance(line, CutLine)
