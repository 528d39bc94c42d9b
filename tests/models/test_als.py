from __future__ import annotations

import io

import implicit.als
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from musicrec.errors import InputError
from musicrec.logs import make_logger
from musicrec.models.als.fit import AlsParams, fit_als
from musicrec.models.als.scale import Scale
from musicrec.models.embedding import EmbeddingModel, collect_items

PARAMS = AlsParams(rank=3, iterations=50, regularization=0.06, unobserved=0.7)
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


def unobserved_weight(weights: np.ndarray, params: AlsParams) -> float:
    """α₀ by brute force over the pairs of listeners [listeners × items]."""
    played = (weights > 0).astype(float)
    shared = (played @ played.T)[~np.eye(len(played), dtype=bool)].mean()
    compared = shared * played.sum(axis=1).mean()
    return float(params.unobserved * compared / (compared + 50))


def penalties(played: np.ndarray, alpha: float, params: AlsParams) -> np.ndarray:
    """λ of each row [rows]; the planted matrix has no empty row or column."""
    power = params.regularization_exponent
    return np.asarray(params.regularization * alpha ** (1 - power) * played.sum(axis=1) ** power)


def dense_loss(weights: np.ndarray, x: np.ndarray, y: np.ndarray, params: AlsParams) -> float:
    played, alpha = weights > 0, unobserved_weight(weights, params)
    fit = ((alpha + weights / weights[played].mean()) * (played - x @ y.T) ** 2).sum()
    of_users, of_items = (penalties(side, alpha, params) for side in (played, played.T))
    return float(fit + of_users @ (x**2).sum(axis=1) + of_items @ (y**2).sum(axis=1))


def solve_side(weights: np.ndarray, fixed: np.ndarray, alpha: float, params: AlsParams) -> np.ndarray:
    """Each row's exact optimum while the other side is fixed, by the normal equations (Hu et al. 2008, eq. 4)."""
    solved, mean = [], weights[weights > 0].mean()
    for row, penalty in zip(weights, penalties(weights > 0, alpha, params), strict=True):
        c, p = alpha + row / mean, (row > 0).astype(float)
        left = fixed.T @ (c[:, None] * fixed) + penalty * np.eye(fixed.shape[1])
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
    """Listeners are solved last, so with the items fixed they are exact: pins the weights and the penalty's scaling."""
    x, y = factors(fitted)
    alpha = unobserved_weight(planted(), PARAMS)
    np.testing.assert_allclose(x, solve_side(planted(), y, alpha, PARAMS), atol=1e-4)


def test_loss_is_the_dense_one_and_as_low_as_an_independent_fit(fitted: EmbeddingModel) -> None:
    weights = planted()
    alpha = unobserved_weight(weights, PARAMS)
    x, y = factors(fitted)
    loss = fitted.figures["loss"]
    assert loss == pytest.approx(dense_loss(weights, x, y, PARAMS), rel=1e-6)
    other_x = np.abs(np.random.default_rng(0).standard_normal((24, 3)))
    # From other first vectors and to the end; 50 iterations are near it.
    for _ in range(100):
        other_y = solve_side(weights.T, other_x, alpha, PARAMS)
        other_x = solve_side(weights, other_y, alpha, PARAMS)
    assert loss == pytest.approx(dense_loss(weights, other_x, other_y, PARAMS), rel=0.03)
    assert fitted.figures["listeners"] == fitted.figures["items"] == 24
    assert fitted.figures["interactions"] == np.count_nonzero(weights)


@pytest.mark.parametrize(("blocks", "partitions"), [(1, 1), (1, 5), (2, 7)])
def test_blocks_and_partitions_change_no_bit(
    spark: SparkSession, fitted: EmbeddingModel, blocks: int, partitions: int
) -> None:
    shuffled = pairs_of(spark, planted()).orderBy("weight", "item_idx").repartition(partitions)
    again = fit_als(shuffled, PARAMS.model_copy(update={"blocks": blocks}), seed=11)
    for found, wanted in zip(factors(again), factors(fitted), strict=True):
        np.testing.assert_array_equal(found, wanted)
    again.release()


