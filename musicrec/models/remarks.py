"""How a long task on an executor tells the driver how far it is: one line of text a step over a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pyspark.sql import SparkSession

from musicrec.logs import Logger, Ticker, progress

Remark = Callable[[int], None]

_SECONDS = 5.0


def no_remark(_: int) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class RemarkTo:
    """Says to the driver at `host`:`port` that a step is done; that it cannot be reached is not worth a failure."""

    host: str
    port: int

    def __call__(self, step: int) -> None:
        """Step `step` is done."""
        with suppress(OSError), socket.create_connection((self.host, self.port), _SECONDS) as link:
            link.sendall(f"{step}\n".encode())


@contextmanager
def hear_remarks(session: SparkSession, log: Logger | None, what: str, total: int) -> Iterator[Remark]:
    """Show the progress of `total` steps that a task makes known by calling what this gives; without a log, nothing."""
    if log is None:
        yield no_remark
        return
    host = session.sparkContext.getConf().get("spark.driver.host") or "localhost"
    with progress(log, what, total) as ticker, socket.create_server(("", 0)) as server:
        server.settimeout(0.2)
        stopped = threading.Event()
        thread = threading.Thread(target=_hear, args=(server, ticker, total, stopped), daemon=True)
        thread.start()
        try:
            yield RemarkTo(host, server.getsockname()[1])
        finally:
            stopped.set()
            thread.join()


def _hear(server: socket.socket, ticker: Ticker, total: int, stopped: threading.Event) -> None:
    done = 0
    while done < total:
        try:
            link, _ = server.accept()
        except TimeoutError:
            if stopped.is_set():
                return
            continue
        with link, suppress(OSError, ValueError):
            link.settimeout(_SECONDS)
            if 0 < int(link.recv(32)) <= total:
                done += 1
                ticker.step()
