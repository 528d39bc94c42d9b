"""Structured logs on standard error, each line with its run_id, and the progress of long work."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Logger = structlog.stdlib.BoundLogger

# Between two lines of work whose steps are short.
_LOG_SECONDS = 10.0


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

    def __init__(self, log: Logger, what: str, total: int, bar: Progress | None, *, shown: bool = True) -> None:
        self._log, self._what, self._total, self._bar, self._shown = log, what, total, bar, shown
        self._newest: dict[str, float | int | str] = {}
        self._done, self._began, self._skipped, self._logged = 0, time.monotonic(), 0, 0.0
        self._task = bar.add_task(what, total=total, figures="") if bar else None

    def step(self, **figures: float | int | str) -> None:
        """One step is done; `figures` are shown beside it."""
        self._show(1, figures, is_due=True)

    def move(self, by: int, **figures: float | int | str) -> None:
        """`by` of many short steps are done: a log gets a line each ten seconds only, with the time left."""
        is_due = time.monotonic() - self._logged >= _LOG_SECONDS
        done_here = self._done + by - self._skipped
        if self._bar is None and done_here:
            seconds = time.monotonic() - self._began
            figures["left_s"] = round(seconds / done_here * (self._total - self._done - by))
        self._show(by, figures, is_due)

    def skip(self, by: int, **figures: float | int | str) -> None:
        """`by` steps were done by an earlier run."""
        self._skipped += by
        self._began = time.monotonic()
        self._show(by, figures, is_due=True)

    def tell(self, **figures: float | int | str) -> None:
        """Show `figures` between two steps."""
        self._show(0, figures, is_due=True)

    def _show(self, by: int, figures: Mapping[str, float | int | str], is_due: bool) -> None:
        self._done += by
        shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
        if self._bar is not None and self._task is not None:
            # The metric of the last epoch stays beside the loss of this one.
            self._newest.update(shown)
            text = "  ".join(f"{k} {v}" for k, v in self._newest.items())
            self._bar.update(self._task, advance=by, figures=text)
        elif is_due and self._shown:
            self._logged = time.monotonic()
            self._log.info(self._what, step=self._done, of=self._total, **shown)


@contextmanager
def progress(log: Logger, what: str, total: int, *, shown: bool = True) -> Iterator[Ticker]:
    """Show the progress of `total` steps of long work; with `shown` False, of work that others show, count only."""
    if not (shown and sys.stderr.isatty()):
        yield Ticker(log, what, total, None, shown=shown)
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


def shown_score(score: float, decimals: int = 4) -> str:
    """A score as it is printed: some decimals, and where these would say too little, three digits at any scale."""
    return f"{score:.{decimals}f}" if score == 0 or 1e-3 <= abs(score) < 1e6 else f"{score:.2e}"
