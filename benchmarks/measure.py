"""Time and memory of one engine after the other, in one session that is already up."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import click
from pyspark.sql import SparkSession
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

Row = dict[str, Any]
Result = TypeVar("Result")

ROOT = Path(__file__).parent.parent

# Between two looks at the processes.
_INTERVAL_SECONDS = 0.05
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def benchmark_session(driver_memory: str = "4g", cores: int = 2, conf: Mapping[str, str] | None = None) -> SparkSession:
    """A plain local session: as many shuffle partitions as cores, throughput before short pauses, errors only logged.

    Parameters
    ----------
    driver_memory : of the one JVM, which in local mode does the executors' work too.
    cores : task slots and shuffle partitions.
    conf : further settings; they win over these.
    """
    settings = {
        "spark.driver.memory": driver_memory,
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
        "spark.sql.shuffle.partitions": str(cores),
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
        "spark.driver.maxResultSize": "0",
        "spark.python.daemon.module": "musicrec.worker_daemon",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        **(conf or {}),
    }
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("musicrec-benchmark").master(f"local[{cores}]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def measured(name: str, function: Callable[[], Result]) -> tuple[Result, float, float]:
    """Call `function` once.

    Parameters
    ----------
    name : the engine, said on standard error when it starts and ends.

    Returns
    -------
    Its result; the wall time in seconds; the peak of the resident memory of this process and all under it, in MB. A
    page that several processes share counts once for each, so the peak is never said too low.
    """
    print(f"{name} …", file=sys.stderr, flush=True)
    with _PeakMemory() as memory:
        started = time.perf_counter()
        result = function()
        seconds = time.perf_counter() - started
    print(f"{name}: {seconds:.2f} s, peak {memory.peak_mb:,.0f} MB", file=sys.stderr, flush=True)
    return result, seconds, memory.peak_mb


def chosen_engines(names: str, known: Collection[str]) -> list[str]:
    """The engines of a comma-separated option.

    Raises
    ------
    click.UsageError : one of them is not known.
    """
    chosen = names.split(",")
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise click.UsageError(f"unknown engines: {', '.join(unknown)}; known: {', '.join(known)}")
    return chosen


def best_of(runs: Mapping[str, Callable[[], Row | None]], repeats: int) -> list[Row]:
    """Each engine's best run and highest peak; the engines take turns.

    Parameters
    ----------
    runs : by engine, a run that gives further fields of its row, or None.
    repeats : runs of each.
    """
    best: dict[str, Row] = {}
    for _ in range(repeats):
        for name, run in runs.items():
            figures, seconds, peak = measured(name, run)
            row = {"engine": name, "seconds": seconds, "peak_mb": peak, **(figures or {})}
            if name in best:
                row["peak_mb"] = best[name]["peak_mb"] = max(peak, best[name]["peak_mb"])
            if name not in best or seconds < best[name]["seconds"]:
                best[name] = row
    return list(best.values())


def write_json(rows: Sequence[Mapping[str, Any]], path: Path | None) -> None:
    """Write the rows as a JSON list of objects; nothing where `path` is None."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(list(rows), indent=1, default=float) + "\n", encoding="utf-8")


def print_rows(rows: Sequence[Mapping[str, Any]], title: str, against: str | None = None) -> None:
    """Print the rows as a table, a column for each field of any row.

    Parameters
    ----------
    rows : objects with `engine` and `seconds`.
    title : the heading.
    against : an engine; each row then says how many times its seconds it took.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    base = next((row["seconds"] for row in rows if row["engine"] == against), None)
    grid = Grid(title=f"{title}; {os.cpu_count()} cores", box=SIMPLE_HEAD)
    for name in columns:
        grid.add_column(name.replace("_", " "), justify="left" if name == "engine" else "right")
    if base:
        grid.add_column(f"× {against}", justify="right")
    for row in rows:
        cells = [_cell(row.get(name)) for name in columns]
        grid.add_row(*cells, *([f"{row['seconds'] / base:.2f}"] if base else []))
    Console(width=140).print(grid)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class _PeakMemory:
    """Looks at the process tree's memory from a thread of its own, between enter and exit."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _PeakMemory:
        self.peak_mb = tree_memory_mb(os.getpid())
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_INTERVAL_SECONDS):
            self.peak_mb = max(self.peak_mb, tree_memory_mb(os.getpid()))


def process_peaks() -> dict[str, int]:
    """The most resident memory that this process and each one under it now running ever had, in MB, by pid and name."""
    peaks = {}
    for process in _tree(os.getpid()):
        try:
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        except (OSError, ValueError):
            continue
        if "VmHWM" in status:
            peaks[f"{process} {status['Name']}"] = int(status["VmHWM"].split()[0]) // 1024
    return peaks


def tree_memory_mb(root: int) -> float:
    """Resident memory of a process and all its descendants now, in MB, from /proc."""
    total = 0.0
    for process in _tree(root):
        try:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE_MB
        except OSError:
            continue
    return total


def _tree(root: int) -> Iterator[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
        except OSError:  # it has just ended
            continue
        # The name, in brackets, may hold blanks: the parent is the second field after it.
        children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(folder.name))
    waiting = [root]
    while waiting:
        process = waiting.pop()
        waiting += children.get(process, [])
        yield process
