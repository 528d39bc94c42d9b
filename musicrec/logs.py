"""Structured logs on standard error, each line with its run_id, and the progress of long work."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Logger = structlog.stdlib.BoundLogger


def make_logger(run_id: str, as_json: bool = False, stream: TextIO | None = None) -> Logger:
    """A logger whose every line carries `run_id`, written to `stream` (standard error by default)."""
    stream = stream or sys.stderr
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    logger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
    bound: Logger = logger.bind(run_id=run_id)
    return bound


class Ticker:
    """Counts steps done: moves a bar on a terminal, writes a log line elsewhere."""

    def __init__(self, log: Logger, what: str, total: int, bar: Progress | None) -> None:
        self._log, self._what, self._total, self._bar = log, what, total, bar
        self._done = 0
        self._task = bar.add_task(what, total=total, figures="") if bar else None

    def step(self, **figures: float | int | str) -> None:
        """One step is done; `figures` are shown beside it."""
        self._done += 1
        shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
        if self._bar is not None and self._task is not None:
            text = "  ".join(f"{k} {v}" for k, v in shown.items())
            self._bar.update(self._task, advance=1, figures=text)
        else:
            self._log.info(self._what, step=self._done, of=self._total, **shown)


@contextmanager
def progress(log: Logger, what: str, total: int) -> Iterator[Ticker]:
    """Show the progress of `total` steps of long work."""
    if not sys.stderr.isatty():
        yield Ticker(log, what, total, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        yield Ticker(log, what, total, bar)


def terminal_width(least: int) -> int:
    """The terminal's width, `least` where there is none: a table in a pipe or log file should not be broken."""
    return Console().width if sys.stdout.isatty() else least
