"""Whether enough was played in a time to judge, or learn, from it."""

from __future__ import annotations

from datetime import datetime
from statistics import median

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import TooLittleError

# A time with fewer of the usual listens lacks a part of them, whose listeners would be judged as if they had stopped.
LEAST_SHARE = 0.2
# What is usual is the median of so many last days that have listens.
_DAYS = 28


def check_enough(listens: DataFrame, start: datetime, end: datetime, what: str) -> None:
    """Raise where there is too little in [start, end) to judge by.

    Usual are as many listens a day as in the median of the last 28 days before `start` that have any; a fifth of that
    is enough.

    Parameters
    ----------
    listens : DataFrame (listened_at).
    what : the time is for, in the error's words.

    Raises
    ------
    TooLittleError : nothing before `start`, or within too little.
    """
    at = F.col("listened_at")
    days = listens.where(at < F.lit(end)).groupBy((at >= F.lit(start)).alias("within"), F.to_date(at).alias("day"))
    rows = days.count().collect()
    before = [row["count"] for row in sorted(rows, key=lambda row: row.day) if not row.within]
    within = sum(row["count"] for row in rows if row.within)
    where = f"{what}, table silver.listens"
    if not before:
        raise TooLittleError(where, f"listens before {start:%Y-%m-%d %H:%M}", "none")
    least = LEAST_SHARE * median(before[-_DAYS:]) * ((end - start).total_seconds() / 86_400)
    if not within or within < least:
        usual = f"a fifth of the usual ({least:,.1f}) or more" if within else "listens"
        raise TooLittleError(where, f"{usual} from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}", f"{within:,}")
