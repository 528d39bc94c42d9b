from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.errors import InputError
from musicrec.io.json_lines import check_file, objects_of, records_of, stage_documents

LISTEN = '{"user_id": 1, "track_metadata": {"artist_name": "A}{", "names": [{"x": "]["}, {"y": 2}]}}'


@pytest.mark.parametrize(
    ("text", "records"),
    [
        (LISTEN, [LISTEN]),
        (f"{LISTEN}{LISTEN}", [LISTEN] * 2),
        (f"{LISTEN}, {LISTEN},", [LISTEN] * 2),
        (f"[{LISTEN},{LISTEN}]", [LISTEN] * 2),
        (f"[{LISTEN}]\t[{LISTEN}, 3, null] {LISTEN}", [LISTEN, LISTEN, "3", "null", LISTEN]),
        (f"\ufeff{LISTEN}\r\n", [LISTEN]),
        (f"\x00\x00\x00{LISTEN}", [LISTEN]),
        (f"\x1e{LISTEN}\n\x1e{LISTEN}\u2028{LISTEN}\xa0", [LISTEN] * 3),
        ("[]", ["[]"]),
        ("[ ", ["["]),
        ("]", ["]"]),
        (f"[[{LISTEN}]]", [f"[{LISTEN}]"]),
        (f"{LISTEN} and more", [LISTEN, "and more"]),
        (f"{LISTEN}}}", [LISTEN, "}"]),
        (f'{LISTEN} {{"user_id": 2, "timest', [LISTEN, '{"user_id": 2, "timest']),
        ("{'user_id': 1} {'user_id': 2}", ["{'user_id': 1} {'user_id': 2}"]),
        ('{"a": 1,}', ['{"a": 1,}']),
        ("[" * 100_000, ["[" * 99_999]),
        ('{"a": NaN, "a": 2}', ['{"a": NaN, "a": 2}']),
        ('{"n": ' + "9" * 10_000 + "}", ['{"n": ' + "9" * 10_000 + "}"]),
        ("<html>", ["<html>"]),
        ("   ", []),
    ],
)
def test_the_records_of_a_line(text: str, records: list[str]) -> None:
    assert list(records_of(text)) == records


def test_a_record_over_many_lines_comes_on_one_and_a_broken_one_ends_where_the_next_begins() -> None:
    pretty = [json.dumps({"user_id": n, "track_metadata": {"artists": [{"a": n}]}}, indent=2) for n in range(4)]
    broken = pretty[1].replace('"user_id"', "user_id")
    parts = [pretty[0], broken, *pretty[2:]]
    for text in ("[\n" + ",\n".join(parts) + "\n]", "\n".join(parts), "[" + ",\n ".join(parts) + "]"):
        first, second, *others = records_of(text)
        assert [json.loads(record)["user_id"] for record in (first, *others)] == [0, 2, 3]
        assert second.startswith("{ user_id")
        assert not any("\n" in record for record in (first, second, *others))


@pytest.mark.parametrize("length", [4_000, 4_070, 4_080, 4_090, 4_095, 4_096, 4_097, 16_384, 100_000])
def test_a_record_of_any_length_is_found_and_a_broken_one_is_no_other(length: int) -> None:
    for value in ('"{}"', '"\\u00e9{}"', "[1{}]", "-1{}", '["", "{}\\ud83d\\ude00"]'):
        long = f'{{"a": {value.replace("{}", "1" * length)}, "b": -Infinity, "c": null}}'
        assert list(records_of(f"{long}{LISTEN}{long}")) == [long, LISTEN, long]
        assert list(records_of(f"{long[:-1]};")) == [f"{long[:-1]};"]


def test_many_broken_records_take_no_longer_than_they_are_many() -> None:
    # json counts the lines before each of them: without a bound, 10 billion.
    began = time.process_time()
    records = list(records_of("[\n" + "{'a': 1},\n" * 200_000 + "{}]"))
    assert records == ["{'a': 1}"] * 200_000 + ["{}"]
    assert time.process_time() - began < 15


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), min_size=1, max_size=8)


