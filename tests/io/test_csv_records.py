from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from musicrec.errors import InputError
from musicrec.io.csv_lines import blocks_of_lines
from musicrec.io.csv_records import Fault, read_records
from musicrec.io.spotify import Catalogue, arrow_rows, find_catalogues
from musicrec.transforms.bounds import LONGEST_CSV_ROW
from tests.strategies.csv_rows import FILES, HEADER, ONE_LINE, STYLES, Style, rows, without_its_end

Found = list[tuple[int, int, list[str] | Fault]]


def records(content: bytes | str, separator: str = ",", encoding: str = "utf-8-sig", width: int = 3) -> Found:
    """Each record's line, how many it takes, and its fields or what is wrong with it; the first line is the header."""
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    names = HEADER[:width]
    found: Found = []
    for read in read_records(blocks_of_lines(io.BytesIO(data), encoding), separator, 1, names):
        for place, (line, span, row) in enumerate(zip(read.lines, read.spans, read.rows, strict=True)):
            found.append((line, span, read.faults.get(place) or row))
    return found


def shape(found: Found) -> list[tuple[int, str | list[str]]]:
    return [(line, row.kind if isinstance(row, Fault) else row) for line, _, row in found]


UNCLOSED = [
    # what stands behind the header                       each record's line, and its fields or fault
    ('"1,u,2\n2,v,3\n3,w,4\n', [(2, "malformed"), (3, ["2", "v", "3"]), (4, ["3", "w", "4"])]),
    ('1,"u,2\n2,v,3\n', [(2, "malformed"), (3, ["2", "v", "3"])]),
    ('1,u,"2\n2,v,3\n', [(2, "malformed"), (3, ["2", "v", "3"])]),
    ('2,v,3\n1,u,"2', [(2, ["2", "v", "3"]), (3, "malformed")]),
    ('1,"u,2\n2,"v, w",3\n3,"x",4\n', [(2, "malformed"), (3, ["2", "v, w", "3"]), (4, ["3", "x", "4"])]),
    ('1,"u, v,2\n2,"",3\n', [(2, "malformed"), (3, ["2", "", "3"])]),
    ('1,"u,2\n2,", v",3\n', [(2, "malformed"), (3, ["2", ", v", "3"])]),
    ('1,"u,2\n2,12",3\n3,w,4\n', [(2, "malformed"), (3, ["2", '12"', "3"]), (4, ["3", "w", "4"])]),
    ('1,"u,2\n2,"v,3\n3,w,4\n', [(2, "malformed"), (3, "malformed"), (4, ["3", "w", "4"])]),
    ('1,"u""\n2,v,3\n', [(2, "malformed"), (3, ["2", "v", "3"])]),
    ('1,"u\\",2\n2,v,3\n', [(2, ["1", "u\\", "2"]), (3, ["2", "v", "3"])]),
    ('1,"say \\"hi\\"",2\n2,v,3\n', [(2, "malformed"), (3, ["2", "v", "3"])]),
    ('1,"say "hi" now",2\n2,v,3\n', [(2, "malformed"), (3, ["2", "v", "3"])]),
]


@pytest.mark.parametrize(("text", "expected"), UNCLOSED)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_an_unclosed_quote_swallows_at_most_its_row(text: str, expected: list, line_end: str) -> None:
    content = "track_id,user_id,playcount\n" + text
    assert shape(records(content.replace("\n", line_end))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('1,"Layla, ""Live""\nAgain",2\n2,v,3\n', [(2, ["1", 'Layla, "Live"\nAgain', "2"]), (4, ["2", "v", "3"])]),
        ('"a\nb",u,2\n2,v,3\n', [(2, ["a\nb", "u", "2"]), (4, ["2", "v", "3"])]),
        ('1,u,"a\n\nb"\n2,v,3\n', [(2, ["1", "u", "a\n\nb"]), (5, ["2", "v", "3"])]),
        ('1,"Crosby, Stills\nNash",2\n', [(2, ["1", "Crosby, Stills\nNash", "2"])]),
        ('1,"a\r\nb",2\r\n', [(2, ["1", "a\r\nb", "2"])]),
        ('1,"a\rb",2\n1,a\rb,2\n', [(2, ["1", "a\rb", "2"]), (3, ["1", "a\rb", "2"])]),
        ('1,5" disc,2\n\n  \n1,,\n', [(2, ["1", '5" disc', "2"]), (5, ["1", "", ""])]),
        ("1,u\n1,u,2,3\n", [(2, "malformed"), (3, "malformed")]),
        ("1,u\0,2\n2,v,3\n", [(2, "malformed"), (3, ["2", "v", "3"])]),
        ("1,u,2", [(2, ["1", "u", "2"])]),
    ],
)
def test_legal_rows_are_read_and_others_named_by_line(text: str, expected: list) -> None:
    assert shape(records("track_id,user_id,playcount\n" + text)) == expected


