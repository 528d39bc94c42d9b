"""Texts as numbers: numpy's answer, in memory that one long name does not multiply."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.models.cold_start.collect import _genres, _numbers
from musicrec.models.numbered import numbered
from musicrec.pipelines.song_catalogue import _codes

# Without lone surrogates, which no table holds, and without NUL, which numpy drops at the end of a text.
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4), max_size=30)


@given(TEXTS, st.integers(0, 5))
def test_texts_are_numbered_in_the_order_of_their_code_points(texts: list[str], cut: int) -> None:
    wanted = sorted(set(texts))
    for column in (texts, pa.array(texts, pa.string()), pa.chunked_array([texts[:cut], texts[cut:]], pa.string())):
        different, numbers = numbered(column)
        assert different == wanted
        assert [different[number] for number in numbers.tolist()] == texts
        assert different == np.unique(np.array(texts, object).astype(str)).tolist()


def test_no_text_is_an_empty_one() -> None:
    different, numbers = numbered(["b", None, "", "a"])
    assert (different, numbers.tolist()) == (["", "a", "b"], [2, 0, 0, 1])
    assert _numbers(pa.chunked_array([["b", None]]), pa.chunked_array([["", "a", "b"]])).tolist() == [2, -1, -1, 1, 2]
    assert _numbers(pa.chunked_array([["b", "a"]]), pa.chunked_array([[]], pa.string())).tolist() == [1, 0]


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """Bytes that Python, numpy and Arrow held at most since the test began."""
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    yield lambda: tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - before
    tracemalloc.stop()


NAMES = [f"artist {number % 15_000}" for number in range(20_000)] + ["x" * 10_000]


def test_one_long_name_takes_its_own_room_only(peak: Callable[[], int]) -> None:
    """Padded to the longest, these names would take 800 MB."""
    different, numbers = numbered(pa.chunked_array([NAMES]))
    assert (len(different), numbers[-1]) == (15_001, 15_000)
    assert len(set(_numbers(pa.chunked_array([NAMES])).tolist())) == 15_001
    genres = _genres(pa.chunked_array([[NAMES[start : start + 2] for start in range(0, 20_002, 2)]]))
    assert len(np.unique(genres.values)) == 15_001
    songs, artists = _codes([(name, f"title {number % 7}") for number, name in enumerate(NAMES)])
    assert len(np.unique(artists)) == 15_001
    assert len(np.unique(songs)) == len(set(zip(NAMES, (number % 7 for number in range(len(NAMES))), strict=True)))
    assert peak() < 60e6
