"""What every job leaves in ops.runs, however it ends: well, skipped, refused or failed."""

from __future__ import annotations

import os
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from musicrec.config import Config, LakehouseConfig, settings_that_decide
from musicrec.errors import InputError, MusicrecError, TooLittleError
from musicrec.io.run_log import FAILED, OK, REFUSED, SKIPPED, Outcome, record, run_row
from musicrec.io.runs import Run, Stage
from musicrec.io.tables import Lakehouse, append_local, is_local
from musicrec.logs import Logger, make_logger
from musicrec.spark import build_session
from musicrec.steps import NIGHTLY

# Letters of a reason that are kept, and shown in the log.
_LONGEST, _SHOWN = 2000, 300


@dataclass(frozen=True)
class Done:
    """A step that came to its end."""

    step: str
    stage: Stage
    status: str
    seconds: float


@dataclass
class Beginning:
    """A run before its first job: what is refused then has its row in ops.runs too, and no other table is made.

    Attributes
    ----------
    job : that the row is of.
    conf_dir : Spark's, for a lakehouse that only Spark can write.
    now, run_id, log : of the run.
    lakehouse, config, as_of : as soon as they are known.
    """

    job: str
    conf_dir: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    lakehouse: LakehouseConfig | None = None
    config: Config | None = None
    as_of: date | None = None

    def __post_init__(self) -> None:
        self.run_id = f"{self.now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
        self.log: Logger = make_logger(self.run_id, as_json=os.environ.get("MUSICREC_LOG") == "json")

    @contextmanager
    def kept(self, job: str | None = None) -> Iterator[None]:
        """Keep in ops.runs what the block raises, as the end of `job`; where the lakehouse is not known, nothing."""
        try:
            yield
        except BaseException as error:
            self._record(job or self.job, error)
            raise

    def _record(self, job: str, error: BaseException) -> None:
        place = self.config.lakehouse if self.config else self.lakehouse
        if place is None:
            return
        settings = settings_that_decide(self.config) if self.config else {}
        seed = self.config.seed if self.config else None
        outcome = Outcome(status_of(error), self.now, datetime.now(UTC), error=told(error))
        who = {"run_id": self.run_id, "job": job, "as_of": self.as_of, "seed": seed}
        row = run_row(who, settings, outcome, {}, {})

        def by_spark() -> None:
            spark = build_session(f"musicrec {job}", self.conf_dir, self.config.spark.conf if self.config else {})
            Lakehouse(spark, place.root, place.catalog).append_rows("ops.runs", [row])

        _keep(place.root, place.catalog, row, by_spark, self.log)


def _keep(root: str, catalog: str | None, row: tuple[Any, ...], by_spark: Callable[[], None], log: Logger) -> None:
    """Add a row to ops.runs, where it can be without Spark, which may be what failed. What failed must still be said:
    where the row cannot be written there is a line in the log."""
    try:
        if is_local(root, catalog):
            append_local(f"{os.path.abspath(root)}/ops/runs", "ops.runs", [row])
        else:
            by_spark()
    except Exception as error:
        log.warning("not kept in ops.runs", error=told(error)[:_SHOWN])


def recorded(run: Run, settings: Mapping[str, Any], work: Callable[[], Stage]) -> Done:
    """Do a job's work and keep it in the books; where it raises, its tables are as they were.

    Parameters
    ----------
    settings : what the work is told, as ops.runs keeps it.
    """
    started = datetime.now(UTC)
    log = run.log.bind(job=run.job)
    log.info("started", as_of=str(run.as_of))
    try:
        with run.lakehouse.unchanged_on_error():
            stage = work()
    except BaseException as error:
        _log_end(error, run.job, log)
        _record_end(run, settings, Outcome(status_of(error), started, datetime.now(UTC), error=told(error)), log)
        raise
    finally:
        with suppress(Exception):  # Spark may be what failed
            run.lakehouse.spark.catalog.clearCache()
    ended = datetime.now(UTC)
    seconds = (ended - started).total_seconds()
    if stage.is_skipped:
        record(run, settings, Outcome(SKIPPED, started, ended, stage, stage.note))
        log.warning("skipped", reason=stage.note, seconds=round(seconds, 1))
        return Done(run.job, stage, SKIPPED, seconds)
    record(run, settings, Outcome(OK, started, ended, stage))
    log.info("finished", rows_in=stage.rows_in, rows_out=stage.rows_out, seconds=round(seconds, 1), note=stage.note)
    return Done(run.job, stage, OK, seconds)


def _record_end(run: Run, settings: Mapping[str, Any], outcome: Outcome, log: Logger) -> None:
    lake = run.lakehouse
    lake.versions_written.clear()
    try:
        record(run, settings, outcome)
    except Exception:
        who = {"run_id": run.run_id, "job": run.job, "as_of": run.as_of, "seed": run.seed}
        row = run_row(who, settings, outcome, {}, {})
        _keep(lake.root, lake.catalog, row, lambda: record(run, settings, outcome), log)


def status_of(error: BaseException) -> str:
    """What ops.runs calls an end with this error."""
    if isinstance(error, TooLittleError):
        return SKIPPED
    return REFUSED if isinstance(error, InputError) else FAILED


def told(error: BaseException) -> str:
    """The error as one line; of one that musicrec does not explain also its type, and where in musicrec it arose."""
    text = str(error) if isinstance(error, MusicrecError) else f"{type(error).__name__}: {error}"
    line = " ".join(text.split())[:_LONGEST]
    if isinstance(error, InputError):
        return line
    root = Path(__file__).parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if root in Path(frame.filename).parents]
    own = [frame for frame in frames if Path(frame.filename) != Path(__file__)]
    return line + "".join(f" (at musicrec/{Path(f.filename).relative_to(root)}:{f.lineno})" for f in own[-1:])


def _log_end(error: BaseException, job: str, log: Logger) -> None:
    """A line on why a job was skipped or failed. What is refused is said once, by whoever catches it."""
    if isinstance(error, TooLittleError):
        log.warning(SKIPPED, reason=told(error)[:_SHOWN])
    elif not isinstance(error, InputError):
        log.error(FAILED, error=told(error)[:_SHOWN], **restart(job))


def restart(job: str) -> dict[str, str]:
    """How a night is begun again with the job, for a line of the log."""
    return {"restart": f"--from {job}"} if job in NIGHTLY else {}