def many(users: int, items: int, nnz: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32], np.ndarray]:
    """Random pairs of listeners with one of four tastes; they cover several groups of listeners."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, 3 * nnz)
    item = (rng.random(3 * nnz) ** 2 * items / 4).astype(int) * 4 + np.where(rng.random(3 * nnz) < 0.8, user % 4, 0)
    pair = rng.permutation(np.unique(user * items + item % items))[:nnz]
    return (pair // items).astype(np.int32), (pair % items).astype(np.int32), 1 + rng.random(len(pair))


def frame_of(spark: SparkSession, user: np.ndarray, item: np.ndarray, weight: np.ndarray) -> DataFrame:
    return spark.createDataFrame(
        [(int(u), int(i), float(w)) for u, i, w in zip(user, item, weight, strict=True)],
        "user_idx int, item_idx int, weight double",
    )


@pytest.fixture(scope="module")
def pairs(spark: SparkSession) -> DataFrame:
    return frame_of(spark, *many(700, 90, 9000, seed=1)).persist()


def test_no_bit_changes_where_both_blocks_have_listeners(pairs: DataFrame) -> None:
    params = AlsParams(rank=8, iterations=4)
    one, two = (fit_als(pairs, params.model_copy(update={"blocks": blocks}), seed=3) for blocks in (1, 2))
    for side, key in (("user_vectors", "user_idx"), ("item_vectors", "item_idx")):
        left, right = (
            {row[key]: tuple(row["vector"]) for row in getattr(model, side).collect()} for model in (one, two)
        )
        assert left == right
        assert len(left) > 80
    assert one.figures["loss"] == pytest.approx(two.figures["loss"], rel=1e-12)
    assert Scale.read(one.figures) == Scale.read(two.figures) is not None


def test_loss_is_no_worse_than_implicits(pairs: DataFrame) -> None:
    """With the same plain penalty and confidence both minimise one loss; they end in other minima of it, 1 % apart.

    Theirs is ours divided by α₀: 1 for what was not played, and `regularization` itself as the penalty.
    """
    user, item, weight = many(700, 90, 9000, seed=1)
    params = AlsParams(rank=8, iterations=10, regularization=5.0, regularization_exponent=0)
    weights = np.zeros((700, 90))
    weights[user, item] = weight
    alpha = 1 / (unobserved_weight(weights, params) * weight.mean())
    confidence = sp.csr_matrix((1 + alpha * weight, (user, item)), shape=(700, 90))
    peer = implicit.als.AlternatingLeastSquares(
        factors=8, regularization=5.0, iterations=10, random_state=1, use_gpu=False, num_threads=1
    )
    peer.fit(confidence, show_progress=False)
    model = fit_als(pairs, params, seed=3)
    theirs = dense_loss(weights, peer.user_factors.astype(float), peer.item_factors.astype(float), params)
    assert model.figures["loss"] <= theirs * 1.01


def test_a_warm_start_needs_two_iterations_where_a_cold_one_needs_ten(spark: SparkSession) -> None:
    """A night's increment: one pair in a hundred is new, among them a new item and new listeners."""
    user, item, weight = many(700, 90, 9000, seed=1)
    is_old = (np.arange(len(user)) % 100 > 0) & (item != 88) & (user < 695)
    before = frame_of(spark, user[is_old], item[is_old], weight[is_old])
    after = frame_of(spark, user, item, weight)
    params = AlsParams(rank=8, iterations=10, warm_iterations=2)
    start = collect_items(fit_als(before, params, seed=3).item_vectors)
    assert 88 not in start.item_idx
    warm, cold = fit_als(after, params, seed=3, start=start), fit_als(after, params, seed=3)
    assert (warm.figures["iterations"], cold.figures["iterations"]) == (2, 10)
    assert warm.figures["loss"] <= cold.figures["loss"] * 1.0005
    assert 88 in {row.item_idx for row in warm.item_vectors.collect()}
    with pytest.raises(InputError, match="rank 4, found rank 8"):
        fit_als(after, params.model_copy(update={"rank": 4}), seed=3, start=start)


