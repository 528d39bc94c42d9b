"""From when to when the listens of a table or a dump can be believed."""

from __future__ import annotations

from bisect import bisect_right

from pyspark.sql import DataFrame

from musicrec.transforms.listen_days import Day, Span, Stretch, days_played, last_believed, starts, stretches_played


def believed_span(listens: DataFrame) -> Span | None:
    """The first and the newest listen that can be believed; None where there is no listen.

    One pass over `listened_at`, whose result has a row a day. Only where a pause between two days can be a long one,
    a second pass counts the listeners on both sides of it.

    Parameters
    ----------
    listens : (user_id, listened_at), every listened_at filled.
    """
    days = sorted((Day(*row) for row in days_played(listens).collect()), key=lambda day: day.number)
    if not days:
        return None
    begin, last = starts(days), days[-1]
    if begin:
        rows = stretches_played(listens, begin).collect()
        (listeners,) = (row.listeners for row in rows if row.stretch is None)
        counted = sorted((row for row in rows if row.stretch is not None), key=lambda row: row.stretch)
        stretches = [Stretch(row["first"], row["last"], row.listens, row.listeners) for row in counted]
        newest = last_believed(stretches, listeners)
        last = days[bisect_right([day.number for day in days], newest) - 1]
    return Span(days[0].first, last.last)
