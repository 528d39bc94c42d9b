"""Plays whose rule is known: a listener goes round one of two circles of five items, each after the one before."""

from __future__ import annotations

import numpy as np
from torch import nn

from musicrec.logs import Ticker, make_logger
from musicrec.models.neural.next_track import NextTrackModel
from musicrec.models.neural.sources import ArraySource

N_ITEMS, LENGTH = 10, 6


def circles(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(items [rows, LENGTH], first_target [rows]), left-padded with -1."""
    rng = np.random.default_rng(seed)
    items = np.full((rows, LENGTH), -1, dtype=np.int32)
    first = np.zeros(rows, dtype=np.int32)
    for row in range(rows):
        size, base, start = rng.integers(2, LENGTH + 1), 5 * rng.integers(2), rng.integers(5)
        items[row, LENGTH - size :] = base + (start + np.arange(size)) % 5
        first[row] = LENGTH - size + 1
    return items, first


def source(rows: int = 200, seed: int = 1, batch_size: int = 16) -> ArraySource:
    """Shuffled batches of circles."""
    return ArraySource(circles(rows, seed), batch_size, seed)


def judge(model: nn.Module) -> tuple[dict[str, float], float]:
    """The next-track figures on circles that were not trained on, of the first place of two."""
    assert isinstance(model, NextTrackModel)
    (items, first), *_ = ArraySource(circles(40, 2), 40, None).batches(0)
    sums, count = model.judge(items, first, k=1)
    return sums, count


def ticker(steps: int = 1) -> Ticker:
    """One that writes to the log."""
    return Ticker(make_logger("test"), "training", steps, None)
