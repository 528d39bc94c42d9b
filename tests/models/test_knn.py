from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession
from scipy.sparse import csr_matrix
from sklearn.metrics.pairwise import cosine_similarity

from musicrec.errors import InputError
from musicrec.models.knn.alone import neighbours_alone
from musicrec.models.knn.fit import Side, fit_knn, knn_score_matrix, neighbours_matrix
from musicrec.models.knn.kernels import top_products
from musicrec.models.knn.lists import knn_lists
from musicrec.models.knn.matrix import KnnParams
from musicrec.models.shared_arrays import SharedArrays
from musicrec.models.significant import significant

USERS, ITEMS = 60, 45
Lists = dict[int, list[tuple[int, float]]]


def weights_of(seed: int = 5) -> np.ndarray:
    """Weights [60 × 45], a fifth of them above zero, few values so that many scores tie; all rows and columns used."""
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((USERS, ITEMS)) < 0.2, rng.integers(1, 4, (USERS, ITEMS)), 0).astype(float)
    weights[np.arange(USERS), np.arange(USERS) % ITEMS] = 1
    return weights


def pairs_of(spark: SparkSession, weights: np.ndarray) -> DataFrame:
    cells = [(int(u), int(i), float(weights[u, i])) for u, i in zip(*np.nonzero(weights), strict=True)]
    return spark.createDataFrame(cells, "user_idx int, item_idx int, weight double")


def lists_of(found: DataFrame, key: str = "item_idx", column: str = "neighbours") -> Lists:
    return {row[key]: list(zip(row[column], row.scores, strict=True)) for row in found.collect()}


def ranked(scores: np.ndarray, k: int) -> Lists:
    """The k best entries above zero of each row in the total order: rounded score, best first, then index."""
    found: Lists = {}
    for row, values in enumerate(scores):
        rounded = significant(values)
        order = [int(j) for j in np.lexsort((np.arange(len(values)), -rounded)) if values[j] > 1e-12]
        found[row] = [(j, float(rounded[j])) for j in order[:k]]
    return found


def without_diagonal(scores: np.ndarray) -> np.ndarray:
    return scores * (1 - np.eye(len(scores)))


def assert_same(found: Lists, wanted: Lists) -> None:
    assert found.keys() == wanted.keys()
    for row, entries in wanted.items():
        assert [j for j, _ in found[row]] == [j for j, _ in entries]
        np.testing.assert_allclose([s for _, s in found[row]], [s for _, s in entries], atol=1e-9)


@pytest.mark.parametrize("side", ["item", "user"])
def test_cosine_is_sklearns(spark: SparkSession, side: Side) -> None:
    weights = weights_of()
    rows = weights.T if side == "item" else weights
    found = fit_knn(pairs_of(spark, weights), KnnParams(k=7), side)
    assert found.columns == [f"{side}_idx", "neighbours", "scores"]
    assert_same(lists_of(found, f"{side}_idx"), ranked(without_diagonal(cosine_similarity(rows)), 7))


@pytest.mark.parametrize(
    ("params", "peer"),
    [
        (KnnParams(k=ITEMS), CosineRecommender(K=ITEMS)),
        (KnnParams(k=ITEMS, weighting="tfidf"), TFIDFRecommender(K=ITEMS)),
        (KnnParams(k=ITEMS, weighting="bm25", normalize=False), BM25Recommender(K=ITEMS)),
        (
            KnnParams(k=ITEMS, weighting="bm25", normalize=False, bm25_k1=20, bm25_b=0.3),
            BM25Recommender(K=ITEMS, K1=20, B=0.3),
        ),
    ],
    ids=["cosine", "tfidf", "bm25", "bm25 set"],
)
def test_every_score_is_implicits(spark: SparkSession, params: KnnParams, peer: Any) -> None:
    weights = weights_of()
    peer.fit(csr_matrix(weights), show_progress=False)
    wanted = ranked(without_diagonal(peer.similarity.toarray()), ITEMS)
    assert_same(lists_of(fit_knn(pairs_of(spark, weights), params)), wanted)


@pytest.mark.parametrize(("shrinkage", "asymmetry"), [(3.0, 0.5), (0.0, 0.2), (10.0, 0.9), (0.0, 1.0)])
def test_shrinkage_and_asymmetry_are_the_dense_formula(spark: SparkSession, shrinkage: float, asymmetry: float) -> None:
    weights = weights_of()
    lengths = np.sqrt((weights**2).sum(axis=0))
    sizes = np.outer(lengths ** (2 * asymmetry), lengths ** (2 * (1 - asymmetry)))
    wanted = ranked(without_diagonal(weights.T @ weights / (sizes + shrinkage)), 9)
    params = KnnParams(k=9, shrinkage=shrinkage, asymmetry=asymmetry)
    assert_same(lists_of(fit_knn(pairs_of(spark, weights), params)), wanted)


