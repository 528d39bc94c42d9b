from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import PCA, TruncatedSVD

from musicrec.models import slices
from musicrec.models.collective import Collective
from musicrec.models.pca import block as pca_block
from musicrec.models.pca.block import Block, Found, decompose, make_block, turn_positive
from musicrec.models.pca.kernels import scatter_times
from musicrec.models.sparse import sparse_rows
from tests.models.test_krylov import together

ROWS, WIDTH = 90, 40


def sparse_matrix(seed: int, rows: int = ROWS, width: int = WIDTH) -> np.ndarray:
    """float32 weights of both signs and very different sizes; column 3 is empty, row 5 is full."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((rows, width)) * np.exp(3 * rng.standard_normal(rows))[:, None]
    matrix[rng.random((rows, width)) < 0.8] = 0
    matrix[5] = 1.5
    matrix[:, 0] += 2
    matrix[:, 3] = 0
    return matrix.astype(np.float32)


def block_of(member: Collective, matrix: np.ndarray, center: bool) -> Block:
    """A task's block; the rows go to the tasks by turns, their entries in any order."""
    row, column = np.nonzero(matrix)
    order = np.random.default_rng(member.size).permutation(len(row))
    mine = order[row[order] % member.size == member.rank]
    row, column = row[mine].astype(np.int32), column[mine].astype(np.int32)
    return make_block(member, 7 * row, column, matrix[row, column], matrix.shape[1] - 1, center)


def fitted_by(tasks: int, matrix: np.ndarray, k: int, center: bool, tolerance: float = 1e-12) -> list[Found]:
    """What each of `tasks` tasks finds."""

    def act(member: Collective) -> Found:
        block = block_of(member, matrix, center)
        np.testing.assert_array_equal(block.item_idx, np.flatnonzero(matrix.any(axis=0)))
        assert block.listeners == len(matrix)
        return decompose(member, block, k, 8, 40, tolerance, 3, lambda _: None)

    return together(tasks, act)


def whole(parts: list[Found]) -> NDArray[np.float32]:
    """The listeners' coordinates in the order of the rows."""
    coordinates = np.zeros((sum(len(part.users) for part in parts), parts[0].users.shape[1]), np.float32)
    for rank, part in enumerate(parts):
        coordinates[rank :: len(parts)] = part.users
    return coordinates


@pytest.mark.parametrize("center", [True, False])
def test_equals_the_dense_decomposition(center: bool) -> None:
    matrix = sparse_matrix(1)
    exact = matrix.astype(np.float64) - (matrix.mean(axis=0, dtype=np.float64) if center else 0)
    left, singular, right = np.linalg.svd(exact, full_matrices=False)
    parts = fitted_by(2, matrix, 6, center)
    np.testing.assert_allclose(parts[0].directions.values, singular[:6] ** 2, rtol=1e-10)
    used = [c for c in range(WIDTH) if c != 3]
    signs = np.sign((right[:6, used].T * parts[0].items).sum(axis=0))
    np.testing.assert_allclose(parts[0].items, right[:6, used].T * signs, atol=1e-6)
    np.testing.assert_allclose(whole(parts), left[:, :6] * singular[:6] * signs, atol=1e-5 * singular[0])
    assert (parts[0].items[np.abs(parts[0].items).argmax(axis=0), range(6)] > 0).all()
    peer = PCA(6, svd_solver="full") if center else TruncatedSVD(6, algorithm="arpack")
    np.testing.assert_allclose(
        np.sqrt(parts[0].directions.values), peer.fit(matrix.astype(np.float64)).singular_values_, rtol=1e-9
    )


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 99), st.booleans())
def test_more_tasks_change_no_bit(seed: int, center: bool) -> None:
    matrix = sparse_matrix(seed)
    with pytest.MonkeyPatch.context() as patch:
        # Some chunks to share, and more tasks than chunks.
        patch.setattr(slices.Slices.__init__, "__defaults__", (16,))
        alone = fitted_by(1, matrix, 4, center, 1e-6)
        first = block_of(Collective(0, 1, None), matrix, center)
        for tasks in (2, 5):
            for block in together(tasks, lambda member: block_of(member, matrix, center)):
                assert (block.mean.tobytes(), block.scatter) == (first.mean.tobytes(), first.scatter)
            parts = fitted_by(tasks, matrix, 4, center, 1e-6)
            for part in parts:
                assert part.items.tobytes() == alone[0].items.tobytes()
                assert part.directions.values.tobytes() == alone[0].directions.values.tobytes()
            assert whole(parts).tobytes() == alone[0].users.tobytes()


def test_sums_are_those_of_the_dense_product_whatever_the_order() -> None:
    matrix = sparse_matrix(2)
    row, column = np.nonzero(matrix)
    rows = sparse_rows(row.astype(np.int32), column.astype(np.int32), matrix[row, column], ROWS, WIDTH)
    block = make_block(
        Collective(0, 1, None), row.astype(np.int32), column.astype(np.int32), matrix[row, column], WIDTH - 1, True
    )
    used = block.item_idx
    directions, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((len(used), 5)))
    scatter = pca_block._Scatter(Collective(0, 1, None), block, slices.Slices(Collective(0, 1, None), len(used)), 5)
    centred = matrix.astype(np.float64) - matrix.mean(axis=0, dtype=np.float64)
    product = scatter.times(directions)
    np.testing.assert_allclose(product, (centred.T @ (centred[:, used] @ directions))[used], rtol=1e-9)
    # In two parts, in the other order: the very same sums.
    parts = np.zeros((2, *directions.shape))
    shift = block.mean[None] @ directions
    half = rows.starts[ROWS // 2]
    for part, (first, last) in enumerate([(0, ROWS // 2), (ROWS // 2, ROWS)]):
        starts = block.rows.starts[first : last + 1] - block.rows.starts[first]
        entries = slice(0, half) if part == 0 else slice(half, None)
        columns, values = block.rows.columns[entries], block.rows.values[entries]
        scatter_times(starts, columns, values, directions, shift[0], scatter._anchors, parts[part])
    assert (parts[1] + parts[0]).tobytes() == product.tobytes()


def test_equal_listeners_have_no_scatter_and_zero_is_none_uncentred() -> None:
    row, column = (part.ravel().astype(np.int32) for part in np.mgrid[0:50, 0:9])
    for value, center, expected in (
        (0.1, True, 0.0),
        (0.1, False, 450 * np.float64(np.float32(0.1)) ** 2),
        (0, 0, 0.0),
    ):
        values = np.full(450, value, np.float32)
        block = make_block(Collective(0, 1, None), row, column, values, 8, bool(center))
        assert block.scatter == pytest.approx(expected, rel=1e-12)


def test_the_largest_entry_is_turned_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties, but for the last bits, go to the first; the columns are looked at in several parts."""
    monkeypatch.setattr(pca_block, "_PART", 2)
    vectors = np.array([[0.5, -0.7, -0.5], [-0.5 - 1e-12, 0.1, 0.2], [0.1, 0.7, 0.1], [0.2, 0.0, 0.500001]])
    turned = vectors.copy()
    turn_positive(turned)
    np.testing.assert_array_equal(turned, vectors * [1, -1, 1])
