from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from musicrec.transforms.bounds import LONGEST_LIST
from musicrec.transforms.catalogue_text import (
    date,
    flag,
    is_no_date,
    is_no_number,
    number,
    parse_list,
    text,
    year,
)
from musicrec.transforms.folding import BLANKS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("['Uli', \"Sinead O'Connor\"]", ["Uli", "Sinead O'Connor"]),
        ("[]", []),
        ("[None, '', ' ']", []),
        ("[311, 'Blink']", ["311", "Blink"]),
        ("['a' 'b'\n 'c']", ["a", "b", "c"]),
        (r"['it\'s', 'Beyonc\xe9']", ["it's", "Beyoncé"]),
        (r"['\ud83d\ude00']", ["😀"]),
        (r'["AC\/DC", "a\\/b\\"]', ["AC/DC", "a\\/b\\"]),
        ("['\u200b', '\ufeffUli\u00a0', '\\u200b']", ["Uli"]),
        (r"['\ud83d']", None),
        (r"['\ude00\ud83d']", None),
        ("{{}}", None),
        ("{'a'}", None),
        ("{'a': 'b'}", None),
        ("[['a']]", None),
        ("[{'a'}]", None),
        ("[a]", None),
        ("['a', nan]", None),
        ("['a'b]", None),
        ("['Uli", None),
        ("Uli", None),
        ("('a', 'b')", None),
        ("[" * 100_000 + "]" * 100_000, None),
        ("[" + "-" * 100_000 + "1]", None),
        ("['" + "\\" * 100_001 + "']", None),
        ("", None),
        (None, None),
    ],
)
def test_the_text_of_a_python_list(value: str | None, expected: list[str] | None) -> None:
    assert parse_list(value) == expected


def test_a_list_without_end_is_not_read_to_its_end() -> None:
    assert len(parse_list("[" + "'a'," * 300_000 + "]") or []) == LONGEST_LIST + 1


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), max_size=5))
def test_a_list_is_what_python_wrote(values: list[str]) -> None:
    assert parse_list(repr(values)) == (shown := [value.strip(BLANKS) for value in values if value.strip(BLANKS)])
    assert parse_list(ascii(values)) == shown


@settings(max_examples=200, deadline=None)
@given(value=st.text(alphabet="[](){}'\"\\, au0d83N\ud83d\n", max_size=16))
def test_fuzz_no_text_makes_the_reader_of_lists_fail(value: str) -> None:
    for found in (parse_list(value), parse_list(f"[{value}]")):
        assert found is None or all(one.strip() == one != "" for one in found)


NUMBERS = {
    "120": 120.0, " 120 ": 120.0, "6.0": 6.0, ".5": 0.5, "5.": 5.0, "-1": -1.0, "+2": 2.0, "1e3": 1000.0,
    "1.01E-06": 1.01e-06, "": None, "120f": None, "1d": None, "1D": None, "0x1F": None, "0x1p3": None, "NaN": None,
    "Infinity": None, "-inf": None, "1_000": None, "1,5": None, "１２０": None, "1e": None, "e3": None, "--1": None,
    "1 2": None, "true": None, "1" * 200_000 + "x": None,
}  # fmt: skip
# text → release date, year, whether it is a fault
DATES = {
    "1999": ("1999", 1999, False), "1999.0": ("1999", 1999, False), "1999-05": ("1999-05", 1999, False),
    "1999-05-31": ("1999-05-31", 1999, False), "1999-05-31T10:00:00Z": ("1999-05-31", 1999, False),
    "1999-05-31 00:00": ("1999-05-31", 1999, False), "1999-00-00": ("1999", 1999, False),
    "1999-05-00": ("1999-05", 1999, False), "2000-02-29": ("2000-02-29", 2000, False),
    "": (None, None, False), "0": (None, None, False), "0.0": (None, None, False), "0000": (None, None, False),
    "0000-00-00": (None, None, False),
    "2020-13": ("2020-13", 2020, True), "2021-02-29": ("2021-02-29", 2021, True), "20201": (None, None, True),
    "20201-01-01": (None, None, True), "1500": (None, None, True), "2101": (None, None, True),
    "1/5/2012": (None, None, True), "-1999": (None, None, True), "99": (None, None, True),
    "None": (None, None, True), "0000-05": (None, None, True), "0" + "-0" * 100_000: (None, None, True),
}  # fmt: skip
FLAGS = {
    "True": True,
    "1": True,
    "1.0": True,
    "yes": True,
    "False": False,
    "0": False,
    "0.0": False,
    "": None,
    "2": None,
}
TEXTS = {
    " a ": "a", "\u00a0\u200bBeyoncé\ufeff": "Beyoncé", "\u3000": None, "\u200b": None, "": None, "None": "None",
    "a\u00a0b": "a\u00a0b", "!": "!",
}  # fmt: skip


def test_numbers_dates_flags_and_texts(spark: SparkSession) -> None:
    values = list(dict.fromkeys([*NUMBERS, *DATES, *FLAGS, *TEXTS]))
    odd = "a`b.c"  # a column of a name like this is one too
    rows = spark.createDataFrame([(value,) for value in values], f"`{odd.replace('`', '``')}` string")
    columns = [text(odd), number(odd), is_no_number(odd), date(odd), year(odd), is_no_date(odd), flag(odd)]
    found: dict[str, Any] = dict(zip(values, rows.select(*columns).collect(), strict=True))
    assert {value: found[value][1] for value in NUMBERS} == NUMBERS
    assert {v: found[v][2] for v in NUMBERS} == {v: n is None and v != "" for v, n in NUMBERS.items()}
    is_fault = {value: found[value][5] for value in DATES}
    assert is_fault == {value: fault for value, (_, _, fault) in DATES.items()}
    right = {value: (day, number_) for value, (day, number_, fault) in DATES.items() if not fault}
    assert {value: (found[value][3], found[value][4]) for value in right} == right
    assert {value: found[value][6] for value in FLAGS} == FLAGS
    assert {value: found[value][0] for value in TEXTS} == TEXTS
