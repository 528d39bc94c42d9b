"""What a listener blocks is kept off their lists, whoever makes these."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.evaluation.splits import Shelf


def with_blocked(heard: DataFrame, blocked: DataFrame | None, shelf: Shelf) -> DataFrame:
    """What decides over the shelf: on `discover` all that a list must not hold, on `again` all that it may hold.

    Parameters
    ----------
    heard : DataFrame (user_idx int, heard array<int>, ascending), with any arrays that stand beside it.
    blocked : DataFrame (user_idx int, blocked array<int>), one row a listener; None where nothing is.

    Returns
    -------
    DataFrame (the columns of `heard`), its rows those of `heard`: on `discover` with the blocked items added, the
    arrays beside it left out; on `again` with the blocked items, and what stands beside them, taken out.
    """
    if blocked is None:
        return heard
    joined = heard.join(blocked.select("user_idx", "blocked"), "user_idx", "left")
    out = F.coalesce("blocked", F.array().cast("array<int>"))
    if shelf == "discover":
        return joined.select("user_idx", F.array_sort(F.array_union("heard", out)).alias("heard"))
    arrays = [name for name in heard.columns if name != "user_idx"]
    kept = F.filter(F.arrays_zip(*arrays), lambda own: ~F.array_contains(out, own["heard"]))
    return joined.select("user_idx", kept.alias("kept")).select(
        "user_idx", *[F.col(f"kept.{name}").alias(name) for name in arrays]
    )


def without_blocked(lists: DataFrame, blocked: DataFrame | None) -> DataFrame:
    """Lists (user_idx int, items array<int>, scores array<double>, ...) less what each listener blocks."""
    if blocked is None:
        return lists
    out = F.coalesce("blocked", F.array().cast("array<int>"))
    kept = F.filter(F.arrays_zip("items", "scores"), lambda own: ~F.array_contains(out, own["items"]))
    joined = lists.join(blocked.select("user_idx", "blocked"), "user_idx", "left").withColumn("kept", kept)
    columns = {"items": F.col("kept.items"), "scores": F.col("kept.scores")}
    return joined.select(*[columns.get(name, F.col(name)).alias(name) for name in lists.columns])
