"""Which days of listening can be believed, and up to which midnight they are complete.

A clock that is years ahead puts a listen far behind all others. Such listens are known by standing alone: after a
pause that is longer than all the time before it, by very few of the listeners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.transforms.listens import ListenRules
from musicrec.transforms.times import DAY_MICROS, day_at

# A pause is long from the first on where all before it is shorter, from the second on in any case.
_LONG_PAUSE_DAYS = (90, 365)
_FEW_LISTENERS = 0.01


@dataclass(frozen=True)
class Day:
    """A day on which anything was played: its number since 1970, its first and last listen in microseconds."""

    number: int
    first: int
    last: int


@dataclass(frozen=True)
class Stretch:
    """Days without a long pause between them, and how much was played on them."""

    first: int
    last: int
    listens: int
    listeners: int


@dataclass(frozen=True)
class Span:
    """The first and the newest listen that can be believed, in microseconds since 1970."""

    first: int
    last: int

    def complete_until(self, rules: ListenRules) -> date:
        """The day that had not begun with the newest listen: a day whose first minutes alone are there has not."""
        return next_day(max(self.last - _micros(rules.end_tolerance_minutes), self.first))

    @property
    def day_after(self) -> date:
        """The day after the newest listen's."""
        return next_day(self.last)


def days_played(listens: DataFrame) -> DataFrame:
    """(number, first, last) of each day on which anything was played, as `Day`."""
    at = F.unix_micros("listened_at")
    return listens.groupBy(_day(at).alias("number")).agg(F.min(at).alias("first"), F.max(at).alias("last"))


def starts(days: Sequence[Day]) -> list[int]:
    """The numbers of the days that follow a pause which can be long; `days` in order."""
    return [day.number for before, day in pairwise(days) if day.number - before.number > _LONG_PAUSE_DAYS[0]]


def stretches_played(listens: DataFrame, begin: Sequence[int]) -> DataFrame:
    """(stretch, first, last, listens, listeners): of each stretch, and of all together where stretch is null.

    Parameters
    ----------
    begin : the result of `starts`; stretch n begins with the nth of these days.
    """
    day = _day(F.unix_micros("listened_at"))
    stretch: Column = F.lit(0)
    for number in begin:
        stretch = stretch + (day >= number).cast("int")
    numbered = listens.select(stretch.alias("stretch"), day.alias("day"), "user_id")
    return numbered.rollup("stretch").agg(
        F.min("day").alias("first"),
        F.max("day").alias("last"),
        F.count("*").alias("listens"),
        F.count_distinct("user_id").alias("listeners"),
    )


def last_believed(stretches: Sequence[Stretch], listeners: int) -> int:
    """The last day (its number) that can be believed; `stretches` in order, `listeners` of all of them.

    From the newest back, a stretch is not believed where it follows a pause longer than all the days before it span
    (at least 90 days; a year is always long), holds fewer listens than these, and is the work of one listener, or of a
    hundredth of all, where there are several.
    """
    believed = len(stretches) - 1
    few = max(1, int(listeners * _FEW_LISTENERS))
    while believed > 0 and few < listeners:
        before, own = stretches[:believed], stretches[believed]
        spanned = before[-1].last - before[0].first + 1
        long_pause = min(max(spanned, _LONG_PAUSE_DAYS[0]), _LONG_PAUSE_DAYS[1])
        is_alone = own.listeners <= few and own.listens < sum(one.listens for one in before)
        if not is_alone or own.first - before[-1].last <= long_pause:
            break
        believed -= 1
    return stretches[believed].last


def next_day(since_1970: int) -> date:
    """The day after that of microseconds since 1970."""
    return day_at(since_1970) + timedelta(days=1)


def complete_day(ended_at: int, rules: ListenRules) -> date:
    """The day up to whose midnight a dump that ends at `ended_at` (microseconds since 1970) is complete.

    A dump that is cut shortly before midnight, as clocks and schedules have it, holds the day.
    """
    return day_at(ended_at + _micros(rules.end_tolerance_minutes))


def as_of(span: Span, ended_at: int | None, rules: ListenRules) -> date:
    """The end of the last complete day: listens before this day's midnight (UTC) count.

    Parameters
    ----------
    span : of the listens taken in.
    ended_at : the newest end of a dump, in microseconds since 1970; None where no dump says one.

    Returns
    -------
    The day up to which dumps are complete by `ended_at`, else by the listens; at most the day after the newest listen.
    Where that leaves no listen at all, the day after the newest listen: of a part of a day something is better than
    nothing.
    """
    by_end = span.complete_until(rules) if ended_at is None else complete_day(ended_at, rules)
    day = min(by_end, span.day_after)
    return day if day > day_at(span.first) else span.day_after


def _day(since_1970: Column) -> Column:
    day = F.lit(DAY_MICROS)
    return ((since_1970 - F.pmod(since_1970, day)) / day).cast("long")


def _micros(minutes: float) -> int:
    return round(minutes * 60_000_000)
