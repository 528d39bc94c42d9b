"""Sums across the tasks of one Spark stage that run at the same time: a ring of sockets between the workers.

Spark's barrier mode starts all tasks of a stage together and tells them of each other; numbers then go from worker to
worker, never through the driver. Each step sends a slice to the next task in the ring while it takes one from the task
before, so every link carries 2 (P - 1) / P of an array in a full sum (Patarasuk and Yuan, "Bandwidth optimal all-reduce
algorithms for clusters of workstations", 2009).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyspark import BarrierTaskContext

from musicrec.models.links import Links, meet, meet_near, receive

Array = NDArray[Any]
Combine = Callable[[Array, Array, Array], object]
Result = TypeVar("Result")


def even_bounds(rows: int, parts: int) -> list[int]:
    """Where each of `parts` slices of `rows` rows begins, and the end."""
    return [rows * part // parts for part in range(parts + 1)]


class Collective:
    """This task's place in the ring; every task must make the same calls in the same order.

    Parameters
    ----------
    rank, size : this task's number, and how many there are.
    links : connections; None for a ring of one.
    """

    def __init__(self, rank: int, size: int, links: Links | None) -> None:
        self.rank, self.size, self._links = rank, size, links
        self._sender = ThreadPoolExecutor(1) if links else None

    @classmethod
    def join(cls, context: BarrierTaskContext, near: str | None = None) -> Collective:
        """The ring of all tasks of the running barrier stage.

        Parameters
        ----------
        near : where all tasks run on this machine, a secret of theirs, from `side_by_side.meeting`. By it they find
            each other at once; asking Spark for the others' addresses takes a second, whatever they are.

        Raises
        ------
        OSError : a task cannot be reached; Spark then starts the whole stage again.
        """
        rank, size = context.partitionId(), len(context.getTaskInfos())
        if size == 1:
            return cls(0, 1, None)
        return cls(rank, size, meet_near(context, near) if near else meet(context))

    @classmethod
    def join_meanwhile(
        cls, context: BarrierTaskContext | None, near: str | None, work: Callable[[], Result]
    ) -> tuple[Collective, Result]:
        """The ring, and what `work` gives, which is done while the tasks meet.

        Without a barrier stage (`context` None) a ring of one. `near` as for `join`.
        """
        if context is None:
            return cls(0, 1, None), work()
        with ThreadPoolExecutor(1) as background:
            joining = background.submit(cls.join, context, near)
            result = work()
            return joining.result(), result

    def close(self) -> None:
        """Leave the ring."""
        if self._links and self._sender:
            self._sender.shutdown()
            self._links.next.close()
            self._links.previous.close()

    def __enter__(self) -> Collective:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def own(self, bounds: list[int]) -> slice[int, int, None]:
        """This task's rows, where each task's begin at its place of `bounds`."""
        return slice(bounds[self.rank], bounds[self.rank + 1])

    def reduce_rows(self, rows: Array, bounds: list[int], combine: Combine = np.add) -> Array:
        """Combine all tasks' arrays; this task gets its own slice rows[bounds[rank]:bounds[rank + 1]] of the result.

        `rows` [n × ...] is C-contiguous, of one shape everywhere, and is used as working space.
        """
        for step in range(self.size - 1):
            given = self._slice(rows, bounds, self.rank - step - 1)
            own = self._slice(rows, bounds, self.rank - step - 2)
            combine(own, self._exchange(given, np.empty_like(own)), own)
        return self._slice(rows, bounds, self.rank)

    def gather_rows(self, rows: Array, bounds: list[int]) -> None:
        """Fill `rows` [n × ...] from every task's own slice of it, in place."""
        for step in range(self.size - 1):
            given = self._slice(rows, bounds, self.rank - step)
            self._exchange(given, self._slice(rows, bounds, self.rank - step - 1))

    def reduce(self, array: Array, combine: Combine = np.add) -> Array:
        """Combine all tasks' arrays; every task gets the whole result, in place."""
        flat = array.reshape(-1)
        bounds = even_bounds(len(flat), self.size)
        self.reduce_rows(flat, bounds, combine)
        self.gather_rows(flat, bounds)
        return array

    def _slice(self, rows: Array, bounds: list[int], part: int) -> Array:
        part %= self.size
        return rows[bounds[part] : bounds[part + 1]]

    def _exchange(self, given: Array, taken: Array) -> Array:
        """Send one array on while filling another from the task before."""
        assert self._links is not None
        assert self._sender is not None
        # Nothing is sent where nothing is taken: that task may have left already.
        sent = self._sender.submit(self._links.next.sendall, given.data.cast("B")) if given.size else None
        if taken.size:
            receive(self._links.previous, taken.data.cast("B"))
        if sent:
            sent.result()
        return taken
