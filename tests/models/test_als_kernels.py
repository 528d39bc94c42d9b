from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.models.als.axes import principal_axes
from musicrec.models.als.item_kernels import begin_rows, exact_gram, item_pass, step_rows
from musicrec.models.als.kernels import fit_losses, rotate, solve_rows
from musicrec.models.exact_sums import anchor_of
from musicrec.models.sparse import SparseRows, dense_index, sparse_rows


def matrix(rows: int, width: int, seed: int, density: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((rows, width)) < density) * (0.5 + rng.random((rows, width)))


def by_rows(dense: np.ndarray) -> SparseRows:
    row, column = np.nonzero(dense)
    order = np.random.default_rng(0).permutation(len(row))
    row, column = row[order].astype(np.int32), column[order].astype(np.int32)
    return sparse_rows(row, column, dense[row, column].astype(np.float32), *dense.shape)


def vectors(rows: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, d)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 99))
def test_sparse_rows_and_their_transpose_are_the_matrix(rows: int, width: int, seed: int) -> None:
    dense = matrix(rows, width, seed).astype(np.float32)
    for made, wanted in ((by_rows(dense), dense), (by_rows(dense).transposed(), dense.T)):
        found = np.zeros_like(wanted)
        for row in range(len(made)):
            columns = made.columns[made.starts[row] : made.starts[row + 1]]
            assert (np.diff(columns) > 0).all()
            found[row, columns] = made.values[made.starts[row] : made.starts[row + 1]]
        np.testing.assert_array_equal(found, wanted)


@given(st.lists(st.integers(0, 50), max_size=30))
def test_dense_index_is_numpys_unique(values: list[int]) -> None:
    array = np.array(values, np.int32)
    found, place = dense_index(array)
    wanted, inverse = np.unique(array, return_inverse=True)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(place, inverse)


@pytest.mark.parametrize("d", [1, 3, 8, 17, 64])
def test_solved_rows_are_those_of_the_normal_equations(d: int) -> None:
    """Also with more entries than dimensions and fewer, counts that are not multiples of four, and an empty row."""
    weights = matrix(14, 90, seed=d)
    weights[5] = 0
    weights[6, 1:] = 0
    weights[6, 0] = 2.0
    rows, y, a0 = by_rows(weights), vectors(90, d, 1), 0.3
    penalties = np.linspace(0.5, 2, 14).astype(np.float32)
    x = vectors(14, d, 2)
    spectrum, axes = principal_axes(a0 * (y.astype(float).T @ y))
    entries, enough = (rows.starts, rows.columns, rows.values), np.float32(1e-7)
    solve_rows(*entries, y @ axes, spectrum, penalties, np.float32(a0), x, 4 * d + 20, enough)
    x, wide = x @ axes.T, y.astype(float)
    for row in range(14):
        w, seen = weights[row], weights[row] > 0
        left = a0 * wide.T @ wide + (wide * w[:, None]).T @ wide + penalties[row] * np.eye(d)
        wanted = np.linalg.solve(left, wide.T @ ((a0 + w) * seen))
        np.testing.assert_allclose(x[row], wanted, atol=2e-4)


def items_by_steps(weights: np.ndarray, x: np.ndarray, y: np.ndarray, cuts: list[int], steps: int) -> np.ndarray:
    """The item side's steps with the listeners cut into blocks at `cuts`, sums added block by block."""
    d, n = x.shape[1], len(y)
    spectrum, axes = principal_axes(x.astype(float).T @ x)
    x, y = x @ axes, y @ axes
    longest = np.sqrt((x.astype(float) ** 2).sum(axis=1).max())
    blocks = [
        (by_rows(weights[a:b]).transposed(), x[a:b]) for a, b in zip([0, *cuts], [*cuts, len(x)], strict=True) if b > a
    ]

    def added(vectors: np.ndarray, constant: float, slope: tuple[float, float]) -> np.ndarray:
        reach = np.sqrt((vectors.astype(float) ** 2).sum(axis=1)) * longest
        anchors = anchor_of(len(x) * (1 + weights.max() * (1 + reach)) * longest)
        total = np.zeros((n, d))
        for turned, part in blocks:
            sums = np.full((n, d), np.nan)
            factors = np.float32(constant), np.array(slope, np.float32)
            item_pass(turned.starts, turned.columns, turned.values, part, vectors, *factors, anchors, sums)
            total += sums
        return total

    penalties = np.linspace(0.5, 2, n).astype(np.float32)
    r, p, sizes = np.empty_like(y), np.empty_like(y), np.empty(n, np.float32)
    begin_rows(added(y, 1, (1, -1)), spectrum, penalties, y, r, p, sizes)
    for _ in range(steps):
        step_rows(added(p, 0, (0, 1)), spectrum, penalties, y, r, p, sizes)
    return y @ axes.T


