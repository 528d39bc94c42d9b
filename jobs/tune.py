"""Choose a model's settings on listens before the nightly's test.

SPARK_CONF_DIR=conf spark-submit jobs/tune.py MODEL --config conf/local.toml [--trials N] [--sampler tpe|grid]
  [--shelf discover|again] [--space FILE] [--out FILE] [--as-of DATE] [--preset FILE] [--set key=value ...] [--force]
"""

from pathlib import Path

import click

from musicrec.entry import ended_with, with_job_options
from musicrec.tune import MODELS, Command, tune


@click.command()
@click.argument("model", metavar=f"MODEL ({'|'.join(MODELS)})")
@with_job_options
@click.option("--trials", type=int, help="Settings to try beside the current ones (tune.trials).")
@click.option("--sampler", help="tpe or grid (tune.sampler).")
@click.option("--shelf", help="discover or again: whose lists are judged (tune.shelf).")
@click.option("--space", type=click.Path(path_type=Path), help="What to try; by default spaces/MODEL.toml by --config.")
@click.option("--out", type=click.Path(path_type=Path), help="The preset; by default tuned/MODEL.toml by --config.")
def main(
    model: str,
    config: Path,
    as_of: str | None,
    presets: tuple[Path, ...],
    overrides: tuple[str, ...],
    force: bool,
    trials: int | None,
    sampler: str | None,
    shelf: str | None,
    space: Path | None,
    out: Path | None,
) -> None:
    """Try settings of MODEL, or go on with a study that was interrupted; write the best ones as a preset.

    --force begins the study anew.
    """
    short = {"trials": trials, "sampler": sampler, "shelf": shelf}
    said = (*overrides, *(f"tune.{name}={value}" for name, value in short.items() if value is not None))
    ended_with(lambda: tune(Command(model, config, as_of, presets, said, force, space, out)))


if __name__ == "__main__":
    main()