@settings(deadline=None)
@given(objects=OBJECTS, data=st.data())
def test_however_objects_are_put_together_each_comes_once(objects: list[dict[str, Any]], data: st.DataObject) -> None:
    parts: list[str] = []
    left = list(objects)
    while left:
        size = data.draw(st.integers(1, len(left)))
        group, left = left[:size], left[size:]
        texts = [
            json.dumps(x, ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.none() | st.just(2)))
            for x in group
        ]
        joined = data.draw(st.sampled_from([",", "\n", ", \n", "\r\n,"])).join(texts)
        parts.append(f"[{','.join(texts)}]" if data.draw(st.booleans()) else joined)
    text = data.draw(st.sampled_from(["", "\ufeff", "\n"])) + data.draw(st.sampled_from([" ", "\n", ",\n"])).join(parts)
    assert [json.loads(record) for record in records_of(text)] == objects


ALPHABET = st.sampled_from(list('{}[],:"\\ \n\r\t\x00\ufeff\ud800aé1-.eEtrufalsn'))
JUNK = st.one_of(
    st.text(ALPHABET, max_size=60),
    st.text(max_size=60),
    st.lists(st.sampled_from([LISTEN, "{", "}", "[", "]", ",", "\n", '"', "x"]), max_size=9).map("".join),
)


@settings(max_examples=300, deadline=None)
@given(JUNK)
def test_of_any_text_no_letter_is_lost(text: str) -> None:
    blank = " \t\r\n\f\v\ufeff\x00\x1e\x85\xa0\u200b\u2028\u2029"
    between = {*blank, *",[]"}
    records = list(records_of(text))
    assert Counter(c for r in records for c in r if c not in between) == Counter(c for c in text if c not in between)
    assert all("\n" not in record and record.strip(blank) for record in records)


def lines(path: Path, *texts: str | bytes) -> Path:
    path.write_bytes(b"\n".join(text if isinstance(text, bytes) else text.encode() for text in texts))
    return path


def test_which_files_are_documents_and_what_they_hold(tmp_path: Path) -> None:
    pretty = json.dumps([json.loads(LISTEN)] * 3, indent=1)
    documents = [
        lines(tmp_path / "pretty", pretty),
        lines(tmp_path / "array", "[", f"{LISTEN},", LISTEN, "]"),
        lines(
            tmp_path / "one by one", json.dumps(json.loads(LISTEN), indent=4), json.dumps(json.loads(LISTEN), indent=4)
        ),
        lines(tmp_path / "cut", pretty[:-40]),
        lines(tmp_path / "latin", "[", '{"name": "R', b'\xf6yksopp"}', "]"),
    ]
    others = [
        lines(tmp_path / "lines", LISTEN, "{broken", LISTEN),
        lines(tmp_path / "arrays", f"[{LISTEN}]", f"[{LISTEN},{LISTEN}]"),
        lines(tmp_path / "broken first", '{"a": ', LISTEN),
        lines(tmp_path / "empty", ""),
        lines(tmp_path / "long", '{"name": "' + "x" * 200_000 + '"}', LISTEN),
    ]
    staged = stage_documents([*others, *documents], tmp_path / "staging")
    assert set(staged) == set(documents)
    counts = [len(staged[path].read_bytes().splitlines()) for path in documents]
    assert counts == [3, 2, 2, 3, 1]
    assert b"R \xf6yksopp" in staged[documents[4]].read_bytes()
    found = [sum(parsed is not None for _, parsed in objects_of(path)) for path in others]
    assert found == [2, 3, 1, 0, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>\n[1]\n", r"a JSON object on each line, found none; the first line is '<html>"),
        ("\ufeff{}".encode("utf-16-le"), "text in UTF-8, found UTF-16"),
    ],
)
def test_a_file_without_a_single_object_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "8.listens"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"8\.listens: expected {message}"):
        check_file(path)


def test_an_empty_file_and_an_empty_array_say_nothing(tmp_path: Path) -> None:
    assert [check_file(lines(tmp_path / "x", text)) for text in ("", "\n \n", "[]", "[\n]", LISTEN)] == [
        False, False, False, False, True,
    ]  # fmt: skip
