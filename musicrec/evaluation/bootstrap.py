"""How sure a mean over listeners is: the percentile bootstrap (Efron and Tibshirani 1993, chapter 13)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from musicrec.params import Params


class BootstrapParams(Params):
    """How an interval is drawn.

    Attributes
    ----------
    resamples : how often the listeners are drawn again, with replacement.
    level : the share of the resamples' means that lie inside the interval.
    """

    resamples: int = Field(default=2000, ge=1000)
    level: float = Field(default=0.95, gt=0, lt=1)


def resampled_means(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """The means of each column over listeners drawn with replacement.

    Each draw takes whole rows, so the columns of one resample are paired: subtract two of them and the differences'
    spread is that of the gain of one model over another for the same listeners.

    Parameters
    ----------
    values : [listeners x columns], finite, at least one row. The order of the rows matters: sort them by listener.
    resamples : number of draws.
    seed : same values and seed, same means.

    Returns
    -------
    [resamples x columns].
    """
    rng = np.random.default_rng(seed)
    listeners = len(values)
    means = np.empty((resamples, values.shape[1]))
    for draw in range(resamples):
        # How often each row was drawn: memory for one row of counts, not for a copy of the values.
        times_drawn = np.bincount(rng.integers(0, listeners, listeners), minlength=listeners)
        means[draw] = times_drawn @ values / listeners
    return means


def interval(means: NDArray[np.float64], level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The low and high ends, one a column, between which the middle `level` of the means lie."""
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high
