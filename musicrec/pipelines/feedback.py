"""What listeners said, as it stood at a time."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.io.runs import Run
from musicrec.transforms.feedback import HATE, said_before, standing


def write_feedback(run: Run) -> bool:
    """Replace silver.feedback by what stands before the run's day; False where nothing was said."""
    lake, name = run.lakehouse, "silver.feedback"
    found = feedback_before(run, run.midnight)
    if found is not None:
        lake.overwrite(name, found)
        run.metric("rows_feedback", lake.read(name).count())
    elif not lake.exists(name) or not lake.read(name, is_input=False).isEmpty():
        lake.overwrite(name, lake.read_or_empty(name).limit(0))
    return found is not None


def feedback_before(run: Run, until: datetime) -> DataFrame | None:
    """silver.feedback as it stood at `until`; None where nothing had been said.

    Reads the listens, spellings and indexes of silver, which may reach beyond `until`: they only say which recording
    an id is.
    """
    lake = run.lakehouse
    statements = said_before(lake.read_or_empty("bronze.feedback"), until)
    if statements.isEmpty():
        return None
    names = ("listens", "spellings", "user_index", "item_index")
    return standing(statements, *[lake.read(f"silver.{name}") for name in names])


def blocked_artist_keys(run: Run) -> DataFrame | None:
    """(user_idx, artist_key): the artists that a listener blocks, for lists of what no listen has; None without any."""
    lake = run.lakehouse
    if not lake.exists("silver.feedback"):
        return None
    feedback = lake.read("silver.feedback").where((F.col("item_kind") == "artist") & (F.col("score") == HATE))
    if feedback.isEmpty():
        return None
    keys = lake.read("silver.recordings").select(F.col("artist_id").alias("item_id"), "artist_key").distinct()
    return feedback.join(keys, "item_id", "inner").select("user_idx", "artist_key").distinct()
