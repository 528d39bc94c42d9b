"""Training rows held in memory, as shuffled batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from musicrec.models.neural.meter import Batch

Rows = NDArray[np.int64]

# Batches whose rows are put together by length.
_ALIKE = 16


def batch_rows(rows: int, batch_size: int, rng: np.random.Generator | None, lengths: Rows | None = None) -> list[Rows]:
    """The rows of each batch of an epoch, each row once.

    Parameters
    ----------
    rng : draws the order; None to keep it.
    lengths : plays in each row. Then the rows of a batch are about as long, since a short one waits for the longest:
        of sixteen batches' rows, drawn at random, the longest make one batch and so on; the batches are then shuffled.
    """
    if rng is None:
        return [np.arange(at, min(at + batch_size, rows)) for at in range(0, rows, batch_size)]
    order = rng.permutation(rows)
    if lengths is None:
        return [order[at : at + batch_size] for at in range(0, rows, batch_size)]
    batches = []
    for at in range(0, rows, batch_size * _ALIKE):
        drawn = order[at : at + batch_size * _ALIKE]
        alike = drawn[np.argsort(-lengths[drawn], kind="stable")]
        batches += [alike[first : first + batch_size] for first in range(0, len(alike), batch_size)]
    return [batches[number] for number in rng.permutation(len(batches))]


class ArraySource:
    """Rows of equally long arrays, shuffled anew each epoch by (seed, epoch).

    Parameters
    ----------
    columns : arrays whose first dimension is the rows; a batch has a tensor of each.
    batch_size : rows in a batch; one may be smaller.
    seed : of the order; None to keep it.
    lengths : see `batch_rows`.
    """

    def __init__(
        self, columns: tuple[NDArray[np.generic], ...], batch_size: int, seed: int | None, lengths: Rows | None = None
    ) -> None:
        self._columns = tuple(torch.from_numpy(np.ascontiguousarray(column)) for column in columns)
        self._batch_size, self._seed, self._lengths = batch_size, seed, lengths

    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._columns[0]) // self._batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The epoch's batches from number `start` on."""
        rng = None if self._seed is None else np.random.default_rng([self._seed, epoch])
        for rows in batch_rows(len(self._columns[0]), self._batch_size, rng, self._lengths)[start:]:
            yield tuple(column[torch.from_numpy(rows)] for column in self._columns)
