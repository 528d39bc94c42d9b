from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from sklearn.neighbors import NearestNeighbors

from musicrec.errors import NonFiniteError
from musicrec.models.significant import significant
from musicrec.ranking.catalogue import arrange
from musicrec.ranking.nearest import Distance, Nearest, nearest_items

METRICS: tuple[Distance, ...] = ("euclidean", "manhattan", "cosine")


def made(item_idx: np.ndarray, vectors: np.ndarray, metric: Distance, k: int, tile: int) -> Nearest:
    zeros = np.zeros(len(item_idx), np.float32)
    kind = "cosine" if metric == "cosine" else "dot"
    return Nearest(arrange(item_idx, vectors, zeros, zeros.astype(np.int32), kind, 1.0), metric, k, tile)  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", METRICS)
def test_lists_equal_scikit_learn(metric: Distance) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((400, 9)).astype(np.float32)
    vectors[200:] = vectors[:200] + rng.choice([1e-4, 3e-3], (200, 1)).astype(np.float32)  # very near pairs
    ids = rng.permutation(3000)[:400].astype(np.int32)
    items, scores = made(ids, vectors, metric, 12, 37).best(vectors, ids)
    exact = vectors.astype(np.float64)
    search = NearestNeighbors(metric=metric, algorithm="brute").fit(exact)
    _, places = search.kneighbors(exact, 14)
    for i, place in enumerate(places):
        best, own = place[place != i][:12], [int(np.flatnonzero(ids == item)[0]) for item in items[i]]
        assert len(set(own)) == 12
        assert i not in own
        for named in (best, np.array(own)):  # ties within the ninth digit may stand either way
            np.testing.assert_allclose(-scores[i], away(exact[i], exact[named], metric), rtol=2.0**-29)


def away(one: np.ndarray, others: np.ndarray, metric: Distance) -> np.ndarray:
    if metric == "cosine":
        return -(others @ one) / np.linalg.norm(others, axis=1) / np.linalg.norm(one)
    return np.asarray(np.linalg.norm(others - one, ord=2 if metric == "euclidean" else 1, axis=1))


@settings(max_examples=40, deadline=None)
@given(
    data=st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=1, max_size=30),
    k=st.integers(1, 8),
    tile=st.integers(1, 9),
    metric=st.sampled_from(["euclidean", "manhattan"]),
)
def test_ties_go_to_the_lower_item_whatever_the_tiles(
    data: list[tuple[int, int]], k: int, tile: int, metric: Distance
) -> None:
    vectors = np.array(data, np.float32)
    ids = np.random.default_rng(len(data)).permutation(len(data)).astype(np.int32)
    left_out = np.where(np.arange(len(ids)) % 2 == 0, ids, -1).astype(np.int32)
    items, scores = made(ids, vectors, metric, k, tile).best(vectors, left_out)
    power = 2 if metric == "euclidean" else 1
    for i in range(len(ids)):
        away = (np.abs(vectors - vectors[i]).astype(float) ** power).sum(axis=1) ** (1 / power)
        rounded = significant(away).tolist()
        wanted = sorted((d, int(j)) for d, j in zip(rounded, ids, strict=True) if j != left_out[i])[:k]
        assert list(zip((-scores[i]).tolist(), items[i].tolist(), strict=True)) == wanted


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [2.0**-60, 1e-12, 1e-4, 1e4, 1e12])
def test_lists_are_the_same_at_any_scale(metric: Distance, scale: float) -> None:
    rng = np.random.default_rng(8)
    vectors, ids = rng.standard_normal((500, 6)).astype(np.float32), np.arange(500, dtype=np.int32)
    vectors[250:] = vectors[rng.integers(0, 250, 250)]  # every second one is as near as another
    items, scores = made(ids, vectors, metric, 20, 64).best(vectors, ids)
    scaled = (vectors * scale).astype(np.float32)
    at_scale, scores_at_scale = made(ids, scaled, metric, 20, 64).best(scaled, ids)
    assert at_scale.values.tolist() == items.values.tolist()
    size = 1.0 if metric == "cosine" else scale
    np.testing.assert_allclose(scores_at_scale.values, scores.values * size, rtol=1e-5)


def test_those_who_ask_are_told_what_is_offered_whatever_the_partitions(spark: SparkSession) -> None:
    rng = np.random.default_rng(6)
    offered = rng.standard_normal((50, 4)).astype(np.float32)
    asking = [(100 + i, None if i % 2 else i % 50, rng.standard_normal(4).tolist()) for i in range(60)]
    items = spark.createDataFrame([(i, v.tolist()) for i, v in enumerate(offered)], "item_idx int, vector array<float>")
    asked = spark.createDataFrame(asking, "item_idx int, own_idx int, vector array<float>")
    one = {row.item_idx: row for row in nearest_items(asked, items, 5, "manhattan", block=7, tile=11).collect()}
    other = nearest_items(asked.repartition(5), items.repartition(3), 5, "manhattan").collect()
    assert one == {row.item_idx: row for row in other}
    for item, own, vector in asking:
        away = np.abs(offered - np.array(vector, np.float32)).sum(axis=1, dtype=float)
        wanted = [i for i in np.argsort(away) if i != own][:5]
        assert one[item]["items"] == wanted


def test_what_cannot_be_compared_is_refused(spark: SparkSession) -> None:
    items = spark.createDataFrame([(1, [float("nan")])], "item_idx int, vector array<float>")
    asked = items.selectExpr("item_idx", "item_idx AS own_idx", "vector")
    with pytest.raises(ValueError, match="k must be 1 or more"):
        nearest_items(asked, items, 0, "cosine")
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        nearest_items(asked, items, 3, "euclidean")
