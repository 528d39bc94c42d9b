"""Windows of each listener's plays in order, the input of sequence models."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field, model_validator
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from musicrec.params import Params
from musicrec.schemas import PAD_IDX


class SequenceParams(Params):
    """How plays are cut into windows.

    Attributes
    ----------
    length : plays in a window.
    stride : plays from one window's start to the next's, at most `length`, so that no play is left out;
        length - 1 makes every transition a target once.
    session_gap_minutes : a pause longer than this ends a session, and no window crosses it; 0 for no sessions.
    """

    length: int = Field(default=50, ge=2)
    stride: int = Field(default=49, ge=1)
    session_gap_minutes: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _no_play_between_windows(self) -> Self:
        if self.stride > self.length:
            raise ValueError(f"stride must be at most length ({self.length}), not {self.stride}")
        return self


# The total order of a listener's plays. Times tie in real listens; the msid settles it, and key rows are unique.
_PLAY_ORDER = ("listened_at", "recording_msid")


def windows(plays: DataFrame, params: SequenceParams) -> DataFrame:
    """Cut each listener's plays into windows of fixed length.

    A window starts each `stride` plays from its session's start; the last one ends with the session and is padded on
    the left with -1, so windows that are full never change when later plays arrive.

    Parameters
    ----------
    plays : (user_id, user_idx, item_idx, listened_at, recording_msid), one row a listen.

    Returns
    -------
    The columns of silver.sequences; `items` and `times` (seconds since 1970, padded alike) have `length` entries.
    """
    length, stride = params.length, params.stride
    sessions = _with_session(plays, params.session_gap_minutes).groupBy("user_id", "user_idx", "session")
    played = sessions.agg(F.sort_array(F.collect_list(F.struct(*_PLAY_ORDER, "item_idx"))).alias("plays"))
    count = F.size("plays")
    last = F.ceil(F.greatest(count - length, F.lit(0)) / stride).cast("int")
    cut = (
        played.withColumn("step", F.explode(F.sequence(F.lit(0), last)))
        .withColumn("part", F.slice("plays", F.col("step") * stride + 1, F.lit(length)))
        .withColumn("window", F.row_number().over(Window.partitionBy("user_id").orderBy("session", "step")) - 1)
    )
    times = F.transform("part", lambda play: play["listened_at"].cast("long"))
    return cut.select(
        "user_id",
        "window",
        "user_idx",
        "session",
        left_pad(F.col("part.item_idx"), length).alias("items"),
        left_pad(times, length).alias("times"),
        F.size("part").alias("length"),
        F.col("part")[0]["listened_at"].alias("started_at"),
        F.element_at("part", -1)["listened_at"].alias("ended_at"),
    )


def last_plays(plays: DataFrame, length: int) -> DataFrame:
    """(user_idx, items array<int> [length]): each listener's newest plays whatever the session, left-padded."""
    grouped = plays.groupBy("user_idx").agg(
        F.sort_array(F.collect_list(F.struct(*_PLAY_ORDER, "item_idx"))).alias("plays")
    )
    start = F.greatest(F.size("plays") - length, F.lit(0)) + 1
    return grouped.select(
        "user_idx", left_pad(F.slice("plays", start, F.lit(length))["item_idx"], length).alias("items")
    )


def train_windows(sequences: DataFrame, before: datetime) -> DataFrame:
    """(user_id, window, items, first_target): what of each window lies before a time, left-padded again.

    Windows with fewer than two plays left are dropped: they hold no transition.
    """
    known = F.size(F.filter("times", lambda t: (t != PAD_IDX) & (t < _seconds(before))))
    length = F.size("items")
    start = length - F.col("length")
    cut = sequences.withColumn("known", known).where(F.col("known") >= 2)
    items = left_pad(F.slice("items", start + 1, F.col("known")), length)
    return cut.select("user_id", "window", items.alias("items"), (length - F.col("known") + 1).alias("first_target"))


def valid_windows(sequences: DataFrame, start: datetime, end: datetime) -> DataFrame:
    """(user_id, window, items, first_target): windows with plays in [start, end), with what came before as context.

    Only the places from `first_target` on are to be predicted.
    """
    return (
        train_windows(sequences, end)
        .join(_plays_before(sequences, start), ["user_id", "window"], "inner")
        .withColumn("first_target", F.greatest(F.col("first_target"), F.col("first_target") - 1 + F.col("context")))
        .where(F.col("first_target") < F.size("items"))
        .drop("context")
    )


def _plays_before(sequences: DataFrame, time: datetime) -> DataFrame:
    context = F.size(F.filter("times", lambda t: (t != PAD_IDX) & (t < _seconds(time))))
    return sequences.select("user_id", "window", context.alias("context"))


def left_pad(values: Column, length: Column | int) -> Column:
    """The array with -1 in front, up to `length`."""
    missing = (F.lit(length) if isinstance(length, int) else length) - F.size(values)
    return F.concat(F.array_repeat(F.lit(PAD_IDX), missing), values)


def _seconds(time: datetime) -> Column:
    return F.lit(int(time.timestamp()))


def _with_session(plays: DataFrame, gap_minutes: float) -> DataFrame:
    if gap_minutes == 0:
        return plays.withColumn("session", F.lit(0))
    in_order = Window.partitionBy("user_id").orderBy(*_PLAY_ORDER)
    pause = F.col("listened_at").cast("double") - F.lag("listened_at").over(in_order).cast("double")
    starts = plays.withColumn("starts", (F.coalesce(pause, F.lit(0.0)) > gap_minutes * 60).cast("int"))
    return starts.withColumn("session", F.sum("starts").over(in_order).cast("int")).drop("starts")
