"""Times as sources give them: read as an instant in UTC, or kept as a number that says why they can be none.

A source that writes times as text or numbers gives two columns: the instant, and `stamp`, which is filled only where
there is no instant although something was given: the seconds since 1970 where they are beyond the year 9999, and NaN
for what is no time at all. Both are null where nothing was given.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from pyspark.sql import Column
from pyspark.sql import functions as F

from musicrec.transforms.numbers import decimal

DAY_MICROS = 86_400_000_000
_YEAR_9999 = 253_402_300_799  # in seconds; a time beyond it is no time in seconds
# A bare clock time would be taken for one of the day on which the job runs, as would "now".
_INSTANT = r"^\s*\d{4}-\d{1,2}-\d{1,2}[ Tt]+\d{1,2}:\d{1,2}"
_DAY = r"^\s*\d{4}-\d{1,2}(-\d{1,2})?\s*$"
# What a stamp of another unit must be divided by to be in seconds.
UNITS = {"time_in_milliseconds": 1e3, "time_in_microseconds": 1e6, "time_in_nanoseconds": 1e9}


def midnight(day: date) -> datetime:
    """The start of a day in UTC."""
    return datetime.combine(day, time(), UTC)


def micros(at: datetime) -> int:
    """Microseconds since 1970 of a time with its zone, exact."""
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def day_at(since_1970: int) -> date:
    """The day (UTC) of microseconds since 1970."""
    return date.fromordinal(date(1970, 1, 1).toordinal() + since_1970 // DAY_MICROS)


def instant_of(text: Column, *, whole_days: bool = False) -> Column:
    """Seconds since 1970, as a number or its text (fractions are cut off), else a date with a time.

    A time without a zone is in UTC. Null where the text is neither; with `whole_days` a day alone is its midnight.
    """
    seconds = decimal(text)
    whole = F.timestamp_seconds(F.when(seconds.between(-_YEAR_9999, _YEAR_9999), F.floor(seconds)))
    is_written = text.rlike(_INSTANT) | text.rlike(_DAY) if whole_days else text.rlike(_INSTANT)
    return F.coalesce(whole, F.when(seconds.isNull() & is_written, F.try_to_timestamp(text)))


def stamp_of(text: Column, *, whole_days: bool = False) -> Column:
    """The `stamp` (double) of a text that `instant_of` makes no instant of. Null for blanks and days without a time."""
    seconds = decimal(text)
    is_given = (F.trim(text) != "") & (F.lit(whole_days) | ~text.rlike(_DAY))
    is_finite = seconds.between(-1e300, 1e300)
    stamp = F.when(is_finite, seconds).when(is_given, F.lit(float("nan")))
    return F.when(instant_of(text, whole_days=whole_days).isNull(), stamp)


def time_faults(at: Column, stamp: Column, earliest: datetime, latest: datetime, now: datetime) -> dict[str, Column]:
    """Why a time cannot be right: reason → condition, each never null.

    Parameters
    ----------
    at, stamp : the instant and the stamp beside it.
    earliest, latest : what lies before or after cannot be right.
    now : a stamp in another unit is known by lying between `earliest` and now once it is divided.
    """
    is_number = F.coalesce(~F.isnan(stamp), F.lit(False))
    low, high = earliest.timestamp(), now.timestamp()
    faults = {
        "missing_time": at.isNull() & stamp.isNull(),
        "bad_time": F.coalesce(F.isnan(stamp), F.lit(False)),
    }
    in_unit: Column = F.lit(False)
    for reason, by in UNITS.items():
        # Of the units that would do, the first: where times from 1970 on are good, a thousandth of one may be too.
        faults[reason] = is_number & ~in_unit & (stamp / by).between(low, high)
        in_unit = in_unit | faults[reason]
    faults["too_early"] = (at < F.lit(earliest)) | (is_number & (stamp < 0))
    faults["in_future"] = (at > F.lit(latest)) | (is_number & (stamp > 0) & ~in_unit)
    return {reason: F.coalesce(is_so, F.lit(False)) for reason, is_so in faults.items()}


TIME_REASONS = ("missing_time", "bad_time", *UNITS, "too_early", "in_future")
