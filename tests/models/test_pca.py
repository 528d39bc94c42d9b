from __future__ import annotations

import io

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn.decomposition import PCA, TruncatedSVD

from musicrec.errors import InputError
from musicrec.logs import make_logger
from musicrec.models.pca import blocked as pca_blocked
from musicrec.models.pca.fit import PcaModel, PcaParams, fit_pca

PARAMS = PcaParams(components=4, oversampling=4, tolerance=1e-12, max_iterations=30, blocks=2)


def low_rank_matrix(rows: int = 60, width: int = 25, seed: int = 3) -> np.ndarray:
    """Sparse float32 weights ≥ 0 with a decaying spectrum, an unused column inside and no empty row."""
    rng = np.random.default_rng(seed)
    taste = rng.gamma(1.0, 1.0, (rows, 6)) * [8, 5, 3, 2, 1, 0.5]
    matrix = taste @ rng.gamma(0.5, 1.0, (6, width))
    matrix[rng.random((rows, width)) < 0.4] = 0
    matrix[:, 7] = 0
    matrix[:, 0] += 1
    return matrix.astype(np.float32).astype(np.float64)


def pairs_of(spark: SparkSession, matrix: np.ndarray, user_of_row: list[int] | None = None) -> DataFrame:
    users = user_of_row or list(range(len(matrix)))
    rows = [(users[r], int(c), float(matrix[r, c])) for r, c in zip(*np.nonzero(matrix), strict=True)]
    return spark.createDataFrame(rows, "user_idx int, item_idx int, weight double")


def signed(components: np.ndarray) -> np.ndarray:
    largest = np.abs(components).argmax(axis=1)
    return components * np.sign(components[np.arange(len(components)), largest])[:, None]


def vectors_of(df: DataFrame, key: str) -> dict[int, np.ndarray]:
    return {row[key]: np.array(row.vector) for row in df.collect()}


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    return low_rank_matrix()


@pytest.fixture(scope="module")
def users() -> list[int]:
    """Indices with gaps, so that a listener's index is not its row."""
    return [3 * r + 5 for r in range(60)]


@pytest.fixture(scope="module")
def fitted(spark: SparkSession, matrix: np.ndarray, users: list[int]) -> PcaModel:
    return fit_pca(pairs_of(spark, matrix, users), PARAMS, seed=1)


