from __future__ import annotations

from datetime import timedelta

import pytest
from pyspark.sql import SparkSession

from musicrec.errors import TooLittleError
from musicrec.evaluation.enough import check_enough
from tests.dumps import utc

START = utc("2021-08-20")


def listens(days: dict[int, int]) -> list[tuple[object]]:
    """So many listens on each day before (or, from 0 on, after) the start."""
    return [(START + timedelta(days=day, minutes=n),) for day, count in days.items() for n in range(count)]


# Of the 28 last days with listens the median is 10: 14 have 9, 14 have 11; older ones, of 1,000, do not count.
USUAL = {-100 - n: 1000 for n in range(5)} | {-1 - 2 * n: 9 if n % 2 else 11 for n in range(28)}


@pytest.mark.parametrize(
    ("days", "length", "found"),
    [
        (USUAL | {0: 2}, 1, None),
        (USUAL | {0: 1}, 1, r"a fifth of the usual \(2.0\) or more from 2021-08-20 00:00 to 2021-08-21 00:00, found 1"),
        (USUAL | {0: 1, 1: 2}, 2, r"usual \(4.0\).* found 3"),
        (USUAL | {0: 1, 1: 3}, 2, None),
        (USUAL | {0: 1}, 0.5, None),
        (USUAL | {1: 50}, 1, "expected listens from .*, found 0"),
        ({0: 50}, 1, "expected listens before 2021-08-20 00:00, found none"),
        ({-400: 1, 0: 1}, 1, None),
        ({}, 1, "found none"),
    ],
)
def test_a_fifth_of_the_usual_is_enough(
    spark: SparkSession, days: dict[int, int], length: float, found: str | None
) -> None:
    rows = spark.createDataFrame(listens(days), "listened_at timestamp")
    end = START + timedelta(days=length)
    if found is None:
        check_enough(rows, START, end, "evaluate")
    else:
        with pytest.raises(TooLittleError, match=f"^evaluate, table silver.listens: .*{found}"):
            check_enough(rows, START, end, "evaluate")
