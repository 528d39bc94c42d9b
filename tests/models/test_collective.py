from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.models.collective import Collective, even_bounds
from tests.rings import together


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 23), st.sampled_from([np.add, np.maximum]))
def test_every_task_gets_the_whole(size: int, length: int, combine: Any) -> None:
    arrays = np.random.default_rng(length).standard_normal((size, length, 3))
    wanted = combine.reduce(arrays)
    for found in together(size, lambda member: member.reduce(arrays[member.rank].copy(), combine)):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(0, 23))
def test_slices_are_reduced_to_their_owners_and_gathered_again(size: int, rows: int) -> None:
    arrays = np.random.default_rng(rows).integers(0, 99, (size, rows, 2)).astype(np.float64)
    bounds = even_bounds(rows, size)

    def act(member: Collective) -> np.ndarray:
        own = member.reduce_rows(arrays[member.rank].copy(), bounds)
        np.testing.assert_array_equal(own, arrays.sum(axis=0)[bounds[member.rank] : bounds[member.rank + 1]])
        whole = np.full((rows, 2), np.nan)
        whole[bounds[member.rank] : bounds[member.rank + 1]] = own
        member.gather_rows(whole, bounds)
        return whole

    for found in together(size, act):
        np.testing.assert_array_equal(found, arrays.sum(axis=0))


def test_arrays_larger_than_any_buffer_pass_both_ways_at_once() -> None:
    big = np.ones(3_000_000)
    for found in together(2, lambda member: member.reduce(big * (member.rank + 1))):
        assert found.min() == found.max() == 3.0


def test_a_task_that_goes_away_is_an_error_not_a_wait() -> None:
    def act(member: Collective) -> None:
        if member.rank == 1:
            member.close()
            return
        with pytest.raises(OSError, match=r"gone away|Broken pipe|reset"):
            member.reduce(np.ones(8))

    together(2, act)
