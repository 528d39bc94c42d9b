from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from musicrec.ranking.diversity import DiversityParams, diversify
from musicrec.ranking.diversity_kernels import spread_lists

ITEMS = 40

Artists = list[int]


def spread(
    own: list[int],
    scores: list[float],
    artists: Artists,
    popular: list[int],
    taken: list[int],
    params: DiversityParams,
    n: int,
    *,
    keep_rest: bool = False,
    vectors: np.ndarray | None = None,
) -> tuple[list[int], list[float], list[bool]]:
    row = np.full(ITEMS, -1, np.int32)
    matrix = np.zeros((0, 1), np.float32) if vectors is None else vectors
    row[: len(matrix)] = np.arange(len(matrix))
    about = (np.array(artists, np.int32), np.array(popular, np.int32), row, matrix)
    for array in about:
        array.setflags(write=False)  # as in a task
    made = spread_lists(
        np.array(own, np.int32), np.array([0, len(own)]), np.array(scores, np.float64),
        np.array(taken, np.int32), np.array([0, len(taken)]), about,
        n, params.cap(n), params.mmr_lambda, max(params.pool, n), keep_rest,
    )  # fmt: skip
    return made[0].tolist(), made[1].tolist(), made[2].tolist()


@dataclass
class BruteForce:
    """By the definition, with dictionaries, everything computed anew at each place."""

    own: list[int]
    scores: list[float]
    artists: Artists
    popular: list[int]
    taken: list[int]
    params: DiversityParams
    n: int
    vectors: np.ndarray | None

    def similarity(self, a: int, b: int) -> float:
        if self.artists[a] >= 0 and self.artists[a] == self.artists[b]:
            return 1.0
        if self.vectors is None:
            return 0.0
        return min(1.0, max(0.0, round(float(self.vectors[a].astype(float) @ self.vectors[b].astype(float)), 6)))

    def value(self, i: int, pool: list[int], above: list[int]) -> float:
        low, high = min(self.scores[: len(pool)]), max(self.scores[: len(pool)])
        relevance = (self.scores[i] - low) / (high - low) if high > low else 1.0
        nearest = max((self.similarity(pool[i], b) for b in above), default=0.0)
        share = self.params.mmr_lambda
        return round(share * relevance - (1 - share) * nearest, 9)

    def places(self) -> list[int]:
        for cap in range(self.params.cap(self.n), max(self.n, 1) + 1):
            made = self.under(cap)
            if len(made) == self.n:
                break
        return made

    def under(self, cap: int) -> list[int]:
        in_order = self.params.mmr_lambda == 1
        pool = self.own if in_order else self.own[: max(self.params.pool, self.n)]
        made: list[int] = []
        while len(made) < self.n:
            left = [i for i, item in enumerate(pool) if item not in made and self.may(item, made, cap)]
            if not left:
                break
            values = [i if in_order else -self.value(i, pool, made) for i in left]
            made.append(pool[min(zip(values, left, strict=True))[1]])
        for item in self.popular:
            is_new = item not in self.taken and item not in pool
            if len(made) < self.n and is_new and self.may(item, made, cap):
                made.append(item)
        return made

    def may(self, item: int, made: list[int], cap: int) -> bool:
        return self.artists[item] < 0 or sum(self.artists[x] == self.artists[item] for x in made) < cap


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    items = st.integers(0, ITEMS - 1)
    own = draw(st.lists(items, unique=True, max_size=25))
    scores = sorted((draw(st.sampled_from([0.0, 0.5, 1.0, 1.5, 4.0])) for _ in own), reverse=True)
    return {
        "own": own,
        "scores": scores,
        "artists": draw(st.lists(st.integers(-1, 6), min_size=ITEMS, max_size=ITEMS)),
        "popular": draw(st.lists(items, unique=True, max_size=30)),
        "taken": [i for i in sorted(draw(st.sets(items, max_size=15))) if i not in own],
        "n": draw(st.integers(1, 12)),
        "params": DiversityParams(
            artist_share=draw(st.sampled_from([0.1, 0.3, 0.5, 1.0])),
            mmr_lambda=draw(st.sampled_from([1.0, 0.8, 0.5, 0.0])),
            pool=draw(st.integers(1, 30)),
        ),
    }


def unit_vectors(seed: int) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(ITEMS, 3)).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))


