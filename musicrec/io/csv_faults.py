"""What is wrong with a record that cannot be read: what it is called, what was expected and what was found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from musicrec.io.csv_lines import CutLine
from musicrec.io.csv_scan import scan
from musicrec.transforms.bounds import LONGEST_CSV_ROW, LONGEST_ROW

FaultKind = Literal["malformed", "bad_encoding", "too_long"]

_SURROGATE = re.compile("[\ud800-\udfff]")
# The bytes that an encoding does not know are these far above U+DC00.
_BYTES = range(0x80, 0x100)
_NAME_SHOWN = 100


@dataclass(frozen=True)
class Fault:
    """Why a record cannot be read, and its text."""

    kind: FaultKind
    why: str
    text: str


def length_fault(line: str) -> Fault | None:
    """The fault of a line that is longer than a row may be."""
    if not isinstance(line, CutLine):
        return None
    return Fault("too_long", _too_long(line.length), _shown(line) + _cut(line.length))


def text_fault(text: str) -> Fault | None:
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


def shape_fault(line: str, separator: str, header: Sequence[str]) -> Fault:
    """What is wrong with a line that is no record by itself, nor the beginning of one."""
    read = scan(line, separator)
    place = len(read.fields)
    column = f"column {place + 1}" + (f" ({header[place][:_NAME_SHOWN]})" if place < len(header) else "")
    if read.trouble == "open":
        why = f"{column}: expected a closing quote, found none that ends the row"
    elif read.trouble == "broken":
        why = f"{column}: expected a separator behind the closing quote, found {line[read.end]!r}"
    else:
        why = f"expected {len(header)} columns, found {len(read.fields)}"
    return Fault("malformed", why, _shown(line))


def _too_long(length: int) -> str:
    return f"a row: expected at most {LONGEST_CSV_ROW:,} characters, found {length:,}"


def _shown(text: str) -> str:
    """A text's beginning, odd bytes as `\\xF3`."""
    shown = _SURROGATE.sub(_byte_shown, text[:LONGEST_ROW])
    return shown if len(text) <= LONGEST_ROW else shown + _cut(len(text))


def _cut(length: int) -> str:
    return f" … (cut: it has {length} characters)"


def _byte_shown(odd: re.Match[str]) -> str:
    byte = ord(odd.group()) - 0xDC00
    return f"\\x{byte:02X}" if byte in _BYTES else f"\\u{ord(odd.group()):04X}"
