"""From listens to one weighted row per listener and item."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.params import Params

ItemKind = Literal["recording", "artist"]


class InteractionParams(Params):
    """How plays become a confidence.

    Attributes
    ----------
    kinds : which items to build interactions for.
    confidence : `binary` 1, `log` ln(1 + decayed plays), `count` decayed plays.
    half_life_days : a play this old counts half; 0 for no decay.
    """

    kinds: tuple[ItemKind, ...] = ("recording", "artist")
    confidence: Literal["binary", "log", "count"] = "log"
    half_life_days: float = Field(default=0.0, ge=0)


def listens_before(listens: DataFrame, as_of: date) -> DataFrame:
    """The listens before `as_of`'s midnight, UTC."""
    return listens.where(F.col("listened_at") < F.lit(as_of).cast("timestamp"))


def items_of_kinds(listens: DataFrame, kinds: tuple[ItemKind, ...]) -> DataFrame:
    """One row per listen and kind of item: the columns of `listens` with item_kind and item_id."""
    items = [F.struct(F.lit(kind).alias("item_kind"), F.col(f"{kind}_id").alias("item_id")) for kind in kinds]
    return listens.withColumn("item", F.explode(F.array(*items))).select(
        *listens.columns, "item.item_kind", "item.item_id"
    )


def interactions(listens: DataFrame, params: InteractionParams, as_of: date) -> DataFrame:
    """Plays, first, last and weight of each listener and item.

    Parameters
    ----------
    listens : (user_id, listened_at, recording_id, artist_id); all before `as_of`.
    as_of : the day from whose midnight (UTC) the age of a play is counted.

    Returns
    -------
    (item_kind, user_id, item_id, plays, first_listened_at, last_listened_at, weight)
    """
    grouped = items_of_kinds(listens, params.kinds).groupBy("item_kind", "user_id", "item_id")
    plays = grouped.agg(
        F.count("*").alias("plays"),
        F.min("listened_at").alias("first_listened_at"),
        F.max("listened_at").alias("last_listened_at"),
        F.sum(_decay(params.half_life_days, as_of)).alias("decayed"),
    )
    return plays.withColumn("weight", _confidence(params.confidence)).drop("decayed")


def _decay(half_life_days: float, as_of: date) -> Column:
    if half_life_days == 0:
        return F.lit(1.0)
    age_seconds = F.lit(as_of).cast("timestamp").cast("double") - F.col("listened_at").cast("double")
    return F.pow(F.lit(0.5), age_seconds / F.lit(86_400.0 * half_life_days))


def _confidence(kind: str) -> Column:
    if kind == "binary":
        return F.lit(1.0)
    # Rounded, since a sum of floats depends on the order of its terms, hence on the partitions.
    return F.round(F.log1p("decayed") if kind == "log" else F.col("decayed"), 9)


def with_indexes(rows: DataFrame, user_index: DataFrame, item_index: DataFrame) -> DataFrame:
    """Add user_idx and item_idx to rows of (user_id, item_kind, item_id); every id must be in its index."""
    return rows.join(user_index, "user_id", "inner").join(item_index, ["item_kind", "item_id"], "inner")


def heard_items(indexed: DataFrame) -> DataFrame:
    """(user_idx, heard array<int>, sorted) of indexed interactions."""
    return indexed.groupBy("user_idx").agg(F.array_sort(F.collect_set("item_idx")).alias("heard"))
