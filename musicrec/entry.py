"""How every job starts and ends: arguments, configuration, session, steps, books, exit code."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from musicrec.config import Config, load_config, settings_that_decide
from musicrec.errors import ConfigError, InputError, MusicrecError
from musicrec.io.local_files import check_root
from musicrec.io.run_log import FAILED, OK, UP_TO_DATE, Outcome, is_up_to_date, newest_day, record
from musicrec.io.runs import Run, Stage
from musicrec.io.tables import Lakehouse
from musicrec.logs import Logger, make_logger
from musicrec.spark import build_session
from musicrec.steps import INGEST, NIGHTLY, STEPS, Sources


@dataclass(frozen=True)
class Done:
    """A step that ended well."""

    step: str
    stage: Stage
    status: str
    seconds: float


@dataclass(frozen=True)
class Arguments:
    """What a job was told on the command line."""

    config: Path
    as_of: date | None
    force: bool
    overrides: tuple[str, ...]


def job_command(step: str) -> click.Command:
    """The command line of one job: `--config FILE [--as-of DATE] [--preset FILE] [--set key=value ...] [--force]`."""

    def main(
        config: Path, as_of: str | None, presets: tuple[Path, ...], overrides: tuple[str, ...], force: bool
    ) -> None:
        ended_with(lambda: run_steps([step], config, as_of, overrides, force, presets=presets))

    main.__doc__ = f"Run the job {step}."
    return click.command(name=step)(with_job_options(main))


def with_job_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that all jobs share."""
    config = Path("conf/local.toml")
    options = (
        click.option("--config", type=click.Path(path_type=Path), default=config, show_default=True, help="TOML file."),
        click.option("--as-of", help="Day, YYYY-MM-DD: only listens before its midnight (UTC) count."),
        click.option(
            "--preset",
            "presets",
            type=click.Path(path_type=Path),
            multiple=True,
            metavar="FILE",
            help="TOML file with some keys, put over --config's; may be repeated.",
        ),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key; may be repeated."),
        click.option("--force", is_flag=True, help="Run even where nothing has changed."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def ended_with(work: Callable[[], object]) -> None:
    """Do the work; an error that musicrec explains becomes one line on standard error and its exit code."""
    try:
        work()
    except MusicrecError as error:
        click.echo(f"musicrec: {error}", err=True)
        sys.exit(error.exit_code)


def run_steps(
    steps: Sequence[str],
    config_path: Path,
    as_of: str | None,
    overrides: tuple[str, ...],
    force: bool,
    report: Callable[[Lakehouse, Config, Sequence[Done]], None] | None = None,
    presets: Sequence[Path] = (),
) -> None:
    """Run steps in order; each is kept in ops.runs, and one that fails leaves its tables as they were.

    `report` is called at the end with what was done.

    Raises
    ------
    MusicrecError : of the first step that failed; the steps before it stand.
    """
    config = load_config(config_path, overrides, presets)
    day = parse_day(as_of)
    if not config.lakehouse.catalog:
        check_root(config.lakehouse.root)
    now, run_id, log = new_run()
    sources = Sources(config, config.lakehouse.files_folder / "staging" / run_id)
    try:
        # All that is to be taken in is found and checked before the first table is written.
        if "ingest_listens" in steps:
            log.info("dumps found", dumps=[dump.name for dump in sources.dumps])
        if "ingest_tracks" in steps:
            log.info("catalogues found", files=[catalogue.name for catalogue in sources.catalogues])
        if "ingest_feedback" in steps:
            log.info("feedback found", sources=[source.name for source in sources.feedback])
        spark = build_session(f"musicrec {steps[0]}", config_path.absolute().parent, config.spark.conf)
        done = []
        for step in steps:
            lakehouse = Lakehouse(spark, config.lakehouse.root, config.lakehouse.catalog)
            if step not in INGEST and day is None:
                day = newest_day(lakehouse, config.listens)
            run = Run(lakehouse, run_id, step, now, config.seed, log, None if step in INGEST else day)
            done.append(_run_step(run, config, sources, force))
        if report:
            report(Lakehouse(spark, config.lakehouse.root, config.lakehouse.catalog), config, done)
    finally:
        sources.close()


def new_run() -> tuple[datetime, str, Logger]:
    """When a run begins, its id and its log."""
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
    return now, run_id, make_logger(run_id, as_json=os.environ.get("MUSICREC_LOG") == "json")


def parse_day(text: str | None) -> date | None:
    """A day as YYYY-MM-DD.

    Raises
    ------
    InputError : it is none.
    """
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise InputError("--as-of", "a day as YYYY-MM-DD", text) from None


def steps_from(first: str | None) -> list[str]:
    """The nightly's steps, from `first` on.

    Raises
    ------
    ConfigError : there is no such step.
    """
    steps = list(NIGHTLY)
    if first is None:
        return steps
    if first not in steps:
        raise ConfigError("--from", f"one of {', '.join(steps)}", first)
    return steps[steps.index(first) :]


def _run_step(run: Run, config: Config, sources: Sources, force: bool) -> Done:
    settings = settings_that_decide(config)
    started = datetime.now(UTC)
    log = run.log.bind(job=run.job)
    if not force and run.job not in INGEST:
        stage = is_up_to_date(run, settings)
        if stage:
            log.info("nothing to do", since=stage.note)
            return Done(run.job, stage, UP_TO_DATE, (datetime.now(UTC) - started).total_seconds())
        run.lakehouse.versions_read.clear()
    return recorded(run, settings, lambda: STEPS[run.job](run, config, sources))


def recorded(run: Run, settings: Mapping[str, Any], work: Callable[[], Stage]) -> Done:
    """Do a job's work and keep it in the books; where it fails, its tables are as they were.

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
    except InputError:
        raise
    except BaseException as error:
        _record_failure(run, settings, started, error, log)
        raise
    finally:
        run.lakehouse.spark.catalog.clearCache()
    ended = datetime.now(UTC)
    record(run, settings, Outcome(OK, started, ended, stage))
    seconds = (ended - started).total_seconds()
    log.info("finished", rows_in=stage.rows_in, rows_out=stage.rows_out, seconds=round(seconds, 1), note=stage.note)
    return Done(run.job, stage, OK, seconds)


def _record_failure(
    run: Run, settings: Mapping[str, Any], started: datetime, error: BaseException, log: Logger
) -> None:
    message = " ".join(f"{type(error).__name__}: {error}".split())[:2000]
    again = {"restart": f"--from {run.job}"} if run.job in NIGHTLY else {}
    log.error("failed", error=message[:300], **again)
    run.lakehouse.versions_written.clear()
    outcome = Outcome(FAILED, started, datetime.now(UTC), error=message)
    record(run, settings, outcome)
