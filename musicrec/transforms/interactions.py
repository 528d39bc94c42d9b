"""From listens to one weighted row per listener and item."""

from __future__ import annotations

from datetime import date
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.params import Params

ItemKind = Literal["recording", "artist"]
Confidence = Literal["binary", "log", "count"]

# Of an item that was played, however long ago; the last decimal that is kept.
_LEAST_WEIGHT = 1e-9


class InteractionParams(Params):
    """How plays become a confidence.

    Attributes
    ----------
    kinds : which items to build interactions for.
    confidence : `binary` 1, `log` ln(1 + decayed plays), `count` decayed plays.
    half_life_days : a play this old counts half; 0 for no decay.
    love_weight : a loved item that was played weighs 1 + love_weight times as much, one that was not as much as
        love_weight single plays; 0 for no effect.
    """

    kinds: tuple[ItemKind, ...] = ("recording", "artist")
    confidence: Confidence = "log"
    half_life_days: float = Field(default=0.0, ge=0)
    love_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)


def listens_before(listens: DataFrame, as_of: date) -> DataFrame:
    """The listens before `as_of`'s midnight, UTC."""
    return listens.where(F.col("listened_at") < F.lit(as_of).cast("timestamp"))


def indexed_plays(listens: DataFrame, item: ItemKind) -> DataFrame:
    """(user_id, user_idx, item_idx, listened_at, recording_msid) of silver.listens, its item of the given kind."""
    item_idx = F.col(f"{item}_idx").alias("item_idx")
    return listens.select("user_id", "user_idx", item_idx, "listened_at", "recording_msid")


def interactions(listens: DataFrame, params: InteractionParams, as_of: date) -> DataFrame:
    """Plays, first, last and weight of each listener and item.

    Parameters
    ----------
    listens : (user_idx, recording_idx, artist_idx, listened_at); all before `as_of`.
    as_of : the day from whose midnight (UTC) the age of a play is counted.

    Returns
    -------
    (item_kind, user_idx, item_idx, plays, first_listened_at, last_listened_at, weight)
    """
    made = [_of_kind(listens, kind, params, as_of) for kind in params.kinds]
    return reduce(DataFrame.unionByName, made)


def _of_kind(listens: DataFrame, kind: ItemKind, params: InteractionParams, as_of: date) -> DataFrame:
    plays = listens.groupBy("user_idx", F.col(f"{kind}_idx").alias("item_idx")).agg(
        F.count("*").alias("plays"),
        F.min("listened_at").alias("first_listened_at"),
        F.max("listened_at").alias("last_listened_at"),
        F.sum(_decay(params.half_life_days, as_of)).alias("decayed"),
    )
    weighted = plays.withColumns({"item_kind": F.lit(kind), "weight": _confidence(params.confidence)})
    return weighted.drop("decayed")


def _decay(half_life_days: float, as_of: date) -> Column:
    if half_life_days == 0:
        return F.lit(1.0)
    age_seconds = F.lit(as_of).cast("timestamp").cast("double") - F.col("listened_at").cast("double")
    return F.pow(F.lit(0.5), age_seconds / F.lit(86_400.0 * half_life_days))


def confidence_of(plays: NDArray[np.float64], kind: Confidence) -> NDArray[np.float64]:
    """The weights of numbers of plays that have not faded, as `interactions` computes them."""
    if kind == "binary":
        return np.ones(len(plays))
    return np.round(np.log1p(plays) if kind == "log" else np.asarray(plays, np.float64), 9)


def weight_of_one_play(kind: Confidence) -> float:
    """Of a play that has not faded."""
    return float(confidence_of(np.ones(1), kind)[0])


def _confidence(kind: Confidence) -> Column:
    if kind == "binary":
        return F.lit(1.0)
    # Rounded, since a sum of floats depends on the order of its terms, hence on the partitions. What was played, be it
    # forty half-lives ago, is not unheard: models need weights above 0.
    return F.greatest(F.round(F.log1p("decayed") if kind == "log" else F.col("decayed"), 9), F.lit(_LEAST_WEIGHT))


def with_ids(pairs: DataFrame, user_index: DataFrame, item_index: DataFrame) -> DataFrame:
    """Add user_id and item_id to rows of (user_idx, item_kind, item_idx)."""
    return pairs.join(user_index, "user_idx", "inner").join(item_index, ["item_kind", "item_idx"], "inner")


def heard_items(indexed: DataFrame) -> DataFrame:
    """(user_idx, heard array<int>, plays array<long>, last array<timestamp>) of indexed interactions.

    `heard` is sorted; the three arrays stand side by side. What is only loved, with 0 plays, was not heard.
    """
    own = F.array_sort(F.collect_list(F.struct("item_idx", "plays", "last_listened_at")))
    rows = indexed.where("plays > 0").groupBy("user_idx").agg(own.alias("own"))
    return rows.select(
        "user_idx",
        F.col("own.item_idx").alias("heard"),
        F.col("own.plays").alias("plays"),
        F.col("own.last_listened_at").alias("last"),
    )
