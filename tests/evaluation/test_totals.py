from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.evaluation.metric_kernels import add_values, mark_best_ranks
from musicrec.evaluation.totals import Totals

values_of_two_groups = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 60)), min_size=1, max_size=40)


def summed(rows: list[tuple[int, float]]) -> list[Totals]:
    counts, high, low = (np.zeros((2, 1), np.int64) for _ in range(3))
    add_values(
        np.array([[value for _, value in rows]]), np.array([group for group, _ in rows], np.int64), counts, high, low
    )
    nothing = np.zeros((1, 0), np.uint8)
    return [Totals(counts[at], np.column_stack([high[at], low[at]]), nothing) for at in range(2)]


@settings(deadline=None)
@given(values_of_two_groups, st.randoms(use_true_random=False), st.integers(0, 40))
def test_sums_are_the_same_in_any_order_and_parts(rows: list[tuple[int, float]], random: object, cut: int) -> None:
    whole = summed(rows)
    shuffled = sorted(rows, key=lambda _: random.random())  # type: ignore[attr-defined]
    parts = [a.plus(b) for a, b in zip(summed(shuffled[:cut]), summed(shuffled[cut:]), strict=True)]
    for group in range(2):
        mean = whole[group].mean(0)
        assert parts[group].mean(0) == mean
        exact = [Fraction(value) for at, value in rows if at == group]
        if exact:
            assert mean is not None
            assert abs(Fraction(mean) - sum(exact) / len(exact)) < Fraction(1, 2**46)
        else:
            assert mean is None


def test_what_is_not_defined_is_left_out() -> None:
    (totals, _) = summed([(0, 0.5), (0, float("nan")), (0, 0.25)])
    assert (totals.mean(0), totals.counts[0]) == (0.375, 2)


def test_best_ranks_are_by_group_within_the_longest_cut_and_the_catalogue() -> None:
    best = np.full((2, 6), 99, np.int32)
    items, starts = np.array([4, 1, 9, 1, 4, 2, 5, 0], np.int32), np.array([0, 3, 6, 8])
    mark_best_ranks(items, starts, np.array([0, 1, 0]), best, 2)
    assert best.tolist() == [[2, 2, 99, 99, 1, 1], [99, 1, 99, 99, 2, 99]]