@pytest.mark.parametrize("d", [2, 7, 16])
def test_item_steps_end_at_the_normal_equations(d: int) -> None:
    weights, x = matrix(120, 20, seed=3), vectors(120, d, 4)
    found = items_by_steps(weights, x, vectors(20, d, 5), [40, 41], 6 * d)
    wide = x.astype(float)
    for item, penalty in enumerate(np.linspace(0.5, 2, 20)):
        w = weights[:, item]
        left = wide.T @ wide + (wide * w[:, None]).T @ wide + penalty * np.eye(d)
        np.testing.assert_allclose(found[item], np.linalg.solve(left, wide.T @ ((1 + w) * (w > 0))), atol=2e-4)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 120), max_size=5), st.integers(0, 9))
def test_cutting_the_listeners_anywhere_changes_no_bit_of_the_items(cuts: list[int], seed: int) -> None:
    weights, x, y = matrix(120, 15, seed), vectors(120, 8, seed) * 100, vectors(15, 8, seed + 1)
    whole = items_by_steps(weights, x, y, [], 3)
    np.testing.assert_array_equal(items_by_steps(weights, x, y, sorted(cuts), 3), whole)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.data())
def test_the_gram_is_exact_over_groups(sizes: list[int], data: st.DataObject) -> None:
    bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    x = vectors(int(bounds[-1]), 5, 1)
    anchor = anchor_of(np.array(float((x.astype(float) ** 2).sum())))
    whole = exact_gram(bounds, x, anchor)
    np.testing.assert_allclose(whole, x.astype(float).T @ x, atol=1e-5)
    cut = data.draw(st.integers(0, len(sizes)))
    first = exact_gram(bounds[: cut + 1], x, anchor)
    second = exact_gram(bounds[cut:] - bounds[cut], x[bounds[cut] :], anchor)
    np.testing.assert_array_equal(first + second, whole)


def test_turning_keeps_scores_and_makes_the_gram_diagonal() -> None:
    x, y = vectors(150, 6, 1), vectors(40, 6, 2)
    spectrum, axes = principal_axes(x.astype(float).T @ x)
    turned = x.copy()
    rotate(np.array([0, 64, 128, 150]), turned, axes)
    np.testing.assert_allclose(turned.T @ turned, np.diag(spectrum), atol=1e-3)
    np.testing.assert_allclose(turned @ (y @ axes).T, x @ y.T, atol=1e-4)
    apart = x[64:].copy()
    rotate(np.array([0, 64, 86]), apart, axes)
    np.testing.assert_array_equal(apart, turned[64:])


def test_axes_of_a_gram_without_full_rank_leave_nothing_to_divide_by_zero() -> None:
    x = vectors(5, 8, 1).astype(float)
    assert (principal_axes(x.T @ x)[0] > 0).all()
    assert (principal_axes(np.zeros((3, 3)))[0] > 0).all()


def test_losses_of_the_entries() -> None:
    weights, x, y = matrix(9, 30, 1), vectors(9, 4, 1), vectors(30, 4, 2)
    rows = by_rows(weights)
    found = fit_losses(rows.starts, rows.columns, rows.values, x, y, np.float32(0.25))
    scores = x.astype(float) @ y.T
    wanted = ((weights > 0) * ((0.25 + weights) * (1 - scores) ** 2 - 0.25 * scores**2)).sum(axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