def test_mllib_takes_over_where_the_items_do_not_fit(pairs: DataFrame) -> None:
    said = io.StringIO()
    wide = pairs.selectExpr("user_idx", "item_idx * 1000 as item_idx", "weight")
    params = AlsParams(rank=4, iterations=2, block_memory_mb=1)
    model = fit_als(wide, params, seed=3, log=make_logger("r", stream=said))
    assert "MLlib takes over" in said.getvalue()
    assert "89001 items of rank 4 take 9 MB in every task, over als.block_memory_mb = 1" in said.getvalue()
    assert model.figures["listeners"] == 700
    assert "iterations" not in model.figures
    with pytest.raises(RuntimeError, match="blocked cannot run: 89001 items"):
        fit_als(wide, params.model_copy(update={"engine": "blocked"}), seed=3)


def test_comes_to_the_loss_of_mllib(pairs: DataFrame, spark: SparkSession) -> None:
    """Every listener has 6 of 60 items and every item 6 of 60 listeners, so MLlib's λ n is ours with any exponent."""
    user = np.repeat(np.arange(60), 6)
    item = (user + np.tile([0, 1, 2, 5, 9, 14], 60)) % 60
    weights = np.zeros((60, 60))
    weights[user, item] = 1
    frame = frame_of(spark, user, item, np.ones(360))
    ours = AlsParams(rank=4, iterations=20, regularization=0.5, unobserved=0.6)
    losses = []
    for engine in ("blocked", "mllib"):
        x, y = arrays(fit_als(frame, ours.model_copy(update={"engine": engine}), seed=5))
        losses.append(dense_loss(weights, x, y, ours))
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_mllib_is_given_our_loss_divided_by_the_weight_of_what_is_unobserved(
    pairs: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Σ λ / (2 P α₀) of all vectors a rating, and 1 / (α₀ × mean weight), by brute force."""
    given: list[dict[str, float]] = []

    def engine(**settings: float) -> None:
        given.append(settings)
        raise InterruptedError

    monkeypatch.setattr("musicrec.models.als.mllib.ALS", engine)
    params = AlsParams(rank=4, engine="mllib", unobserved=0.7, regularization=0.9, regularization_exponent=0.3)
    for partitions in (1, 3):
        with pytest.raises(InterruptedError):
            fit_als(pairs.repartition(partitions), params, seed=1)
    user, item, weight = many(700, 90, 9000, seed=1)
    weights = np.zeros((700, 90))
    weights[user, item] = weight
    played = weights[np.unique(user)][:, np.unique(item)] > 0
    alpha = unobserved_weight(weights[np.unique(user)], params)
    penalty = sum(penalties(side, alpha, params).sum() for side in (played, played.T))
    assert given[0] == given[1]
    assert given[0]["alpha"] == pytest.approx(1 / (alpha * weight.mean()), rel=1e-6)
    assert given[0]["regParam"] == pytest.approx(penalty / alpha / (2 * len(user)), rel=1e-5)


def arrays(model: EmbeddingModel) -> tuple[np.ndarray, np.ndarray]:
    users = sorted((row.user_idx, row.vector) for row in model.user_vectors.collect())
    items = sorted((row.item_idx, row.vector) for row in model.item_vectors.collect())
    return np.array([v for _, v in users], float), np.array([v for _, v in items], float)


def test_penalties_that_leave_nothing_are_an_error(pairs: DataFrame) -> None:
    """From λ_u λ_i above the squared largest singular value of the weighted matrix on, the optimum is 0."""
    params = AlsParams(rank=8, iterations=10, regularization=500.0)
    with pytest.raises(InputError, match=r"als.regularization = 500.0, als.unobserved = 1.0: .* lower them"):
        fit_als(pairs, params, seed=3)


def test_bad_input_is_named(spark: SparkSession) -> None:
    pairs = pairs_of(spark, planted())
    with pytest.raises(InputError, match="at least one to learn from, found none"):
        fit_als(pairs.where("false"), PARAMS, seed=1)
    with pytest.raises(InputError, match="positive finite weights, found 144 others"):
        fit_als(pairs.selectExpr("user_idx", "item_idx", "-weight as weight"), PARAMS, seed=1)