@settings(deadline=None)
@given(cases(), st.sampled_from([None, 1, 2]))
def test_places_are_given_as_the_definition_says(case: dict, seed: int | None) -> None:
    vectors = None if seed is None else unit_vectors(seed)
    items, scores, filled = spread(**case, vectors=vectors)
    assert items == BruteForce(**case, vectors=vectors).places()
    assert all(a >= b for a, b in itertools.pairwise(scores))
    assert [item not in case["own"] for item in items] <= filled
    assert not set(items) & set(case["taken"])


@settings(deadline=None)
@given(cases())
def test_no_artist_has_more_than_the_share_unless_there_are_too_few(case: dict) -> None:
    items, _, _ = spread(**case)
    artists, params, n = case["artists"], case["params"], case["n"]
    own = case["own"] if params.mmr_lambda == 1 else case["own"][: max(params.pool, n)]
    offered = {*own, *(set(case["popular"]) - set(case["taken"]))}
    supply = Counter(artists[i] for i in offered if artists[i] >= 0)
    loose = sum(artists[i] < 0 for i in offered)
    cap = max(1, math.floor(params.artist_share * n + 1e-9))
    held = Counter(artists[i] for i in items if artists[i] >= 0)
    assert len(items) == min(n, len(offered))
    if loose + sum(min(cap, count) for count in supply.values()) >= n:
        assert max(held.values(), default=0) <= cap
        if n * params.artist_share >= 1:
            assert max(held.values(), default=0) <= params.artist_share * n + 1e-9


@settings(deadline=None)
@given(cases())
def test_the_cap_keeps_the_order_of_the_list_and_the_rest_follows_it(case: dict) -> None:
    case["params"] = case["params"].model_copy(update={"mmr_lambda": 1.0})
    items, scores, filled = spread(**case)
    own = [item for item, was_filled in zip(items, filled, strict=True) if not was_filled]
    assert own == [item for item in case["own"] if item in own]
    score_of = dict(zip(case["own"], case["scores"], strict=True))
    assert [score_of[item] for item in own] == scores[: len(own)]
    whole, _, _ = spread(**case, keep_rest=True)
    assert whole == [*items, *(item for item in case["own"] if item not in items)]


def test_a_share_of_30_percent_holds_for_every_length() -> None:
    params = DiversityParams()
    assert [params.cap(n) for n in (1, 3, 4, 6, 7, 10, 19, 20, 50)] == [1, 1, 1, 1, 2, 3, 5, 6, 15]
    assert all(params.cap(n) <= 0.3 * n + 1e-9 for n in range(4, 1001))
    assert all(DiversityParams(artist_share=1).cap(n) == n for n in range(1, 100))


def test_lists_come_back_with_their_columns_whatever_the_partitions(spark: SparkSession) -> None:
    rng = np.random.default_rng(3)
    artists = [(i, int(i % 5) if i % 7 else None) for i in range(ITEMS)]
    lists = [(u, "m", rng.permutation(ITEMS)[:20].tolist(), np.linspace(1, 0, 20).tolist()) for u in range(9)]
    vectors = unit_vectors(4)
    items = spark.createDataFrame(artists, "item_idx int, artist_idx int")
    popular = spark.createDataFrame([(i, float(-i)) for i in range(ITEMS)], "item_idx int, score double")
    heard = spark.createDataFrame([(u, [0, 1, 2]) for u in range(5)], "user_idx int, heard array<int>")
    by = spark.createDataFrame(
        [(i, (vectors[i] * 3).tolist()) for i in range(ITEMS)], "item_idx int, vector array<float>"
    )
    params = DiversityParams(mmr_lambda=0.7, similarity="als", pool=15)
    schema = "user_idx int, model string, items array<int>, scores array<double>"
    found = []
    for parts in (1, 4):
        rows = spark.createDataFrame(lists, schema).repartition(parts)
        made = diversify(rows, items, popular, heard, params, 10, vectors=by)
        assert made.columns == ["user_idx", "model", "items", "scores", "filled"]
        found.append(sorted(made.collect()))
    assert found[0] == found[1]
    for (user, name, own, scores), row in zip(lists, found[0], strict=True):
        assert (row.user_idx, row.model) == (user, name)
        taken = [0, 1, 2] if user < 5 else []
        plain = [-1 if a is None else a for _, a in artists]
        order = list(range(ITEMS))
        assert row["items"] == BruteForce(own, scores, plain, order, taken, params, 10, vectors).places()


def test_vectors_are_asked_for(spark: SparkSession) -> None:
    none = spark.createDataFrame(
        [], "user_idx int, items array<int>, scores array<double>, item_idx int, artist_idx int"
    )
    with pytest.raises(ValueError, match="similarity by als needs"):
        diversify(none, none, none, None, DiversityParams(mmr_lambda=0.5, similarity="als"), 5)
