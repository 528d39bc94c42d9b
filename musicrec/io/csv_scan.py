"""One record at the beginning of a text, by RFC 4180: its fields and where it ends, or where and why it goes wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

# Possessive: the end of a field is never looked for twice.
_IN_QUOTES = re.compile(r'(?:[^"]++|"")*+')
_LINE_END = re.compile(r"\r*(?:\n|\Z)")


@dataclass(frozen=True)
class Scanned:
    """A record's fields up to its end, or up to the field that makes trouble: where it starts, where it stopped."""

    fields: list[str]
    start: int
    end: int
    span: int
    trouble: Literal["open", "broken"] | None


def scan(text: str, separator: str) -> Scanned:
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
                return Scanned(fields, start, at, 0, "open")
            value = text[start + 1 : at].replace('""', '"')
            at += 1
        else:
            at = plain.match(text, at).end()  # type: ignore[union-attr]
            value = text[start:at]
        is_last = _LINE_END.match(text, at)
        if not is_last and not text.startswith(separator, at):
            return Scanned(fields, start, at, 0, "broken")
        fields.append(value)
        if is_last:
            return Scanned(fields, start, at, text.count("\n", 0, at) + 1, None)
        at += 1


def breadth(line: str, separator: str) -> int:
    """A line's columns; where a quote makes trouble, it counts as a letter."""
    read = scan(line, separator)
    if read.trouble is None:
        return len(read.fields)
    return len(read.fields) + 1 + line.count(separator, read.start)
