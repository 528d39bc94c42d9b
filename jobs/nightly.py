"""All jobs in order; `--from STEP` restarts at the step that failed.

SPARK_CONF_DIR=conf spark-submit jobs/nightly.py --config conf/local.toml [--as-of DATE] [--from STEP]
"""

from pathlib import Path

import click

from musicrec.entry import ended_with, run_steps, with_job_options
from musicrec.report import print_report
from musicrec.steps import NIGHTLY


@click.command()
@with_job_options
@click.option("--from", "first", metavar="STEP", help="Start here: the steps before it stand as they are.")
def main(
    config: Path,
    as_of: str | None,
    presets: tuple[Path, ...],
    overrides: tuple[str, ...],
    force: bool,
    first: str | None,
) -> None:
    """Run the whole nightly and print what it did."""
    ended_with(lambda: run_steps(NIGHTLY, config, as_of, overrides, force, print_report, presets, first))


if __name__ == "__main__":
    main()
