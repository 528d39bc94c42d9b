"""Rings of tasks in one process: a thread each, joined by pairs of sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from musicrec.models.collective import Collective
from musicrec.models.links import Links


def ring(size: int) -> list[Collective]:
    if size == 1:
        return [Collective(0, 1, None)]
    wires = [socket.socketpair() for _ in range(size)]  # wire i leads from i to i + 1
    return [Collective(i, size, Links(wires[i][0], wires[i - 1][1])) for i in range(size)]


def together(size: int, act: Callable[[Collective], Any]) -> list[Any]:
    members = ring(size)
    with ThreadPoolExecutor(size) as pool:
        results = list(pool.map(act, members))
    for member in members:
        member.close()
    return results
