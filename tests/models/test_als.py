from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from musicrec.errors import InputError
from musicrec.models.als import AlsParams, fit_als
from musicrec.models.embedding import EmbeddingModel

PARAMS = AlsParams(rank=3, iterations=10, regularization=0.05, alpha=5.0, blocks=3)
# Three groups of listeners, each with its own eight items; user_idx and item_idx have gaps.
GROUPS, USERS, ITEMS = 3, 8, 8


def planted(left_out: bool = True) -> np.ndarray:
    """Weights [24 × 24] in blocks; each listener has not played two of the group's items, which are known."""
    rng = np.random.default_rng(2)
    weights = np.zeros((GROUPS * USERS, GROUPS * ITEMS))
    for user in range(GROUPS * USERS):
        group = user // USERS
        own = np.arange(group * ITEMS, (group + 1) * ITEMS)
        weights[user, own] = rng.integers(1, 4, ITEMS)
        if left_out:
            weights[user, own[[user % ITEMS, (user + 3) % ITEMS]]] = 0
    return weights


def pairs_of(spark: SparkSession, weights: np.ndarray) -> DataFrame:
    rows = [(2 * int(u), 5 * int(i) + 1, float(weights[u, i])) for u, i in zip(*np.nonzero(weights), strict=True)]
    return spark.createDataFrame(rows, "user_idx int, item_idx int, weight double")


def factors(model: EmbeddingModel) -> tuple[np.ndarray, np.ndarray]:
    users = sorted((row.user_idx, row.vector) for row in model.user_vectors.collect())
    items = sorted((row.item_idx, row.vector) for row in model.item_vectors.collect())
    assert [u for u, _ in users] == [2 * u for u in range(len(users))]
    assert [i for i, _ in items] == [5 * i + 1 for i in range(len(items))]
    return np.array([v for _, v in users]), np.array([v for _, v in items])


def dense_loss(weights: np.ndarray, x: np.ndarray, y: np.ndarray, params: AlsParams) -> float:
    played = weights > 0
    fit = ((1 + params.alpha * weights) * (played - x @ y.T) ** 2).sum()
    sizes = (played.sum(axis=1) * (x**2).sum(axis=1)).sum() + (played.sum(axis=0) * (y**2).sum(axis=1)).sum()
    return float(fit + params.regularization * sizes)


def solve_side(weights: np.ndarray, fixed: np.ndarray, params: AlsParams) -> np.ndarray:
    """Each row's exact optimum while the other side is fixed, by the normal equations (Hu et al. 2008, eq. 4)."""
    solved = []
    for row in weights:
        c, p = 1 + params.alpha * row, (row > 0).astype(float)
        left = fixed.T @ (c[:, None] * fixed) + params.regularization * p.sum() * np.eye(fixed.shape[1])
        solved.append(np.linalg.solve(left, fixed.T @ (c * p)))
    return np.array(solved)


@pytest.fixture(scope="module")
def fitted(spark: SparkSession) -> EmbeddingModel:
    return fit_als(pairs_of(spark, planted()), PARAMS, seed=11)


def test_recovers_the_planted_groups(fitted: EmbeddingModel) -> None:
    x, y = factors(fitted)
    scores = np.where(planted() > 0, -np.inf, x @ y.T)
    for user, row in enumerate(scores):
        own = user // USERS * ITEMS
        assert set(np.argsort(-row)[:2]) == {own + user % ITEMS, own + (user + 3) % ITEMS}
    assert {row.bias for row in fitted.item_vectors.collect()} == {0.0}


def test_listener_vectors_solve_the_normal_equations(fitted: EmbeddingModel) -> None:
    """Listeners are solved last, so with the items fixed they are exact: pins alpha and the penalty's scaling."""
    x, y = factors(fitted)
    np.testing.assert_allclose(x, solve_side(planted(), y, PARAMS), atol=2e-5)


def test_loss_is_the_dense_one_and_as_low_as_an_independent_fit(fitted: EmbeddingModel) -> None:
    weights = planted()
    x, y = factors(fitted)
    loss = fitted.figures["loss"]
    assert loss == pytest.approx(dense_loss(weights, x, y, PARAMS), rel=1e-9)
    other_x = np.abs(np.random.default_rng(0).standard_normal((24, 3)))
    # From other first vectors and to the end; ten iterations are 2 % above it here.
    for _ in range(100):
        other_y = solve_side(weights.T, other_x, PARAMS)
        other_x = solve_side(weights, other_y, PARAMS)
    assert loss == pytest.approx(dense_loss(weights, other_x, other_y, PARAMS), rel=0.03)
    assert fitted.figures["listeners"] == fitted.figures["items"] == 24
    assert fitted.figures["interactions"] == np.count_nonzero(weights)


def test_partitions_and_order_change_nothing(spark: SparkSession, fitted: EmbeddingModel) -> None:
    shuffled = pairs_of(spark, planted()).orderBy("weight", "item_idx").repartition(5)
    again = fit_als(shuffled, PARAMS, seed=11)
    for found, wanted in zip(factors(again), factors(fitted), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_bad_input_is_named(spark: SparkSession) -> None:
    pairs = pairs_of(spark, planted())
    with pytest.raises(InputError, match="at least one to learn from, found none"):
        fit_als(pairs.where("false"), PARAMS, seed=1)
    with pytest.raises(InputError, match="positive finite weights, found 144 others"):
        fit_als(pairs.selectExpr("user_idx", "item_idx", "-weight as weight"), PARAMS, seed=1)
