"""Rank correlation with its interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

_NORMAL_95 = 1.959964


def spearman(x: NDArray[np.float64], y: NDArray[np.float64], least: int = 10) -> tuple[float, float, float, int] | None:
    """Spearman's ρ of the pairs of which both are known, its 95 % interval and how many they are.

    The interval is Fisher's with the variance (1 + ρ² / 2) / (n - 3) of Bonett and Wright (2000, "Sample size
    requirements for estimating Pearson, Kendall and Spearman correlations").

    Parameters
    ----------
    x, y : [n], NaN where unknown.
    least : None is given where fewer pairs are known, or where one side is constant.
    """
    known = ~(np.isnan(x) | np.isnan(y))
    x, y, n = x[known], y[known], int(known.sum())
    if n < max(least, 4) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    rho = float(spearmanr(x, y).statistic)
    z = math.atanh(min(max(rho, -1 + 1e-12), 1 - 1e-12))
    spread = _NORMAL_95 * math.sqrt((1 + rho * rho / 2) / (n - 3))
    return rho, math.tanh(z - spread), math.tanh(z + spread), n
