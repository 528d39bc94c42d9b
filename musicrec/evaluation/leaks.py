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
    trained = train_rows.select(*LISTEN_KEY, F.lit(True).alias("is_train"))
    tested = test_rows.select(*LISTEN_KEY, F.lit(False).alias("is_train"))
    keys = trained.union(tested).groupBy(*LISTEN_KEY)
    sides = keys.agg(F.bool_or("is_train").alias("in_train"), F.bool_or(~F.col("is_train")).alias("in_test"))
    # Times as text: a driver in another time zone than the session must not shift what the message says.
    shared, newest, oldest, is_mixed = sides.agg(
        F.count_if(F.col("in_train") & F.col("in_test")),
        F.max(F.when(F.col("in_train"), F.col("listened_at"))).cast("string"),
        F.min(F.when(F.col("in_test"), F.col("listened_at"))).cast("string"),
        F.max(F.when(F.col("in_train"), F.col("listened_at"))) >= F.min(F.when(F.col("in_test"), F.col("listened_at"))),
    ).collect()[0]
    found = []
    if shared:
        found.append(f"{shared} of the test period's listens are among the training rows")
    if is_mixed:
        found.append(f"the newest training row ({newest}) is not before the oldest test row ({oldest})")
    if found:
        raise LeakError("leak: " + "; ".join(found))
