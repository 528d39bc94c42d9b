"""How every job starts and ends: arguments, configuration, session, steps, books, exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import click
from pyspark.sql import SparkSession

from musicrec.books import Beginning, Done, recorded, restart, status_of, told
from musicrec.config import Config, lakehouse_of, load_config, settings_that_decide
from musicrec.errors import ConfigError, InputError, MusicrecError, StepsFailedError, TooLittleError
from musicrec.io.local_files import check_root
from musicrec.io.run_log import FAILED, OK, REFUSED, SKIPPED, UP_TO_DATE, is_up_to_date, newest_day
from musicrec.io.runs import Run, Stage
from musicrec.io.tables import Lakehouse
from musicrec.spark import build_session
from musicrec.steps import INGEST, NIGHTLY, STEPS, Sources, needed_steps


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
    first: str | None = None,
) -> None:
    """Run steps in order; each is kept in ops.runs, and one that fails leaves its tables as they were.

    One that has too little to work on is skipped. Where several are run, one that fails without being needed for the
    lists (`needed_steps`) does not end the night. `report` is called at the end with what was done; with `first` the
    steps before that one are left out.

    Raises
    ------
    MusicrecError : of the first needed step that failed; the steps before it stand.
    StepsFailedError : others failed; all the rest is done.
    """
    conf_dir = config_path.absolute().parent
    beginning = Beginning("nightly" if len(steps) > 1 else steps[0], conf_dir)
    place = lakehouse_of(config_path, overrides, presets)
    if place and not place.catalog:
        check_root(place.root)  # no books can be kept in one that is refused
    beginning.lakehouse = place
    with beginning.kept():
        config = beginning.config = load_config(config_path, overrides, presets)
        beginning.as_of = parse_day(as_of)
        steps = steps_from(first, steps)
    sources = Sources(config, config.lakehouse.files_folder / "staging" / beginning.run_id)
    try:
        # All that is to be taken in is found and checked before the first table is written.
        for step in steps:
            with beginning.kept(step):
                STEPS[step].find(sources, beginning.log)
        with beginning.kept():
            spark = build_session(f"musicrec {steps[0]}", conf_dir, config.spark.conf)
        done = _all_done(steps, beginning, config, sources, spark, force)
        if report:
            report(Lakehouse(spark, config.lakehouse.root, config.lakehouse.catalog), config, done)
    finally:
        sources.close()
    _check_all_well(done)


def _all_done(
    steps: Sequence[str], beginning: Beginning, config: Config, sources: Sources, spark: SparkSession, force: bool
) -> list[Done]:
    """What became of each step."""
    done: list[Done] = []
    needed = needed_steps(config) if len(steps) > 1 else frozenset(steps)
    for step in steps:
        lakehouse = Lakehouse(spark, config.lakehouse.root, config.lakehouse.catalog)
        if step not in INGEST and beginning.as_of is None:
            with beginning.kept(step):
                beginning.as_of = newest_day(lakehouse, config.listens)
        as_of = None if step in INGEST else beginning.as_of
        run = Run(lakehouse, beginning.run_id, step, beginning.now, config.seed, beginning.log, as_of)
        started = datetime.now(UTC)
        try:
            done.append(_run_step(run, config, sources, force, beginning))
        except Exception as error:
            status, reason = status_of(error), told(error)
            if step in needed and not isinstance(error, TooLittleError):
                raise
            if status == REFUSED:
                beginning.log.error(status, job=step, error=reason, **restart(step))
            stage = Stage(0, 0, reason, is_skipped=status == SKIPPED)
            done.append(Done(step, stage, status, (datetime.now(UTC) - started).total_seconds()))
    return done


def _check_all_well(done: Sequence[Done]) -> None:
    """Raise StepsFailedError where a step failed without which the night went on."""
    failed = [own.step for own in done if own.status in (FAILED, REFUSED)]
    if not failed:
        return
    made = any(own.step == "recommend" and own.status in (OK, UP_TO_DATE) for own in done)
    lists = "the lists were published all the same" if made else "the lists stand as they were"
    raise StepsFailedError(f"failed: {', '.join(failed)} (why: ops.runs); {lists}; restart: --from {failed[0]}")


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


def steps_from(first: str | None, steps: Sequence[str] = NIGHTLY) -> list[str]:
    """The steps from `first` on.

    Raises
    ------
    ConfigError : there is no such step.
    """
    if first is None:
        return list(steps)
    if first not in steps:
        raise ConfigError("--from", f"one of {', '.join(steps)}", first)
    return list(steps[steps.index(first) :])


def _run_step(run: Run, config: Config, sources: Sources, force: bool, beginning: Beginning) -> Done:
    settings = settings_that_decide(config)
    started = datetime.now(UTC)
    log = run.log.bind(job=run.job)
    if not force and run.job not in INGEST:
        with beginning.kept(run.job):
            stage = is_up_to_date(run, settings)
        if stage and stage.is_skipped:
            log.warning("skipped", reason=stage.note)
            return Done(run.job, stage, SKIPPED, (datetime.now(UTC) - started).total_seconds())
        if stage:
            log.info("nothing to do", since=stage.note)
            return Done(run.job, stage, UP_TO_DATE, (datetime.now(UTC) - started).total_seconds())
        run.lakehouse.versions_read.clear()
    return recorded(run, settings, lambda: STEPS[run.job].work(run, config, sources))
