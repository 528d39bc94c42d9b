"""Whether a track was a hit, by decade, and whether what is learnt of five decades holds in the sixth.

python -m benchmarks.hits FOLDER [--models ridge,boosted,lstm,blend] [--trials "60s,not 60s"] [--seed 20140616]
    [--json FILE]

FOLDER holds the hit predictor's dataset-of-{60s,...,10s}.csv. `ridge` is the logistic regression. A track is called a
hit from a calibrated probability of one half on. No artist is on both sides, neither within a decade nor between five
decades and the sixth: training tracks of the test decade's artists are left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch

from benchmarks.measure import write_json
from benchmarks.popularity import popularity_params, rows_of, said
from benchmarks.popularity_data import read_hits
from musicrec.evaluation.popularity_trial import Trial, judge_split
from musicrec.evaluation.track_splits import TrackSplit, grouped_split, one_row_a_song
from musicrec.logs import make_logger
from musicrec.models.popularity.params import PopularityParams

# What the files say beside the audio features; they have no genres.
_MORE = ("time_signature", "chorus_hit", "sections")


def hit_params(models: str, overrides: tuple[str, ...]) -> PopularityParams:
    """Only hit or not is learnt, from everything that the files say but the year."""
    params = popularity_params(models, overrides)
    features = params.features
    numbers = (*(name for name in features.numbers if name != "year"), *_MORE)
    return params.model_copy(
        update={
            "popular_from": 50.0,
            "features": features.model_copy(update={"numbers": numbers}),
            "network": params.network.model_copy(update={"class_weight": 1.0}),
            "training": params.training.model_copy(update={"metric": "roc_auc"}),
        }
    )


def within(tracks: pd.DataFrame, decade: str, params: PopularityParams, seed: int) -> Trial:
    """A decade split by artist."""
    rows = one_row_a_song(tracks).reset_index(drop=True)
    sides = grouped_split(rows["artist_keys"], params.test_share, seed, "test")
    return _judged(rows, TrackSplit(decade, *sides), params, seed)


def across(decades: Mapping[str, pd.DataFrame], tested: str, params: PopularityParams, seed: int) -> Trial:
    """Five decades against the sixth."""
    rows = pd.concat([frame.assign(decade=name) for name, frame in decades.items()], ignore_index=True)
    rows = one_row_a_song(rows).reset_index(drop=True)
    is_test = (rows["decade"] == tested).to_numpy()
    artists = {key for keys in rows.loc[is_test, "artist_keys"] for key in keys}
    is_apart = np.array([artists.isdisjoint(keys) for keys in rows["artist_keys"]])
    return _judged(rows, TrackSplit(f"not {tested}", ~is_test & is_apart, is_test), params, seed)


def _judged(rows: pd.DataFrame, split: TrackSplit, params: PopularityParams, seed: int) -> Trial:
    return judge_split(rows, split, 0.0, params, seed, make_logger("benchmark"), with_artist=False, cut=0.5)


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--models", default="ridge,boosted,lstm,blend", show_default=True)
@click.option("--trials", default="", help="Some of 60s, ..., 10s, not 60s, ...; all where empty.")
@click.option("--seed", default=20140616, show_default=True)
@click.option("--set", "overrides", multiple=True, metavar="KEY=JSON")
@click.option("--json", "output", type=click.Path(path_type=Path))
def main(folder: Path, models: str, trials: str, seed: int, overrides: tuple[str, ...], output: Path | None) -> None:
    """Judge and print."""
    torch.set_num_threads(1)
    params = hit_params(models, overrides)
    decades = read_hits(folder)
    click.echo(f"{sum(map(len, decades.values())):,} rows; {os.cpu_count()} cores, seed {seed}")
    chosen = trials.split(",") if trials else [*decades, *(f"not {name}" for name in decades)]
    click.echo(
        "\n| learnt from | train | test | hits | " + " | ".join(f"{m}: accuracy, AUC" for m in params.models) + " |"
    )
    click.echo("|---|---|---|---|" + "---|" * len(params.models))
    rows: list[dict[str, Any]] = []
    for name in chosen:
        decade = name.removeprefix("not ")
        if decade not in decades:
            raise click.UsageError(f"unknown trial {name}; decades: {', '.join(decades)}")
        is_within = name == decade
        trial = within(decades[decade], decade, params, seed) if is_within else across(decades, decade, params, seed)
        made = [f"{own['accuracy'].value:.3f}, {said(own['roc_auc'])}" for own in trial.figures.values()]
        base = next(iter(trial.figures.values()))["base_rate"].value
        sizes = f"{len(trial.train):,} | {len(trial.test):,} | {base:.3f}"
        click.echo(f"| {trial.split} | {sizes} | " + " | ".join(made) + " |")
        rows += rows_of(trial, {"seed": seed})
    write_json(rows, output)


if __name__ == "__main__":
    main()
