"""Times that no listen can have, as clients and broken clocks write them, each with the reason that is true of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

# A stamp as JSON has it, and why it cannot be right.
Stamp = tuple[Any, str]

_FIRST, _NOW = int(datetime(2002, 10, 1, tzinfo=UTC).timestamp()), int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
_YEAR_2100, _YEAR_9999 = 4_102_444_800, 253_402_300_799
_ANY_LISTEN = st.integers(_FIRST, _NOW)
_ISO = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f+05:45")


def _written(seconds: int, form: str) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    # strftime does not fill the year up to four digits everywhere.
    return f"{at.year:04}{at.strftime(form.removeprefix('%Y'))}"


def _as_sent(seconds: st.SearchStrategy[int]) -> st.SearchStrategy[int | float | str]:
    """As a number, its text, or a date with a time."""
    written = st.builds(_written, seconds, st.sampled_from(_ISO))
    return st.one_of(seconds, seconds.map(float), seconds.map(str), written)


def _with(reason: str, stamps: st.SearchStrategy[Any]) -> st.SearchStrategy[Stamp]:
    return stamps.map(lambda stamp: (stamp, reason))


def wrong_stamps() -> st.SearchStrategy[Stamp]:
    """Any value of `timestamp` in a line of JSON that is no time at which anyone can have listened."""
    year = 366 * 86_400
    return st.one_of(
        _with("in_future", _as_sent(st.integers(_YEAR_2100, _YEAR_9999 - year))),
        _with("in_future", st.sampled_from([2**31 - 1, 32_503_680_000, _YEAR_9999, 10**11, "9999-12-31T23:59:59Z"])),
        _with("in_future", st.sampled_from([1e30, 9e18 * 1e9, 2**63 - 1, 2**64, 10**25, str(10**19)])),
        _with("too_early", _as_sent(st.integers(-62_100_000_000, _FIRST - 1 - year))),
        _with("too_early", st.sampled_from([0, -1, "-1", -(2**63), -1e30, 2014, "0001-01-01 00:00:00"])),
        _with("time_in_milliseconds", _ANY_LISTEN.map(lambda s: s * 10**3)),
        _with("time_in_milliseconds", _ANY_LISTEN.map(lambda s: str(s * 10**3 + 123))),
        _with("time_in_microseconds", _ANY_LISTEN.map(lambda s: s * 10**6)),
        _with("time_in_nanoseconds", _ANY_LISTEN.map(lambda s: s * 10**9)),
        _with("missing_time", st.sampled_from([None, "", " ", "2014-06-22", "2014-06"])),
        _with("bad_time", st.sampled_from(["soon", "NaN", "12:30", "T12:30:01", "now", "-Infinity", "22.6.14 10:00"])),
        _with("bad_time", st.sampled_from([True, False, [], [1403427600], {}, {"at": 1403427600}, "2014-06-31 10:00"])),
    )