def test_gaps_strangers_and_partitions(spark: SparkSession) -> None:
    """Indices with gaps; an item whose listeners hear nothing else has no neighbours; the same bits always."""
    weights = np.zeros((200, 90))
    weights[3::5, 1::7][:12, :10] = weights_of()[:12, :10]
    weights[0, 89] = 2.0
    pairs = pairs_of(spark, weights)
    found = lists_of(fit_knn(pairs, KnnParams(k=4)))
    wanted = ranked(without_diagonal(cosine_similarity(weights.T)), 4)
    assert_same(found, {i: wanted[i] for i in np.flatnonzero(weights.any(axis=0)).tolist()})
    assert found[89] == []
    for parts in (1, 7):
        assert lists_of(fit_knn(pairs.orderBy("weight", "item_idx").repartition(parts), KnnParams(k=4))) == found


def test_a_listener_of_every_item_counts_by_the_square_of_its_idf(spark: SparkSession) -> None:
    """Its idf is below zero; implicit keeps the sign, which no product of two such weights has."""
    weights = weights_of()
    weights[0] = 1.0
    peer = TFIDFRecommender(K=ITEMS)
    peer.fit(csr_matrix(weights), show_progress=False)
    wanted = ranked(without_diagonal(peer.similarity.toarray()), ITEMS)
    assert_same(lists_of(fit_knn(pairs_of(spark, weights), KnnParams(k=ITEMS, weighting="tfidf"))), wanted)


@pytest.mark.parametrize("side", ["item", "user"])
def test_lists_and_scores_are_the_dense_product(spark: SparkSession, side: Side) -> None:
    weights, n = weights_of(), 6
    pairs = pairs_of(spark, weights)
    neighbours = fit_knn(pairs, KnnParams(k=5, shrinkage=1.0), side).persist()
    known = lists_of(neighbours, f"{side}_idx")
    kept = np.zeros((len(known), len(known)))
    for row, entries in known.items():
        kept[row, [j for j, _ in entries]] = [s for _, s in entries]
    scores = weights @ kept.T if side == "item" else kept @ weights
    matrix = neighbours_matrix(neighbours, len(known))
    np.testing.assert_allclose(matrix.toarray(), kept)
    arguments = (matrix, csr_matrix(weights)) if side == "item" else (csr_matrix(weights.T), matrix)
    np.testing.assert_allclose(knn_score_matrix(*arguments), scores)
    # Some heard more than they have a weight for, one all there is, one nothing that is said, one what nobody knows.
    heard = [[*np.flatnonzero(row).tolist(), 1, 10_000] for row in weights]
    heard[4], heard[5] = list(range(ITEMS)), []
    rows = [(u, own) for u, own in enumerate(heard) if u != 5]
    known_items = spark.createDataFrame(rows, "user_idx int, heard array<int>")
    lists = knn_lists(neighbours, pairs.repartition(5), known_items, n)
    is_heard = np.zeros_like(scores)
    for user, own in enumerate(heard):
        is_heard[user, [i for i in own if i < ITEMS]] = 1
    assert_same(lists_of(lists, "user_idx", "items"), ranked(scores * (1 - is_heard), n))
    assert lists_of(lists, "user_idx", "items")[4] == []
    again = knn_lists(neighbours, pairs, known_items, n, "again")
    assert_same(lists_of(again, "user_idx", "items"), ranked(scores * is_heard, n))
    neighbours.unpersist()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 60),
    st.integers(1, 3000),
    st.integers(1, 40),
    st.sampled_from([1, 3, 1000, 10**9]),
    st.sampled_from([1e-100, 1e-9, 1e-4, 1.0, 1e6, 1e12, 1e100]),
    st.integers(0, 2**31),
)
@example(terms=11, width=4, k=2, values=1000, scale=1e-9, seed=1)  # ties of scores almost a rounding apart
def test_the_kernel_keeps_the_best_of_any_row(
    terms: int, width: int, k: int, values: int, scale: float, seed: int
) -> None:
    """Any sizes, from all tied to all different, at any scale: scores beyond both ends of the tally among them."""
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 2, (3, terms)).astype(float)
    right = np.where(rng.random((terms, width)) < 0.3, rng.integers(1, values + 1, (terms, width)) * scale, 0)
    l_rows, r_rows = csr_matrix(left), csr_matrix(right)
    names = rng.permutation(width * 2)[:width].astype(np.int32)
    out = [np.flatnonzero(rng.random(width) < 0.1) for _ in range(3)]
    frozen = [
        np.cumsum([0, *np.diff(l_rows.indptr)]), l_rows.indices.astype(np.int32), l_rows.data,
        r_rows.indptr.astype(np.int64), r_rows.indices.astype(np.uint32), r_rows.data,
        np.zeros(0), np.zeros(0), np.cumsum([0, *map(len, out)]), np.concatenate(out).astype(np.int32), names,
    ]  # fmt: skip
    for array in frozen:
        array.setflags(write=False)
    counts, ids, scores = top_products(0, 3, *frozen[:8], 0.0, *frozen[8:], k)
    dense = (l_rows @ r_rows).toarray()
    ends = np.cumsum(counts)
    for row in range(3):
        dense[row, out[row]] = 0
        is_there = dense[row] > 0
        rounded = significant(dense[row])
        order = np.lexsort((names, -rounded))
        order = order[is_there[order]][:k]
        own = slice(ends[row] - counts[row], ends[row])
        np.testing.assert_array_equal(scores[own], rounded[order])
        np.testing.assert_array_equal(ids[own], names[order])


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e4, 1e12])
def test_neighbours_are_the_same_at_any_scale(scale: float) -> None:
    """Of the plain products, whose scores are as large as the square of the weights."""
    params = KnnParams(k=7, normalize=False)
    users, items = np.nonzero(weights_of())
    weights = np.random.default_rng(2).random(len(users)) + 0.5
    at, lists = neighbours_alone(users.astype(np.int32), items.astype(np.int32), weights, params)
    scaled_at, scaled = neighbours_alone(users.astype(np.int32), items.astype(np.int32), weights * scale, params)
    assert (scaled_at == at).all()
    assert np.diff(lists.starts).tolist() == [7] * ITEMS
    assert scaled.values.tolist() == lists.values.tolist()


