"""How well popularity is predicted: each model on each split, with what leakage adds.

python -m benchmarks.popularity [CSV ...] [--splits grouped,year,naive] [--models mean,ridge,boosted,lstm,blend]
    [--seed 20140616] [--set KEY=JSON ...] [--json FILE]

The files are spotify_songs.csv as published, by default the bundled one: a row for each playlist that a track is on.
`boosted_artist` also knows the out-of-fold mean of the artist's other training tracks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click
import pandas as pd
import torch

from benchmarks.measure import write_json
from benchmarks.popularity_data import read_spotify_songs, united_genres
from musicrec.evaluation.popularity_figures import Figure
from musicrec.evaluation.popularity_trial import Trial, run_trial
from musicrec.logs import make_logger
from musicrec.models.popularity.drivers import drivers
from musicrec.models.popularity.params import PopularityParams, SplitName

BUNDLED = Path(__file__).parent.parent / "data" / "sample" / "spotify_songs.csv.gz"

_SHOWN = ("r2", "mae", "spearman", "accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "brier", "ece")


def popularity_params(models: str, overrides: tuple[str, ...]) -> PopularityParams:
    """Settings with some of them replaced, such as `network.dropout=0.5`."""
    values: dict[str, Any] = {"models": models.split(",")}
    for override in overrides:
        key, _, value = override.partition("=")
        at, *rest = reversed(key.split("."))
        own: Any = {at: json.loads(value)}
        for name in rest:
            own = {name: own}
        for name, part in own.items():
            values[name] = {**values[name], **part} if isinstance(values.get(name), dict) else part
    return PopularityParams(**values)


def show(trial: Trial) -> None:
    """A table in Markdown: a row a model."""
    base = next(iter(trial.figures.values()))["base_rate"].value
    leaks = trial.leaks
    click.echo(
        f"\n{trial.split}, cut at {trial.cut_at:g}: {len(trial.train):,} training and {len(trial.test):,} test rows, "
        f"{trial.left_out:,} left out; {leaks.tracks:,} tracks, {leaks.songs:,} songs and {leaks.artists:,} rows by "
        f"artist cross; base rate {base:.3f}\n"
    )
    click.echo("| model | " + " | ".join(_SHOWN) + " | brier, ece uncalibrated |")
    click.echo("|---|" + "---|" * (len(_SHOWN) + 1))
    for model, made in trial.figures.items():
        raw = f"{made['brier_raw'].value:.3f}, {made['ece_raw'].value:.3f}"
        click.echo(f"| {model} | " + " | ".join(said(made[name]) for name in _SHOWN) + f" | {raw} |")


def said(figure: Figure) -> str:
    """A figure with its interval where it has one."""
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def rows_of(trial: Trial, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same as rows for a file."""
    return [
        {**facts, "split": trial.split, "model": model, "metric": name, **vars(figure)}
        for model, made in trial.figures.items()
        for name, figure in made.items()
    ]


@click.command(help=__doc__)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--splits", default="grouped,year,naive", show_default=True)
@click.option("--models", default="mean,ridge,boosted,lstm,blend", show_default=True)
@click.option("--drivers/--no-drivers", "with_drivers", default=True, help="What the best model hangs on.")
@click.option("--seed", default=20140616, show_default=True)
@click.option("--set", "overrides", multiple=True, metavar="KEY=JSON")
@click.option("--json", "output", type=click.Path(path_type=Path))
def main(
    paths: tuple[Path, ...],
    splits: str,
    models: str,
    with_drivers: bool,
    seed: int,
    overrides: tuple[str, ...],
    output: Path | None,
) -> None:
    """Judge and print."""
    torch.set_num_threads(1)  # the same bits whatever the cores
    params = popularity_params(models, overrides)
    files = [read_spotify_songs(path) for path in paths or (BUNDLED,)]
    tracks = united_genres(pd.concat(files, ignore_index=True))
    log = make_logger("benchmark")
    click.echo(f"{len(tracks):,} rows, {tracks['track_id'].nunique():,} tracks; {os.cpu_count()} cores, seed {seed}")
    rows = []
    for name in splits.split(","):
        trial = run_trial(tracks, cast(SplitName, name), params, seed, log)
        show(trial)
        rows += rows_of(trial, {"seed": seed})
        if with_drivers and name == "grouped":
            _show_drivers(trial, seed)
    write_json(rows, output)


def _show_drivers(trial: Trial, seed: int) -> None:
    best = max(trial.fitted.models, key=lambda model: trial.figures[model]["r2"].value)
    click.echo(f"\nWhat {best} hangs on: R² lost when it is shuffled over the test tracks, mean points\n")
    for driver in drivers(trial.fitted.models[best], trial.test, seed)[:10]:
        click.echo(f"| {driver.feature} | {driver.r2_lost:.4f} ± {driver.deviation:.4f} | {driver.mean_points:.2f} |")


if __name__ == "__main__":
    main()
