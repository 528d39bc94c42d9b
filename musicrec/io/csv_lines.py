"""The lines of a text file, whatever its encoding and line ends, in memory that does not grow with the file."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from typing import IO

from musicrec.transforms.bounds import LONGEST_CSV_ROW, LONGEST_ROW

_CHUNK = 1 << 20
_BLANKS = " \t\r\n\v\f"
_LINE_END = re.compile(r"\r+\n|\r|\n")


class CutLine(str):
    """The beginning of a line that is longer than `LONGEST_CSV_ROW`.

    Attributes
    ----------
    length : of the whole line, in characters.
    """

    length: int

    def __new__(cls, text: str, length: int) -> CutLine:
        """A line of `length` characters of which `text` is the beginning."""
        line = super().__new__(cls, text)
        line.length = length
        return line


def is_blank(line: str) -> bool:
    """Whether a line holds nothing; such lines are no rows. What is blank is so in every encoding."""
    return not line.strip(_BLANKS)


def blocks_of_lines(
    stream: IO[bytes], encoding: str, watch: Callable[[bytes, str], None] | None = None
) -> Iterator[list[str]]:
    r"""A stream's lines without their end, in lists of some thousands; a `CutLine` comes alone.

    Lines end in `\n`; the `\r` of a `\r\n` stays with its line, as csv expects it. Where the first line ends in a lone
    `\r`, every `\r` is an end. Bytes that the encoding does not know become lone surrogates, U+DC80 to U+DCFF.

    Parameters
    ----------
    stream : read to its end, not closed.
    encoding : one that musicrec.io.csv_forms gives.
    watch : told each piece of the stream, as bytes and as text.
    """
    errors = "surrogatepass" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    splitter = _Splitter()
    while chunk := stream.read(_CHUNK):
        text = decoder.decode(chunk)
        if watch:
            watch(chunk, text)
        yield from splitter.split(text)
    text = decoder.decode(b"", final=True)
    if watch:
        watch(b"", text)
    yield from splitter.split(text)
    yield from splitter.rest()


class _Splitter:
    """Cuts text that comes in pieces into lines; of a line that is too long it keeps the beginning and the length."""

    def __init__(self) -> None:
        self._open = ""
        self._dropped = 0
        self._has_lone_returns: bool | None = None

    def split(self, text: str) -> Iterator[list[str]]:
        """The lines that `text` completes."""
        text = self._open + text
        if self._has_lone_returns is None and (end := _LINE_END.search(text)) and end.end() < len(text):
            self._has_lone_returns = not end.group().endswith("\n")
        if self._has_lone_returns:
            # A return at the very end may be the first half of a pair.
            held = "\r" if text.endswith("\r") else ""
            text = text[: len(text) - len(held)].replace("\r\n", "\n").replace("\r", "\n") + held
        first, *lines = text.split("\n")
        if not lines:
            self._open = first
            self._shorten()
            return
        self._open = lines.pop()
        yield from self._finished([first, *lines])
        self._shorten()

    def rest(self) -> Iterator[list[str]]:
        """The last line, if no line end follows it."""
        last = self._open.removesuffix("\r") if self._has_lone_returns else self._open
        if last or self._dropped:
            yield from self._finished([last])

    def _finished(self, lines: list[str]) -> Iterator[list[str]]:
        if self._dropped:
            length = self._dropped + len(lines[0])
            yield [CutLine(lines[0][:LONGEST_ROW], length)]
            self._dropped = 0
            lines = lines[1:]
        if max(map(len, lines), default=0) <= LONGEST_CSV_ROW:
            if lines:
                yield lines
            return
        for line in lines:
            yield [line if len(line) <= LONGEST_CSV_ROW else CutLine(line[:LONGEST_ROW], len(line))]

    def _shorten(self) -> None:
        """Let go of what is too long already, but for its beginning."""
        if len(self._open) > LONGEST_CSV_ROW:
            kept = self._open[:LONGEST_ROW]
            # A return at the end may be half of a line end.
            tail = "\r" if self._open.endswith("\r") else ""
            self._dropped += len(self._open) - len(kept) - len(tail)
            self._open = kept + tail
