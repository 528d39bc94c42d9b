"""What an iterator makes, made ahead in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

Made = TypeVar("Made")

# Between two looks whether anyone still wants what is made.
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class _End:
    error: BaseException | None


def ahead(maker: Generator[Made, None, None], most: int) -> Generator[Made, None, None]:
    """What `maker` makes, up to `most` values before they are asked for.

    The thread starts with the first value and has ended when this generator has, also where it is closed early; what
    `maker` raises is raised here.
    """
    handed: queue.Queue[Made | _End] = queue.Queue(most)
    is_over = threading.Event()
    thread = threading.Thread(target=_work, args=(maker, handed, is_over), name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            value = handed.get()
            if not isinstance(value, _End):
                yield value
                continue
            if value.error is not None:
                raise value.error
            return
    finally:
        is_over.set()
        thread.join()


def _work(maker: Generator[Made, None, None], handed: queue.Queue[Made | _End], is_over: threading.Event) -> None:
    error = None
    try:
        with closing(maker):
            for value in maker:
                if not _hand(value, handed, is_over):
                    return
    except BaseException as raised:
        error = raised
    _hand(_End(error), handed, is_over)


def _hand(value: Made | _End, handed: queue.Queue[Made | _End], is_over: threading.Event) -> bool:
    """Put it in the queue when there is room; False when nobody wants it any more."""
    while not is_over.is_set():
        try:
            handed.put(value, timeout=_LOOK_SECONDS)
            return True
        except queue.Full:
            continue
    return False
