"""The proof that no model saw what it is judged on."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import LeakError

LISTEN_KEY = ("user_id", "listened_at", "recording_msid")


def check_no_leak(train_rows: DataFrame, test_rows: DataFrame) -> None:
    """Look for test listens among the training rows, by key, and for training rows from the test period.

    Parameters
    ----------
    train_rows, test_rows : DataFrames with at least user_id, listened_at, recording_msid.

    Raises
    ------
    LeakError : a listen is in both, or the newest training row is not before the oldest test row.
    """
    # Times as text: a driver in another time zone than the session must not shift what the message says.
    span = train_rows.agg(F.max("listened_at").alias("newest")).crossJoin(
        test_rows.agg(F.min("listened_at").alias("oldest"))
    )
    newest, oldest, is_mixed = span.select(
        F.col("newest").cast("string"), F.col("oldest").cast("string"), F.col("newest") >= F.col("oldest")
    ).collect()[0]
    if not is_mixed:  # then no key, which holds the time, can be on both sides
        return
    shared = train_rows.select(*LISTEN_KEY).intersect(test_rows.select(*LISTEN_KEY)).count()
    found = [f"{shared} of the test period's listens are among the training rows"] if shared else []
    found.append(f"the newest training row ({newest}) is not before the oldest test row ({oldest})")
    raise LeakError("leak: " + "; ".join(found))
