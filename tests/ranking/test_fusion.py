from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession

from musicrec.errors import InputError
from musicrec.models.blocks import Ragged
from musicrec.models.significant import significant
from musicrec.ranking.fusion import HybridParams, _fuse_block, fuse


def oracle(lists: list[list[int]], weights: list[float], k: int, depth: int) -> list[tuple[int, float]]:
    scores: dict[int, float] = defaultdict(float)
    for items, weight in zip(lists, weights, strict=True):
        for rank, item in enumerate(items, start=1):
            scores[item] += weight / (k + rank)
    rounded = dict(zip(scores, significant(np.array(list(scores.values()))).tolist(), strict=True))
    return sorted(rounded.items(), key=lambda pair: (-pair[1], pair[0]))[:depth]


def ragged(lists: list[list[int]]) -> Ragged:
    values = np.array([i for one in lists for i in one], dtype=np.int32)
    return Ragged(values, np.cumsum([0] + [len(one) for one in lists]).astype(np.int64))


ranked = st.lists(st.integers(0, 12), unique=True, max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(ranked, min_size=n, max_size=n), min_size=1, max_size=3)),
    st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=3, max_size=3),
    st.integers(0, 60),
    st.integers(1, 10),
)
def test_a_block_equals_the_formula(models: list[list[list[int]]], weights: list[float], k: int, depth: int) -> None:
    """`models` holds each model's list of each listener."""
    weights = weights[: len(models)]
    items, scores = _fuse_block([ragged(lists) for lists in models], np.array(weights), k, depth)
    for listener in range(len(models[0])):
        found = list(zip(items[listener].tolist(), scores[listener].tolist(), strict=True))
        assert found == oracle([lists[listener] for lists in models], weights, k, depth)


def lists_of(spark: SparkSession, lists: dict[int, list[int]]) -> DataFrame:
    rows = [(user, items, [1.0 / (r + 1) for r in range(len(items))]) for user, items in lists.items()]
    return spark.createDataFrame(rows, "user_idx int, items array<int>, scores array<double>")


def test_lists_on_spark(spark: SparkSession) -> None:
    a = {1: [10, 20, 30], 2: [5], 3: []}
    b = {1: [20, 40], 4: [7, 8, 9, 10]}
    ignored = {1: [99], 9: [99]}
    frames = {name: lists_of(spark, lists) for name, lists in (("a", a), ("b", b), ("z", ignored), ("other", ignored))}
    params = HybridParams(weights={"b": 2.0, "a": 1.0, "z": 0.0}, k=60)
    fused = {
        row.user_idx: list(zip(row["items"], row.scores, strict=True)) for row in fuse(frames, params, 3).collect()
    }
    assert fused == {u: oracle([a.get(u, []), b.get(u, [])], [1.0, 2.0], 60, 3) for u in (1, 2, 3, 4)}
    assert [item for item, _ in fused[1]] == [20, 40, 10]
    assert fused[3] == []


def test_settings_that_make_no_sense_are_refused(spark: SparkSession) -> None:
    with pytest.raises(ValidationError, match="every weight"):
        HybridParams(weights={"a": 1.0, "b": -0.1})
    with pytest.raises(ValidationError, match="at least one weight"):
        HybridParams(weights={"a": 0.0})
    with pytest.raises(InputError, match=r"hybrid\.weights: expected names among the lists \(a\), found b, c"):
        fuse({"a": lists_of(spark, {1: [1]})}, HybridParams(weights={"c": 1.0, "a": 1.0, "b": 1.0}), 3)


@given(st.lists(ranked, min_size=2, max_size=3), st.integers(-60, 60))
def test_only_how_weights_stand_to_each_other_counts(lists: list[list[int]], power: int) -> None:
    weights = np.array([1.0, 0.5, 0.25])[: len(lists)]
    items, scores = _fuse_block([ragged([own]) for own in lists], weights, 60, 10)
    scaled, at_scale = _fuse_block([ragged([own]) for own in lists], weights * 2.0**power, 60, 10)
    assert scaled.values.tolist() == items.values.tolist()
    assert at_scale.values.tolist() == (scores.values * 2.0**power).tolist()
