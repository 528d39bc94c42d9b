"""A job's run: who it is, what it touched, its figures; kept in ops.runs and ops.metrics."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from musicrec.io.tables import Lakehouse
from musicrec.logs import Logger

_RECORDED_PACKAGES = ("musicrec", "pyspark", "delta-spark", "torch", "petastorm", "pyarrow", "numpy", "pandas")


@dataclass(frozen=True)
class Stage:
    """What a pipeline did: rows read, rows written, and a few words on it.

    `is_skipped` where there was too little to work on; `note` says what was needed and what there is.
    """

    rows_in: int
    rows_out: int
    note: str = ""
    is_skipped: bool = False


def fates_note(kept: int, duplicate: int, quarantined: int) -> str:
    """What became of the rows that a source brought, for a stage's line."""
    return f"{kept:,} kept, {duplicate:,} duplicates, {quarantined:,} quarantined"


@dataclass
class Run:
    """What every pipeline is handed.

    Attributes
    ----------
    lakehouse : the tables.
    run_id : one for all the jobs of a nightly.
    job : the job's name.
    now : when the run started; the only clock that a pipeline may read.
    as_of : listens before this day's midnight (UTC) count; None for the jobs that take sources in.
    seed : of everything random.
    log : carries run_id.
    """

    lakehouse: Lakehouse
    run_id: str
    job: str
    now: datetime
    seed: int
    log: Logger
    as_of: date | None = None
    _figures: list[tuple[str, int, str, float]] = field(default_factory=list)

    @property
    def day(self) -> date:
        """`as_of`, for the jobs that cannot do without."""
        if self.as_of is None:
            raise ValueError(f"job {self.job} needs as_of")
        return self.as_of

    @property
    def midnight(self) -> datetime:
        """The start of `day`, UTC."""
        return datetime.combine(self.day, time(), UTC)

    def metric(self, name: str, value: float, step: int = 0, **tags: str) -> None:
        """Keep a figure for ops.metrics; written when the job ends."""
        self._figures.append((name, step, json.dumps(tags, sort_keys=True) if tags else "{}", float(value)))

    def write_metrics(self) -> None:
        """Append the figures kept so far to ops.metrics."""
        if not self._figures:
            return
        rows = [(self.run_id, self.job, name, step, tags, value, self.now) for name, step, tags, value in self._figures]
        self.lakehouse.append_rows("ops.metrics", rows)
        self._figures.clear()


def package_versions() -> dict[str, str]:
    """The versions of what decides a run's results: the packages, and musicrec's own source by its hash."""
    found = {"musicrec source": _source_hash()}
    for name in _RECORDED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _source_hash() -> str:
    """Of every module: an edit that is not committed yet makes another program too."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def git_commit() -> str:
    """The commit of the code that runs, "unknown" outside a checkout."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
