from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from musicrec.evaluation.correlation import spearman


def test_rho_is_pearsons_of_the_ranks_with_ties_and_what_is_unknown_left_out() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 10, 200).astype(float)
    y = np.round(x + rng.normal(0, 4, 200))
    x[:20], y[10:30] = np.nan, np.nan
    found = spearman(x, y)
    assert found is not None
    rho, low, high, n = found
    assert n == 170
    assert rho == pytest.approx(np.corrcoef(rankdata(x[30:]), rankdata(y[30:]))[0, 1])
    assert low < rho < high


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    # Spearman's rho of a bivariate normal with correlation r is 6 / pi asin(r / 2).
    rng, r, hits = np.random.default_rng(4), 0.6, 0
    truth = 6 / np.pi * np.arcsin(r / 2)
    for _ in range(600):
        x = rng.normal(size=80)
        found = spearman(x, r * x + np.sqrt(1 - r * r) * rng.normal(size=80))
        assert found is not None
        hits += found[1] <= truth <= found[2]
    assert hits / 600 == pytest.approx(0.95, abs=0.025)


def test_few_pairs_or_a_constant_column_have_no_correlation() -> None:
    x = np.arange(20.0)
    assert spearman(x, np.ones(20)) is None
    assert spearman(x[:9], x[:9]) is None
    perfect = spearman(x, x)
    assert perfect is not None
    assert perfect[0] == 1
    assert np.isfinite(perfect).all()