def test_equals_sklearn(fitted: PcaModel, matrix: np.ndarray) -> None:
    exact = PCA(n_components=4, svd_solver="full").fit(matrix)
    np.testing.assert_allclose(fitted.explained_variance, exact.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(fitted.explained_variance_ratio, exact.explained_variance_ratio_, rtol=1e-9)
    np.testing.assert_allclose(fitted.cumulative_ratio, np.cumsum(exact.explained_variance_ratio_), rtol=1e-9)
    np.testing.assert_allclose(fitted.components, signed(exact.components_), atol=2e-7)
    np.testing.assert_allclose(fitted.singular_values, exact.singular_values_, rtol=1e-9)
    np.testing.assert_allclose(fitted.mean, exact.mean_, rtol=1e-6)
    assert (fitted.components[:, 7] == 0).all()
    assert fitted.embedding.figures["residual"] <= 1e-9
    assert fitted.embedding.figures["passes"] <= 12


def test_scores_reconstruct_the_rows(fitted: PcaModel, matrix: np.ndarray, users: list[int]) -> None:
    components = signed(PCA(n_components=4, svd_solver="full").fit(matrix).components_)
    mean = matrix.mean(axis=0)
    coordinates = (matrix - mean) @ components.T
    found_users = vectors_of(fitted.embedding.user_vectors, "user_idx")
    assert sorted(found_users) == users
    items = {row.item_idx: row for row in fitted.embedding.item_vectors.collect()}
    assert sorted(items) == [c for c in range(25) if c != 7]
    for r, user in enumerate(users):
        np.testing.assert_allclose(found_users[user], coordinates[r], atol=1e-5)
        scores = [found_users[user] @ np.array(items[c].vector) + items[c].bias for c in items]
        expected = coordinates[r] @ components + mean
        np.testing.assert_allclose(scores, [expected[c] for c in items], atol=1e-5)


@pytest.mark.parametrize(("blocks", "partitions"), [(1, 5), (64, 3)])
def test_blocks_and_partitions_change_no_bit(
    spark: SparkSession, fitted: PcaModel, matrix: np.ndarray, users: list[int], blocks: int, partitions: int
) -> None:
    shuffled = pairs_of(spark, matrix, users).orderBy("weight").repartition(partitions)
    again = fit_pca(shuffled, PARAMS.model_copy(update={"blocks": blocks}), seed=1)
    assert again.explained_variance.tobytes() == fitted.explained_variance.tobytes()
    assert again.components.tobytes() == fitted.components.tobytes()
    assert sorted(again.embedding.user_vectors.collect()) == sorted(fitted.embedding.user_vectors.collect())
    again.embedding.release()


def test_one_task_does_all_where_none_can_run_beside_it(
    spark: SparkSession, fitted: PcaModel, matrix: np.ndarray, users: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pca_blocked, "why_not_side_by_side", lambda _: "a reason")
    said = io.StringIO()
    alone = fit_pca(pairs_of(spark, matrix, users), PARAMS, seed=1, log=make_logger("test", stream=said))
    assert "pca: one task does all" in said.getvalue()
    assert "a reason" in said.getvalue()
    assert alone.components.tobytes() == fitted.components.tobytes()
    alone.embedding.release()


def test_uncentred_it_is_the_singular_value_decomposition(spark: SparkSession, matrix: np.ndarray) -> None:
    found = fit_pca(pairs_of(spark, matrix), PARAMS.model_copy(update={"center": False}), seed=1)
    exact = TruncatedSVD(4, algorithm="arpack").fit(matrix)
    np.testing.assert_allclose(found.singular_values, exact.singular_values_, rtol=1e-9)
    np.testing.assert_allclose(found.components, signed(exact.components_), atol=2e-7)
    np.testing.assert_allclose(found.explained_variance_ratio, exact.singular_values_**2 / (matrix**2).sum(), rtol=1e-9)
    coordinates = vectors_of(found.embedding.user_vectors, "user_idx")
    for r, row in enumerate(matrix @ signed(exact.components_).T):
        np.testing.assert_allclose(coordinates[r], row, rtol=1e-5, atol=1e-5)
    assert (found.mean == 0).all()
    assert {row.bias for row in found.embedding.item_vectors.collect()} == {0.0}


def test_as_many_components_as_items(spark: SparkSession) -> None:
    matrix = np.random.default_rng(0).poisson(1.0, (12, 5)).astype(float) + np.eye(12, 5)
    matrix[:, 0] += 1
    found = fit_pca(pairs_of(spark, matrix), PcaParams(components=5), seed=2)
    exact = PCA(svd_solver="full").fit(matrix)
    np.testing.assert_allclose(found.explained_variance, exact.explained_variance_, atol=1e-9)
    np.testing.assert_allclose(found.cumulative_ratio[-1], 1.0, atol=1e-12)
    np.testing.assert_allclose(found.components, signed(exact.components_), atol=2e-7)


def test_the_residual_bounds_the_error_when_stopped_early(spark: SparkSession) -> None:
    """A flat spectrum and two passes: not converged, and it says so."""
    matrix = np.abs(np.random.default_rng(4).standard_normal((40, 30)))
    params = PcaParams(components=3, oversampling=2, max_iterations=2, tolerance=1e-12, blocks=2)
    found = fit_pca(pairs_of(spark, matrix), params, seed=0)
    exact = PCA(svd_solver="full").fit(matrix).explained_variance_
    residual = found.embedding.figures["residual"]
    assert found.embedding.figures["passes"] == 2
    assert residual > 1e-3
    nearest = np.abs(exact[:, None] - found.explained_variance[None, :]).min(axis=0)
    assert (nearest <= residual * exact[0]).all()
    np.testing.assert_allclose(found.components @ found.components.T, np.eye(3), atol=1e-6)


def test_bad_input_is_named(spark: SparkSession) -> None:
    pairs = pairs_of(spark, np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]]))
    with pytest.raises(InputError, match=r"pca\.components: expected at most 2 \(2 listeners, 3 items\), found 3"):
        fit_pca(pairs, PcaParams(components=3), seed=0)
    with pytest.raises(InputError, match="at least one to learn from"):
        fit_pca(pairs.where("false"), PcaParams(components=1), seed=0)
    with pytest.raises(InputError, match="finite weights"):
        fit_pca(
            pairs.selectExpr("user_idx", "item_idx", "double('Infinity') as weight"), PcaParams(components=1), seed=0
        )
    with pytest.raises(InputError, match="listeners that differ"):
        fit_pca(pairs.selectExpr("user_idx", "item_idx", "0.1D as weight"), PcaParams(components=1), seed=0)