def test_a_score_just_under_a_buckets_edge_ties_with_one_just_above() -> None:
    """Both round to 0.5, where a bucket of the tally begins, so the lower name wins."""
    starts, columns, ones = np.array([0, 2]), np.array([0, 1], np.uint32), np.ones(1)
    one, none = np.array([0, 1]), np.array([0, 0])
    right = (starts, columns, np.array([0.5 + 2.0**-33, 0.5 - 2.0**-33]))
    arrays = [one, np.zeros(1, np.int32), ones, *right, np.zeros(0), np.zeros(0), none, np.zeros(0, np.int32)]
    arrays.append(np.array([7, 3], np.int32))
    for array in arrays:
        array.setflags(write=False)
    _, ids, scores = top_products(0, 1, *arrays[:8], 0.0, *arrays[8:], 1)
    assert (ids.tolist(), scores.tolist()) == ([3], [0.5])


def test_shared_arrays_arrive_as_they_are_and_unwritable(spark: SparkSession) -> None:
    arrays = {"a": np.arange(5, dtype=np.int32), "none": np.zeros(0), "b": np.arange(1000) / 7}
    shared = SharedArrays(spark, arrays)

    def look(_: int) -> list[tuple[str, list[float], bool, bool]]:
        return [(n, a.tolist(), a.flags.writeable, a.flags.aligned) for n, a in shared.read().items()]

    seen = spark.sparkContext.parallelize([0, 1], 2).flatMap(look).collect()
    assert seen == [(name, array.tolist(), False, True) for name, array in arrays.items()] * 2
    assert shared._mapped() is not None
    shared.destroy()


def test_bad_input_is_named(spark: SparkSession) -> None:
    pairs = pairs_of(spark, weights_of())
    for rows, words in (
        (pairs.where("false"), "at least one to learn from, found none"),
        (pairs.selectExpr("user_idx", "item_idx", "-weight as weight"), "positive finite weights"),
        (pairs.selectExpr("user_idx", "item_idx", "double('nan') as weight"), "positive finite weights"),
        (pairs.union(pairs.limit(3)), "one row per pair, found 3 pairs more than once"),
        (pairs.selectExpr("user_idx - 1 as user_idx", "item_idx", "weight"), "from 0, found -1"),
    ):
        with pytest.raises(InputError, match=words):
            fit_knn(rows, KnnParams())
    with pytest.raises(ValidationError, match="need normalize"):
        KnnParams(normalize=False, shrinkage=1.0)
