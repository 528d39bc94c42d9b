"""Lists of numbers: what travels between Spark's array columns and numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Ragged:
    """Lists of unequal length laid end to end: list i is `values[starts[i]:starts[i + 1]]`."""

    values: Array
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def rows(self) -> NDArray[np.int64]:
        """The list that each value belongs to [len(values)]."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.starts))

    def __getitem__(self, i: int) -> Array:
        return self.values[self.starts[i] : self.starts[i + 1]]

    def part(self, start: int, stop: int) -> Ragged:
        """The lists start .. stop - 1."""
        starts = self.starts[start : stop + 1]
        return Ragged(self.values[starts[0] : starts[-1]], starts - starts[0])


def find(wanted: Array, ascending: Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each wanted number stands in the ascending ones, and whether it does (the place of one it lacks means
    nothing)."""
    if not len(ascending):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return at, ascending[at] == wanted


def read_lists(column: pa.Array) -> Ragged:
    """An Arrow list column; a null list is read as an empty one."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(column.flatten().to_numpy(zero_copy_only=False), starts)


def read_vectors(column: pa.Array) -> NDArray[np.float32]:
    """An Arrow list column of n equally long vectors as a matrix [n × d]."""
    lists = read_lists(column)
    return np.asarray(lists.values, dtype=np.float32).reshape(len(lists), -1 if len(lists.values) else 0)


def write_lists(lists: Ragged, kind: pa.DataType) -> pa.ListArray:
    """The lists as an Arrow list column of `kind`."""
    return pa.ListArray.from_arrays(pa.array(lists.starts, pa.int32()), pa.array(lists.values, kind))
