"""Windows of each listener's plays in order, the input of sequence models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Self

import pyarrow as pa
from pydantic import Field, model_validator
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.padding import PAD_IDX
from musicrec.params import Params
from musicrec.transforms.histories import cut_windows, newest_plays, whole_histories


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
    length, stride, gap = params.length, params.stride, params.session_gap_minutes * 60

    def cut(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for history in whole_histories(batches):
            yield cut_windows(history, length, stride, gap)

    micros = F.unix_micros("listened_at").alias("micros")
    schema = (
        "user_id string, window int, user_idx int, session int, items array<int>, times array<long>, "
        "length int, started_at long, ended_at long"
    )
    made = _in_order(plays).select("user_id", "user_idx", "item_idx", micros).mapInArrow(cut, schema)
    return made.withColumns({name: F.timestamp_micros(name) for name in ("started_at", "ended_at")})


def last_plays(sequences: DataFrame, params: SequenceParams, before: datetime) -> DataFrame:
    """(user_idx, items array<int> [length]): each listener's newest plays before a time, whatever the session.

    Left-padded; a listener without plays before the time has no row.

    Parameters
    ----------
    sequences : silver.sequences, cut with `params`.
    """
    stride, end = params.stride, int(before.timestamp())

    def cut(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for history in whole_histories(batches):
            yield newest_plays(history, stride, end)

    ordered = sequences.repartition("user_idx").sortWithinPartitions("user_idx", "window")
    columns = ("user_idx", "window", "session", "items", "times", "length")
    return ordered.select(*columns).mapInArrow(cut, "user_idx int, items array<int>")


def _in_order(plays: DataFrame) -> DataFrame:
    """Each listener's plays in one partition, one after the other."""
    kept = plays.select("user_id", "user_idx", "item_idx", *_PLAY_ORDER)
    return kept.repartition("user_idx").sortWithinPartitions("user_idx", *_PLAY_ORDER)


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
