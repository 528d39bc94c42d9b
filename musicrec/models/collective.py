"""Sums across the tasks of one Spark stage that run at the same time: a ring of sockets between the workers.

Spark's barrier mode starts all tasks of a stage together and tells them of each other; numbers then go from worker to
worker, never through the driver. Each step sends a slice to the next task in the ring while it takes one from the task
before, so every link carries 2 (P - 1) / P of an array in a full sum (Patarasuk and Yuan, "Bandwidth optimal all-reduce
algorithms for clusters of workstations", 2009).
"""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyspark import BarrierTaskContext

Array = NDArray[Any]
Combine = Callable[[Array, Array, Array], object]
Result = TypeVar("Result")

# Seconds within which every task of the stage must have called; they start together.
_MEETING_SECONDS = 300.0
_TOKEN_BYTES = 32


def even_bounds(rows: int, parts: int) -> list[int]:
    """Where each of `parts` slices of `rows` rows begins, and the end."""
    return [rows * part // parts for part in range(parts + 1)]


@dataclass(frozen=True)
class Links:
    """Connections to the next task and from the one before."""

    next: socket.socket
    previous: socket.socket


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
    def join(cls, context: BarrierTaskContext) -> Collective:
        """The ring of all tasks of the running barrier stage.

        Raises
        ------
        OSError : a task cannot be reached; Spark then starts the whole stage again.
        """
        infos = context.getTaskInfos()
        rank, size = context.partitionId(), len(infos)
        if size == 1:
            return cls(0, 1, None)
        host = infos[rank].address.rsplit(":", 1)[0]
        with socket.create_server(("", 0), backlog=2) as server:
            server.settimeout(_MEETING_SECONDS)
            mine = f"{host} {server.getsockname()[1]} {secrets.token_hex(_TOKEN_BYTES // 2)}"
            calls = [call.split(" ") for call in context.allGather(mine)]
            token = calls[0][2].encode()
            next_host, next_port, _ = calls[(rank + 1) % size]
            following = socket.create_connection((next_host, int(next_port)), _MEETING_SECONDS)
            following.sendall(token)
            previous = _accept(server, token)
        for link in (following, previous):
            link.settimeout(None)  # a task may compute for long between two exchanges
            link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(rank, size, Links(following, previous))

    @classmethod
    def join_meanwhile(
        cls, context: BarrierTaskContext | None, work: Callable[[], Result]
    ) -> tuple[Collective, Result]:
        """The ring, and what `work` gives, which is done while Spark tells the tasks of each other: that takes 1 s.

        Without a barrier stage (`context` None) a ring of one.
        """
        if context is None:
            return cls(0, 1, None), work()
        with ThreadPoolExecutor(1) as background:
            joining = background.submit(cls.join, context)
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
        sent = self._sender.submit(self._links.next.sendall, given.data.cast("B") if given.size else b"")
        if taken.size:
            _receive(self._links.previous, taken.data.cast("B"))
        sent.result()
        return taken


def _accept(server: socket.socket, token: bytes) -> socket.socket:
    """The task before, which knows the stage's token; any other caller is turned away."""
    while True:
        link, _ = server.accept()
        link.settimeout(_MEETING_SECONDS)
        said = bytearray(len(token))
        try:
            _receive(link, memoryview(said))
        except OSError:
            link.close()
            continue
        if hmac.compare_digest(bytes(said), token):
            return link
        link.close()


def _receive(link: socket.socket, into: memoryview) -> None:
    done = 0
    while done < len(into):
        count = link.recv_into(into[done:])
        if not count:
            raise ConnectionError("a task of the stage has gone away")
        done += count
