"""How the tasks of a barrier stage find each other and are linked into a ring."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket
import time
from dataclasses import dataclass

from pyspark import BarrierTaskContext

# Seconds within which every task of the stage must have called; they start together.
_MEETING_SECONDS = 300.0
_TOKEN_BYTES = 32

# Between two calls of a task that does not listen yet.
_AGAIN_SECONDS = 0.005


@dataclass(frozen=True)
class Links:
    """Connections to the next task and from the one before."""

    next: socket.socket
    previous: socket.socket


def meet(context: BarrierTaskContext) -> Links:
    """Each task listens at a port, Spark's barrier tells all of all ports, and each calls the next."""
    rank, size = context.partitionId(), len(context.getTaskInfos())
    host = context.getTaskInfos()[rank].address.rsplit(":", 1)[0]
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
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _patient(following, previous)


def meet_near(context: BarrierTaskContext, secret: str) -> Links:
    """All on one machine: each task listens at a name that follows from their secret, and calls the next.

    Names are those of Linux' abstract Unix sockets, which go with their task: a stage that is started again can have
    them again.
    """
    rank, size = context.partitionId(), len(context.getTaskInfos())
    token = hashlib.sha256(f"token {secret}".encode()).digest()

    def name(of: int) -> bytes:  # names can be seen by all of the machine, so the token must not follow from them
        return b"\0musicrec-" + hashlib.sha256(f"name {of} {secret}".encode()).hexdigest().encode()

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name(rank))
        server.listen(2)
        server.settimeout(_MEETING_SECONDS)
        following = _call(name((rank + 1) % size))
        following.sendall(token)
        return _patient(following, _accept(server, token))


def _call(name: bytes) -> socket.socket:
    """A connection to a task of this machine, which may not listen yet."""
    late = time.monotonic() + _MEETING_SECONDS
    while True:
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(name)
        except ConnectionRefusedError:
            link.close()
            if time.monotonic() > late:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return link


def _accept(server: socket.socket, token: bytes) -> socket.socket:
    """The task before, which knows the stage's token; any other caller is turned away."""
    while True:
        link, _ = server.accept()
        link.settimeout(_MEETING_SECONDS)
        said = bytearray(len(token))
        try:
            receive(link, memoryview(said))
        except OSError:
            link.close()
            continue
        if hmac.compare_digest(bytes(said), token):
            return link
        link.close()


def _patient(following: socket.socket, previous: socket.socket) -> Links:
    """Links without a limit of time: a task may compute for long between two exchanges."""
    for link in (following, previous):
        link.settimeout(None)
    return Links(following, previous)


def receive(link: socket.socket, into: memoryview) -> None:
    """Fill `into` from the link; ConnectionError where the task at its other end has gone away."""
    done = 0
    while done < len(into):
        count = link.recv_into(into[done:])
        if not count:
            raise ConnectionError("a task of the stage has gone away")
        done += count
