"""ops.runs: what each job ran with, read and wrote; and from it, whether a job has anything new to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pyspark.sql import Row as SqlRow
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.listen_span import believed_span
from musicrec.io.runs import Run, Stage, git_commit, package_versions
from musicrec.io.tables import Lakehouse
from musicrec.schemas import TABLES
from musicrec.transforms.listen_days import as_of
from musicrec.transforms.listens import ListenRules

# How a job ended. One that is up to date has no row: that of its last run stands.
OK, UP_TO_DATE = "ok", "up to date"
# There was too little to work on; bad input, nothing was changed; anything else.
SKIPPED, REFUSED, FAILED = "skipped", "refused", "failed"


@dataclass(frozen=True)
class Outcome:
    """How a job ended; `error` is why it was skipped, refused or failed."""

    status: str
    started_at: datetime
    ended_at: datetime
    stage: Stage | None = None
    error: str | None = None


def record(run: Run, settings: Mapping[str, Any], outcome: Outcome) -> None:
    """Append the run to ops.runs and its figures to ops.metrics."""
    lake = run.lakehouse
    run.metric("seconds", (outcome.ended_at - outcome.started_at).total_seconds())
    if outcome.stage:
        run.metric("rows_in", outcome.stage.rows_in)
        run.metric("rows_out", outcome.stage.rows_out)
    read, written = _data_tables(lake.versions_read), _data_tables(lake.versions_written)
    run.write_metrics()
    who = {"run_id": run.run_id, "job": run.job, "as_of": run.as_of, "seed": run.seed}
    lake.append_rows("ops.runs", [run_row(who, settings, outcome, read, written)])


def run_row(
    who: Mapping[str, Any],
    settings: Mapping[str, Any],
    outcome: Outcome,
    read: Mapping[str, int],
    written: Mapping[str, int],
) -> tuple[Any, ...]:
    """A row of ops.runs.

    Parameters
    ----------
    who : run_id, job, as_of and seed.
    read, written : table name → Delta version.
    """
    values = {
        **who,
        "status": outcome.status,
        "started_at": outcome.started_at,
        "ended_at": outcome.ended_at,
        "config": json.dumps(settings, sort_keys=True),
        "git_commit": git_commit(),
        "packages": package_versions(),
        "tables_read": dict(read),
        "tables_written": dict(written),
        "rows_in": outcome.stage.rows_in if outcome.stage else None,
        "rows_out": outcome.stage.rows_out if outcome.stage else None,
        "error": outcome.error,
    }
    return tuple(values[name] for name in TABLES["ops.runs"].columns)


def is_up_to_date(run: Run, settings: Mapping[str, Any]) -> Stage | None:
    """The job's last stage, if running it again could change nothing.

    So it is when the last time that it ended well, or was skipped, it had the same settings, as_of, seed, packages and
    code, and since then no table that it only reads was written, nor one that it alone writes.
    """
    lake = run.lakehouse
    last = _last(lake, run.job, OK, SKIPPED)
    if last is None:
        return None
    same_settings = (
        last.config == json.dumps(settings, sort_keys=True)
        and (last.as_of, last.seed) == (run.as_of, run.seed)
        and last.packages == package_versions()
    )
    own = {name for name in last.tables_written if TABLES[name].written_by == run.job}
    expected = {**{k: v for k, v in last.tables_read.items() if k not in last.tables_written}}
    expected |= {name: last.tables_written[name] for name in own}
    if not same_settings or any(lake.version(name) != version for name, version in expected.items()):
        return None
    is_skipped = last.status == SKIPPED
    note = f"{last.error}; as in {last.run_id}" if is_skipped else f"up to date since {last.run_id}"
    return Stage(last.rows_in or 0, last.rows_out or 0, note, is_skipped)


def last_success(lake: Lakehouse, job: str) -> SqlRow | None:
    """The row of ops.runs of the last time that the job ended well."""
    return _last(lake, job, OK)


def was_skipped(lake: Lakehouse, job: str) -> bool:
    """Whether the job's last run, however it ended, was skipped."""
    last = _last(lake, job)
    return last is not None and last.status == SKIPPED


def _last(lake: Lakehouse, job: str, *statuses: str) -> SqlRow | None:
    """The job's last row of ops.runs, or the last with one of these statuses."""
    if not lake.exists("ops.runs"):
        return None
    rows = lake.read("ops.runs").where(F.col("job") == job)
    rows = rows.where(F.col("status").isin(*statuses)) if statuses else rows
    found = rows.orderBy(F.col("started_at").desc(), "run_id").limit(1).collect()
    return found[0] if found else None


def newest_day(lakehouse: Lakehouse, rules: ListenRules) -> date:
    """The end of the last complete day of what was taken in, by the newest dump's end and the newest listen.

    A dump ends at the latest when it was taken in, whatever it says; `musicrec.transforms.listen_days.as_of` has the
    rule. By the data and not by today's clock, so that the same data gives the same day next week.

    Raises
    ------
    TableMissingError : nothing was taken in.
    InputError : no listen was.
    """
    span = believed_span(lakehouse.read("bronze.listens", is_input=False))
    if span is None:
        where = f"table bronze.listens at {lakehouse.location('bronze.listens')}"
        raise InputError(where, "at least one listen", "none (bronze.quarantine says why)")
    ended_at = None
    if lakehouse.exists("ops.sources"):
        dumps = lakehouse.read("ops.sources", is_input=False).where("kind IN ('full', 'incremental')")
        ends = dumps.where("ended_at IS NOT NULL").select(F.unix_micros(F.least("ended_at", "applied_at")).alias("end"))
        ended_at = ends.agg(F.max("end")).collect()[0][0]
    return as_of(span, ended_at, rules)


def _data_tables(versions: Mapping[str, int]) -> dict[str, int]:
    """Without the tables that keep the books: they change with every run."""
    return {name: version for name, version in versions.items() if not name.startswith("ops.")}
