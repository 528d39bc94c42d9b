"""CSV files of all kinds: good rows in every style, rows that someone broke, and bytes that are no CSV at all."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

HEADER = ("track_id", "user_id", "playcount", "more")
_LETTERS = "ab ,;\"'\\é☀😀\r\n\t\ufeff\u2028\u0085"

# Texts of letters that mean something in CSV, and any text that can be encoded.
FIELDS = st.one_of(
    st.text(alphabet=_LETTERS, max_size=8),
    st.text(alphabet=st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=6),
    st.sampled_from(["", '"', '""', "\r\n", ",", "1,2,3", "a\nb", '5" disc', "Music Info"]),
)


@dataclass(frozen=True)
class Style:
    """How a file is written."""

    separator: str
    line_end: str
    quoting: int
    encoding: str

    def text(self, rows: Sequence[Sequence[str]]) -> str:
        """The rows as the csv module writes them."""
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=self.separator, lineterminator=self.line_end, quoting=self.quoting)
        writer.writerows(rows)
        return out.getvalue()

    def content(self, rows: Sequence[Sequence[str]]) -> bytes:
        """The file."""
        return self.text(rows).encode(self.encoding)


STYLES = st.builds(
    Style,
    separator=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)


def rows(fields: st.SearchStrategy[str] = FIELDS, width: int = len(HEADER)) -> st.SearchStrategy[list[list[str]]]:
    """Rows of `width` fields, the first of which shows something, so that no line is blank."""
    first = st.integers(min_value=0, max_value=99).map(str)
    row = st.tuples(first, *[fields] * (width - 1)).map(list)
    return st.lists(row, min_size=1, max_size=8)


ONE_LINE = FIELDS.filter(lambda text: not re.search("[\r\n]", text))


def without_its_end(row: Sequence[str], place: int, style: Style) -> str:
    """A row's line in which the quote that opens field `place` is never closed; the other fields hold no quotes."""
    plain = [re.sub(f'["{re.escape(style.separator)}]', " ", field) for field in row]
    plain[place] = '"' + plain[place]
    return style.separator.join(plain)


# Whole files of anything, most of them near a CSV file.
_PIECES = st.sampled_from(
    [b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xf3", b"\xc3\xa9", b"\xed\xa0\xbd", b"\xef\xbb\xbf",
     b"1", b"ab", b" ", b"1,u,3,x\n", b'2,"u",3,x\n', b'3,"u\nv",3,x\n', b'4,"u,3,x\n', b";", b"\t", b"\\", b"\x1a"]
)  # fmt: skip
FILES = st.builds(
    bytes.__add__,
    st.sampled_from(
        [b"track_id,user_id,playcount,more\n", b'"Track_ID";User_Id;playcount\r\n', b"track_id\tuser_id\tplaycount\r",
         b"\xef\xbb\xbf\ntrack_id,user_id,playcount,\n", b"\xff\xfet\x00r\x00", b"",
         b"id,followers,genres,name,popularity\n"]
    ),
    st.one_of(st.binary(max_size=40), st.lists(_PIECES, max_size=24).map(b"".join)),
)  # fmt: skip
