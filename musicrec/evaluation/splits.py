"""What a model may learn from, and what it is judged on."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError

Shelf = Literal["discover", "again"]


def split_at(listens: DataFrame, at: datetime) -> tuple[DataFrame, DataFrame]:
    """The listens strictly before `at`, to train on, and those from `at` on, to test on: every row is in just one.

    Raises
    ------
    InputError : `at` has no time zone; which listens are before it would depend on the machine's clock settings.
    """
    if at.tzinfo is None:
        raise InputError("the time to split listens at", "a time with a time zone", at.isoformat())
    is_before = F.col("listened_at") < F.lit(at)
    return listens.where(is_before), listens.where(~is_before)


def relevant_items(test: DataFrame, heard: DataFrame, shelf: Shelf) -> DataFrame:
    """What each listener played in the test period: for `discover` what is new to them, for `again` what is not.

    Parameters
    ----------
    test : DataFrame (user_idx, item_idx), one row a listen.
    heard : DataFrame (user_idx, heard array<int>), what each listener played in training.

    Returns
    -------
    DataFrame (user_idx int, relevant array<int>, ascending); a listener with nothing relevant has no row: they are
    not judged. One who is new in the test period has heard nothing.
    """
    played = test.groupBy("user_idx").agg(F.collect_set("item_idx").alias("played"))
    known = _or_empty(F.col("heard"))
    chosen = F.array_except("played", known) if shelf == "discover" else F.array_intersect("played", known)
    relevant = F.array_sort(chosen).alias("relevant")
    joined = played.join(heard.select("user_idx", "heard"), "user_idx", how="left")
    return joined.select("user_idx", relevant).where(F.size("relevant") > 0)


def with_candidates(relevant: DataFrame, heard: DataFrame, catalogue: DataFrame, shelf: Shelf) -> DataFrame:
    """`relevant` with how many items a model had to rank for each listener.

    For `discover` the catalogue less what the listener heard, and also the relevant items that no one played in
    training: no model can list them, but they were played, and leaving them out would flatter every model. For
    `again` what the listener heard.

    Parameters
    ----------
    relevant : of `relevant_items`.
    heard : DataFrame (user_idx, heard array<int>); every item of it is in the catalogue.
    catalogue : DataFrame (item_idx), one row an item that was played in training.

    Returns
    -------
    DataFrame (user_idx int, relevant array<int>, candidates long).
    """
    heard_count = F.size(_or_empty(F.col("heard"))).cast("long")
    joined = relevant.join(heard.select("user_idx", "heard"), "user_idx", how="left")
    if shelf == "again":
        return joined.select("user_idx", "relevant", heard_count.alias("candidates"))
    items = relevant.select("user_idx", F.explode("relevant").alias("item_idx"))
    unknown = items.join(catalogue.select("item_idx"), "item_idx", how="left_anti")
    unknown_count = unknown.groupBy("user_idx").agg(F.count("*").alias("unknown"))
    size = catalogue.agg(F.count("*").alias("size"))
    candidates = F.col("size") - heard_count + F.coalesce(F.col("unknown"), F.lit(0))
    joined = joined.join(unknown_count, "user_idx", how="left").crossJoin(F.broadcast(size))
    return joined.select("user_idx", "relevant", candidates.alias("candidates"))


def _or_empty(items: Column) -> Column:
    return F.coalesce(items, F.array().cast("array<int>"))
