"""Tall matrices cut by rows among the tasks of one stage, and the small products of them that all tasks need.

The rows go in chunks of a fixed size, whole chunks to a task. What is added up over rows is added up chunk by chunk in
their order, so it has the same bits however many tasks there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from musicrec.models.collective import Collective, even_bounds

Floats = NDArray[np.float64]

_CHUNK_ROWS = 4096


class Slices:
    """This task's share of the rows of matrices that all have `rows` rows.

    Attributes
    ----------
    bounds : where each task's rows begin, and the end.
    own : this task's rows.
    """

    def __init__(self, ring: Collective, rows: int, chunk_rows: int = _CHUNK_ROWS) -> None:
        self._ring, self._chunk_rows = ring, chunk_rows
        self._chunks = even_bounds(-(-rows // chunk_rows), ring.size)
        self.bounds = [min(chunk * chunk_rows, rows) for chunk in self._chunks]
        self.own = ring.own(self.bounds)

    def __len__(self) -> int:
        """Rows of this task."""
        return self.own.stop - self.own.start

    def chunks(self) -> Iterator[slice]:
        """The chunks of this task's rows, counted from its first row."""
        for start in range(0, len(self), self._chunk_rows):
            yield slice(start, min(start + self._chunk_rows, len(self)))

    def numbered_chunks(self) -> Iterator[tuple[int, slice]]:
        """The chunks of this task with their numbers among all tasks' chunks."""
        return enumerate(self.chunks(), self._chunks[self._ring.rank])

    def per_chunk(self, make: Callable[[slice], Floats], shape: tuple[int, ...]) -> Floats:
        """make(chunk) of all chunks of all tasks, in their order [chunks × shape]."""
        found = np.empty((self._chunks[-1], *shape))
        for number, chunk in self.numbered_chunks():
            found[number] = make(chunk)
        self._ring.gather_rows(found, self._chunks)
        return found

    def inner(self, left: Floats, right: Floats) -> Floats:
        """leftᵀ right of the whole matrices, from each task's slices of them [columns of left × columns of right]."""
        parts = self.per_chunk(lambda chunk: left[chunk].T @ right[chunk], (left.shape[1], right.shape[1]))
        return np.asarray(parts.sum(axis=0))

    def triangles(self, matrix: Floats) -> Floats:
        """A matrix [any × columns] with the same lengths and angles of its columns as the whole of `matrix`."""
        columns = matrix.shape[1]

        def triangle(chunk: slice) -> Floats:
            found = np.zeros((columns, columns))
            upper = np.linalg.qr(matrix[chunk], mode="r")
            found[: len(upper)] = upper
            return found

        return self.per_chunk(triangle, (columns, columns)).reshape(-1, columns)

    def agreed(self, make: Callable[[], Floats], shape: tuple[int, ...]) -> Floats:
        """What the first task makes, in all tasks: machines of different kinds need not round alike."""
        found = make() if self._ring.rank == 0 else np.empty(shape)
        whole = np.ascontiguousarray(found, dtype=np.float64)
        self._ring.gather_rows(whole, [0] + [len(whole)] * self._ring.size)
        return whole
