from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.models.collective import Collective
from musicrec.models.krylov import Directions, leading_directions
from musicrec.models.slices import Slices
from tests.rings import together

ROWS, CHUNK = 60, 7


def with_spectrum(values: np.ndarray, seed: int) -> np.ndarray:
    """A symmetric matrix with these eigenvalues."""
    vectors, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))
    return (vectors * values) @ vectors.T


def solve(
    matrix: np.ndarray, tasks: int, k: int, size: int, max_passes: int = 99, tolerance: float = 1e-13
) -> tuple[np.ndarray, Directions]:
    """Whole vectors and the first task's findings; every task multiplies with its rows of the matrix alone."""
    start = np.random.default_rng(5).standard_normal((len(matrix), size))

    def act(member: Collective) -> Directions:
        slices = Slices(member, len(matrix), CHUNK)
        whole = np.empty_like(start)

        def multiply(directions: np.ndarray) -> np.ndarray:
            part = np.ascontiguousarray(whole[:, : directions.shape[1]])
            part[slices.own] = directions
            member.gather_rows(part, slices.bounds)
            # All rows, so that BLAS sees one shape whatever the tasks.
            return (matrix @ part)[slices.own].copy()

        return leading_directions(multiply, slices, start[slices.own], k, max_passes, tolerance, lambda _: None)

    found = together(tasks, act)
    for other in found[1:]:
        assert other.values.tobytes() == found[0].values.tobytes()
        assert (other.passes, other.residual, other.missing) == (
            found[0].passes,
            found[0].residual,
            found[0].missing,
        )
    return np.vstack([part.vectors for part in found]), found[0]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(0, 6),
    st.lists(st.floats(0, 1), min_size=ROWS, max_size=ROWS),
    st.integers(0, 99),
)
def test_finds_the_leading_eigenpairs(tasks: int, k: int, more: int, values: list[float], seed: int) -> None:
    """Any spectrum without negative values: equal ones, clusters, hardly any that are not 0."""
    spectrum = np.sort(np.array(values))[::-1]
    spectrum[0] = 1.0
    matrix = with_spectrum(spectrum, seed)
    vectors, found = solve(matrix, tasks, k, k + more)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(k), atol=1e-10)
    errors = np.linalg.norm(matrix @ vectors - vectors * found.values, axis=0)
    assert errors.max() <= found.residual + 1e-12
    np.testing.assert_allclose(found.values, spectrum[:k], atol=1e-9)


def test_more_tasks_change_no_bit() -> None:
    matrix = with_spectrum(0.9 ** np.arange(ROWS), 1)
    alone, found = solve(matrix, 1, 5, 9)
    for tasks in (2, 3, 5, 12):  # 12: some have no chunk at all
        vectors, others = solve(matrix, tasks, 5, 9)
        assert vectors.tobytes() == alone.tobytes()
        assert (others.passes, others.missing) == (found.passes, found.missing)


@pytest.mark.parametrize("decay", [0.97, 0.9, 0.6])
def test_what_it_says_is_missing_is_missing(decay: float) -> None:
    """Stopped at any pass, the estimate is of the true gap's size, and the residual bounds each value's error."""
    spectrum = decay ** np.arange(300)
    matrix = with_spectrum(spectrum, 2)
    k = 8
    for passes in range(4, 9):
        _, found = solve(matrix, 1, k, 12, passes, 1e-300)
        missing = 1 - found.values.sum() / spectrum[:k].sum()
        assert missing >= -1e-13
        if found.missing > 1e-11:
            assert missing / 5 <= found.missing <= 25 * missing
        nearest = np.abs(spectrum[:, None] - found.values[None, :]).min(axis=0)
        assert (nearest <= found.residual + 1e-13).all()
    _, found = solve(matrix, 1, k, 12, 60, 1e-6)
    assert found.missing <= 1e-6
    assert 1 - found.values.sum() / spectrum[:k].sum() <= 5e-6


def test_a_matrix_of_low_rank_still_gives_all_directions() -> None:
    matrix = with_spectrum(np.concatenate([[3.0, 2.0], np.zeros(ROWS - 2)]), 3)
    vectors, found = solve(matrix, 2, 4, 6)
    np.testing.assert_allclose(found.values, [3, 2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(4), atol=1e-12)
    assert found.passes <= 3


def test_goes_on_after_restarts() -> None:
    """A slow spectrum needs many more blocks than are kept."""
    spectrum = np.linspace(1, 0, 400)
    matrix = with_spectrum(spectrum, 4)
    vectors, found = solve(matrix, 1, 3, 5, 200, 1e-10)
    assert 5 * found.passes > 2 * 96  # directions, of which 96 are held
    assert found.passes < 200
    np.testing.assert_allclose(found.values, spectrum[:3], rtol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(matrix @ vectors - vectors * found.values, axis=0), 0, atol=1e-3)
