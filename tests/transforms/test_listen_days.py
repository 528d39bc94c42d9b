from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.transforms.listen_days import Span, Stretch, as_of, last_believed
from musicrec.transforms.listens import ListenRules, believed_end
from musicrec.transforms.times import micros
from tests.dumps import utc

RULES = ListenRules()


def span(first: str, last: str) -> Span:
    return Span(micros(utc(first)), micros(utc(last)))


WEEK = span("2014-06-15 18:27:08", "2014-06-22 23:59:19")


@pytest.mark.parametrize(
    ("end", "day"),
    [
        ("2014-06-23 00:00:00", 23),
        ("2014-06-23 00:00:03", 23),
        ("2014-06-22 23:59:58", 23),
        ("2014-06-22 23:45:00", 23),
        ("2014-06-22 23:44:59", 22),
        ("2014-06-22 14:20:00", 22),
        ("2014-06-22 00:00:00", 22),
        ("2014-06-25 12:00:00", 23),
        ("2026-11-28 00:00:00", 23),
        (None, 23),
    ],
)
def test_as_of_is_the_end_of_the_last_day_that_the_end_and_the_listens_complete(end: str | None, day: int) -> None:
    assert as_of(WEEK, end and micros(utc(end)), RULES) == date(2014, 6, day)


@pytest.mark.parametrize(
    ("last", "day"), [("2014-06-22 12:00:00", 23), ("2014-06-22 00:15:01", 23), ("2014-06-22 00:00:02", 22)]
)
def test_without_an_end_a_day_counts_once_more_than_its_first_minutes_are_there(last: str, day: int) -> None:
    assert as_of(span("2014-06-15 00:00:00", last), None, RULES) == date(2014, 6, day)


@pytest.mark.parametrize("end", [None, "2014-06-22 14:20:00", "2014-06-23 00:00:03", "2014-06-20 00:00:00"])
@pytest.mark.parametrize("last", ["2014-06-22 14:10:00", "2014-06-22 00:00:01"])
def test_a_part_of_one_day_counts_where_it_is_all_that_there_is(end: str | None, last: str) -> None:
    only = span("2014-06-22 00:00:00", last)
    assert as_of(only, end and micros(utc(end)), RULES) == date(2014, 6, 23)


@given(
    first=st.integers(0, 10**9),
    seconds=st.integers(0, 10**7),
    end=st.none() | st.integers(0, 2 * 10**9),
)
def test_as_of_leaves_a_listen_and_no_more_than_the_listens_days(first: int, seconds: int, end: int | None) -> None:
    own = Span(first * 10**6, (first + seconds) * 10**6)
    midnight = micros(utc(as_of(own, None if end is None else end * 10**6, RULES).isoformat()))
    assert own.first < midnight
    assert midnight - own.last <= 86_400 * 10**6
    if end is not None and micros(utc("1970-01-01")) + (end + 900) * 10**6 < midnight:
        # Beyond the end only where nothing else would count.
        assert midnight - own.first <= 86_400 * 10**6 or (end + 900) // 86_400 <= first // 86_400


@pytest.mark.parametrize(
    ("marked", "is_believed"),
    [
        ("2026-01-02 03:04:05", True),
        ("2026-01-02 03:19:00", True),
        ("2026-01-02 06:04:05", False),
        ("2999-01-01 00:00:00", False),
        ("1970-01-01 00:00:00", False),
    ],
)
def test_an_end_is_believed_up_to_the_clock(marked: str, is_believed: bool) -> None:
    end = utc(marked)
    assert believed_end(end, RULES, utc("2026-01-02 03:04:05")) == (end if is_believed else None)


def stretches(*parts: tuple[int, int, int, int]) -> list[Stretch]:
    """(pause before, days, listens, listeners) each."""
    made: list[Stretch] = []
    for pause, days, listens, listeners in parts:
        first = (made[-1].last if made else 16_000) + pause
        made.append(Stretch(first, first + days - 1, listens, listeners))
    return made


@pytest.mark.parametrize(
    ("parts", "listeners", "believed"),
    [
        pytest.param([(0, 8, 37_000, 100), (4000, 1, 1, 1)], 100, 0, id="one listener of a hundred, years later"),
        pytest.param([(0, 8, 85, 2), (100, 1, 3, 1)], 2, 0, id="one of two listeners, months after a week"),
        pytest.param([(0, 8, 85, 2), (80, 1, 3, 1)], 2, 1, id="a pause of under 90 days"),
        pytest.param([(0, 500, 85, 2), (300, 1, 3, 1)], 2, 1, id="a pause shorter than what came before"),
        pytest.param([(0, 5000, 85, 2), (366, 1, 3, 1)], 2, 0, id="a year is long after any time"),
        pytest.param([(0, 8, 85, 1), (4000, 1, 1, 1)], 1, 1, id="an only listener who comes back"),
        pytest.param([(0, 8, 2, 1), (4000, 30, 80, 1)], 2, 1, id="most of the listens come after the pause"),
        pytest.param([(0, 8, 10**6, 10**5), (900, 9, 10**4, 10**3)], 10**5, 0, id="a hundredth of a hundred thousand"),
        pytest.param([(0, 8, 10**6, 10**5), (900, 9, 10**4, 1001)], 10**5, 1, id="more than a hundredth"),
        pytest.param([(0, 8, 90, 9), (900, 1, 1, 1), (900, 1, 2, 1), (900, 1, 3, 1)], 10, 0, id="three false clocks"),
        pytest.param([(0, 8, 90, 9), (900, 9, 90, 8), (900, 1, 3, 1)], 10, 1, id="all pause, then one is alone"),
    ],
)
def test_days_after_a_long_pause_count_unless_they_are_the_work_of_very_few(
    parts: list[tuple[int, int, int, int]], listeners: int, believed: int
) -> None:
    made = stretches(*parts)
    assert last_believed(made, listeners) == made[believed].last


def test_the_listens_past_the_end_wait_for_a_later_night() -> None:
    """What the shared rule gives as dumps come in: never back, each day once its dump is complete."""
    ends = ["2014-06-21 00:00:03", "2014-06-21 14:20:00", "2014-06-21 23:59:58", "2014-06-23 00:00:00"]
    newest = ["2014-06-21 00:00:02", "2014-06-21 14:19:00", "2014-06-22 00:00:01", "2014-06-22 23:59:19"]
    days = [as_of(span("2014-06-15", last), micros(utc(end)), RULES) for end, last in zip(ends, newest, strict=True)]
    assert days == [date(2014, 6, 21), date(2014, 6, 21), date(2014, 6, 22), date(2014, 6, 23)]
    assert days == sorted(days)
    assert days[-1] - days[0] == timedelta(days=2)
