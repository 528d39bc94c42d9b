from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from musicrec.evaluation.bootstrap import BootstrapParams, interval, resampled_means


def test_intervals_equal_scipys_up_to_the_luck_of_the_draw() -> None:
    values = np.random.default_rng(0).beta(0.5, 2, size=(400, 1))
    low, high = interval(resampled_means(values, 4000, seed=1), 0.9)
    theirs = stats.bootstrap(
        (values[:, 0],), np.mean, confidence_level=0.9, n_resamples=4000, method="percentile", random_state=2
    ).confidence_interval
    spread = theirs.high - theirs.low
    assert low[0] == pytest.approx(theirs.low, abs=0.05 * spread)
    assert high[0] == pytest.approx(theirs.high, abs=0.05 * spread)


def test_columns_of_a_resample_are_paired() -> None:
    noisy = np.random.default_rng(0).uniform(size=200)
    means = resampled_means(np.column_stack([noisy, noisy + 0.01]), 1000, seed=1)
    assert means[:, 0].std() > 0.01
    assert means[:, 1] - means[:, 0] == pytest.approx(0.01)


def test_the_same_seed_draws_the_same_and_another_seed_does_not() -> None:
    values = np.random.default_rng(0).uniform(size=(50, 2))
    first = resampled_means(values, 1000, seed=1)
    assert np.array_equal(first, resampled_means(values, 1000, seed=1))
    assert not np.array_equal(first, resampled_means(values, 1000, seed=2))


def test_one_listener_has_no_spread() -> None:
    low, high = interval(resampled_means(np.array([[0.25]]), 1000, seed=1), 0.95)
    assert (low[0], high[0]) == (0.25, 0.25)


def test_too_few_resamples_are_refused() -> None:
    with pytest.raises(ValidationError, match="resamples"):
        BootstrapParams(resamples=999)
