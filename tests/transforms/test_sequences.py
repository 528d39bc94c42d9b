from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession

from musicrec.transforms.histories import cut_windows, newest_plays
from musicrec.transforms.sequences import SequenceParams, last_plays, train_windows, valid_windows, windows

START = datetime(2020, 1, 1)
SCHEMA = "user_id string, user_idx int, item_idx int, listened_at timestamp, recording_msid string"

# Minutes after START and items of one listener; times may tie.
HISTORY = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9)), min_size=1, max_size=25)


def frame(spark: SparkSession, plays: list[tuple[int, int]], partitions: int = 2) -> DataFrame:
    rows = [
        ("u", 0, item, START + timedelta(minutes=minute), f"m{place:03d}") for place, (minute, item) in enumerate(plays)
    ]
    return spark.createDataFrame(rows, SCHEMA).repartition(partitions)


def in_order(plays: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stable sort by time: ties stay in the order of their msid."""
    return sorted(plays, key=lambda play: play[0])


def by_hand(plays: list[tuple[int, int]], params: SequenceParams) -> list[list[int]]:
    """Windows as a plain loop makes them."""
    sessions: list[list[tuple[int, int]]] = [[]]
    for play in in_order(plays):
        gap = params.session_gap_minutes
        if gap and sessions[-1] and play[0] - sessions[-1][-1][0] > gap:
            sessions.append([])
        sessions[-1].append(play)
    found = []
    for session in sessions:
        items = [item for _, item in session]
        start = 0
        while True:
            part = items[start : start + params.length]
            found.append([-1] * (params.length - len(part)) + part)
            if start + params.length >= len(items):
                break
            start += params.stride
    return found


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plays=HISTORY,
    shape=st.integers(2, 7).flatmap(lambda length: st.tuples(st.just(length), st.integers(1, length))),
    gap=st.sampled_from([0.0, 10.0, 60.0]),
    partitions=st.integers(1, 4),
)
def test_windows_equal_a_plain_loop(
    spark: SparkSession, plays: list[tuple[int, int]], shape: tuple[int, int], gap: float, partitions: int
) -> None:
    length, stride = shape
    params = SequenceParams(length=length, stride=stride, session_gap_minutes=gap)
    rows = windows(frame(spark, plays, partitions), params).orderBy("window").collect()
    assert [list(row["items"]) for row in rows] == by_hand(plays, params)
    assert [row.window for row in rows] == list(range(len(rows)))
    for row in rows:
        assert len(row.times) == length
        assert row.length == sum(item != -1 for item in row["items"])
        assert row.started_at <= row.ended_at
        assert row.times[-1] == int(row.ended_at.replace(tzinfo=UTC).timestamp())


def test_a_stride_that_would_leave_plays_out_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"at most length \(4\), not 5"):
        SequenceParams(length=4, stride=5)


def test_later_plays_leave_full_windows_as_they_are(spark: SparkSession) -> None:
    params = SequenceParams(length=4, stride=3)
    plays = [(minute, minute % 7) for minute in range(10)]
    before = windows(frame(spark, plays), params).collect()
    after = windows(frame(spark, [*plays, (99, 5), (100, 6)]), params).collect()
    full = {(row.window, tuple(row["items"])) for row in before if row.length == 4}
    assert len(full) == 3
    assert full <= {(row.window, tuple(row["items"])) for row in after}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plays=HISTORY, length=st.integers(2, 6), valid_from=st.integers(0, 200))
def test_training_and_validation_targets_part_at_the_time(
    spark: SparkSession, plays: list[tuple[int, int]], length: int, valid_from: int
) -> None:
    params = SequenceParams(length=length, stride=length - 1)
    cut = (START + timedelta(minutes=valid_from)).replace(tzinfo=UTC)
    end = (START + timedelta(days=9)).replace(tzinfo=UTC)
    made = windows(frame(spark, plays), params)
    ordered = in_order(plays)
    transitions = [(minute, pair) for (minute, _), pair in zip(ordered[1:], itertools.pairwise(ordered), strict=True)]

    def targets(rows: DataFrame) -> list[tuple[int, int]]:
        """(context item, target item) of every place that is to be predicted."""
        return sorted(
            (row["items"][place - 1], row["items"][place])
            for row in rows.collect()
            for place in range(row.first_target, length)
        )

    # With a stride of length - 1 each transition is a target exactly once.
    early = sorted((a[1], b[1]) for minute, (a, b) in transitions if minute < valid_from)
    late = sorted((a[1], b[1]) for minute, (a, b) in transitions if minute >= valid_from)
    assert targets(train_windows(made, cut)) == early
    assert targets(valid_windows(made, cut, end)) == late


@settings(max_examples=200, deadline=None)
@given(
    st.lists(HISTORY, min_size=1, max_size=3),
    st.integers(2, 5),
    st.integers(1, 5),
    st.sampled_from([0.0, 5.0]),
    st.integers(0, 210),
)
def test_last_plays_are_those_of_the_whole_history(
    histories: list[list[tuple[int, int]]], length: int, stride: int, gap: float, before: int
) -> None:
    plays = [(user, *play) for user, own in enumerate(histories) for play in in_order(own)]
    user, minute, item = (np.array(column) for column in zip(*plays, strict=True))
    history = pa.table(
        {"user_id": [f"u{u}" for u in user], "user_idx": user, "item_idx": item, "micros": minute * 60_000_000}
    )
    cut = cut_windows(history, length, min(stride, length), gap * 60)
    found = newest_plays(pa.Table.from_batches([cut]), min(stride, length), before * 60).to_pydict()
    expected = {
        number: [item for minute, item in in_order(own) if minute < before][-length:]
        for number, own in enumerate(histories)
    }
    expected = {number: [-1] * (length - len(own)) + own for number, own in expected.items() if own}
    assert dict(zip(found["user_idx"], found["items"], strict=True)) == expected


def test_last_plays_cross_sessions_and_are_padded(spark: SparkSession) -> None:
    plays = [(0, 3), (500, 4), (1000, 5)]
    for length, expected in ((2, [4, 5]), (5, [-1, -1, 3, 4, 5])):
        params = SequenceParams(length=length, stride=1, session_gap_minutes=400)
        cut = windows(frame(spark, plays), params)
        assert list(last_plays(cut, params, datetime(2021, 1, 1)).collect()[0]["items"]) == expected