def test_what_is_wrong_with_a_row_is_said_with_what_was_expected() -> None:
    found = records(b'h\n1,"u,2\n1,u\n1,R\xf3s,2\n1,"a"b,2\n1,\0,2\n')
    assert [row.why for _, _, row in found if isinstance(row, Fault)] == [
        "column 2 (user_id): expected a closing quote, found none that ends the row",
        "expected 3 columns, found 2",
        "expected text in the file's encoding, found the byte 0xF3",
        "column 2 (user_id): expected a separator behind the closing quote, found 'b'",
        "expected text, found a zero byte",
    ]
    assert found[2][2].text == r"1,R\xF3s,2"  # type: ignore[union-attr]


def test_a_row_of_megabytes_is_never_held_and_says_how_long_it_was() -> None:
    name = "x" * (3 * LONGEST_CSV_ROW)
    found = records(f'h\n1,u,2\n1,{name},2\n2,"{name}",3\n3,"a\n{name[:LONGEST_CSV_ROW]}\nb",3\n4,v,5\n')
    kinds = shape(found)
    assert kinds[0] == (2, ["1", "u", "2"])
    assert kinds[1:3] == [(3, "too_long"), (4, "too_long")]
    assert kinds[-1] == (8, ["4", "v", "5"])
    why = found[1][2].why  # type: ignore[union-attr]
    assert why == f"a row: expected at most 1,000,000 characters, found {len(name) + 4:,}"
    assert all(len(row.text) < 10_100 for _, _, row in found if isinstance(row, Fault))
    assert sum(span for _, span, _ in found) == 7


@settings(max_examples=150, deadline=None)
@given(table=rows(), style=STYLES)
def test_rows_are_those_of_the_csv_module(table: list[list[str]], style: Style) -> None:
    # The documented limit: a field over several lines with as many separators as the file has columns, less one.
    assume(not any(re.search("[\r\n]", f) and f.count(style.separator) >= len(HEADER) - 1 for r in table for f in r))
    # The csv module leaves a lone return bare where lines do not end in one.
    assume(style.line_end == "\r\n" or style.quoting == csv.QUOTE_ALL or not any("\r" in f for r in table for f in r))
    content = style.content([HEADER, *table])
    read = csv.reader(io.StringIO(style.text(table), newline=""), delimiter=style.separator, strict=True)
    found = records(content, style.separator, style.encoding, len(HEADER))
    assert [row for _, _, row in found] == list(read) == table


@settings(max_examples=150, deadline=None)
@given(table=rows(ONE_LINE), style=STYLES, place=st.integers(0, 3), data=st.data())
def test_whatever_surrounds_an_unclosed_quote_all_other_rows_are_kept(
    table: list[list[str]], style: Style, place: int, data: st.DataObject
) -> None:
    broken = data.draw(st.integers(0, len(table) - 1))
    lines = [style.text([row]) for row in table]
    lines[broken] = without_its_end(table[broken], place, style) + style.line_end
    content = (style.text([HEADER]) + "".join(lines)).encode(style.encoding)
    found = shape(records(content, style.separator, style.encoding, len(HEADER)))
    expected: list[tuple[int, str | list[str]]] = [(line, row) for line, row in enumerate(table, start=2)]
    expected[broken] = (broken + 2, "malformed")
    assert found == expected


def known_or_refused(path: Path) -> tuple[Catalogue | None, str]:
    try:
        return find_catalogues([str(path)])[0], ""
    except InputError as error:
        return None, str(error)


def accounted(folder: Path, content: bytes) -> tuple[Catalogue, Found] | None:
    """A file's rows, whose lines are checked against a count of the file's own; None where it was refused."""
    path = folder / "Music Info.csv"
    path.write_bytes(content)
    catalogue, refusal = known_or_refused(path)
    if catalogue is None:
        assert "\n" not in refusal
        assert refusal.startswith(f"{path}: expected ")
        return None
    found: Found = []
    for batch in arrow_rows(catalogue):
        for row in batch.to_pylist():
            fault = Fault(row["_fault"], row["_why"], row["_corrupt_record"]) if row["_fault"] else None
            found.append((row["_line"], row["_lines"], fault or [row[c] or "" for c in catalogue.columns]))
    text = content.decode(catalogue.form.encoding, "surrogateescape")
    first_end = re.search(r"\r+\n|\r|\n", text)
    ends = r"\r\n|\r|\n" if first_end and not first_end.group().endswith("\n") else "\n"
    lines = re.split(ends, text)
    header = catalogue.form.header_lines
    filled = {
        place for place, line in enumerate(lines, start=1) if re.search(r"[^ \t\r\n\v\f]", line) and place > header
    }
    starts = [line for line, _, _ in found]
    assert starts == sorted(set(starts))
    assert set(starts) <= filled
    assert sum(span for _, span, _ in found) == len(filled) == catalogue.form.row_lines
    return catalogue, found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv")


@settings(max_examples=300, deadline=None)
@given(content=FILES)
@example(content=b"track_id,user_id,playcount\r1,2,3\r")
@example(content=b"track_id,user_id,playcount\n\xa0\n1,\xa0,3")
@example(content=b"track_id,user_id,playcount\n1,2,3\n\r\r\n")
def test_fuzz_any_bytes_are_refused_in_a_line_or_read_with_every_line_accounted_for(
    folder: Path, content: bytes
) -> None:
    accounted(folder, content)
