"""gold.popularity: the models are judged on honest splits, the best is fitted on all and predicts every track."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.evaluation.popularity_keys import artist_keys
from musicrec.evaluation.popularity_trial import WITH_ARTIST, Trial, run_trial
from musicrec.evaluation.track_splits import one_row_a_song
from musicrec.io.artifacts import load_model, save_model
from musicrec.io.checkpoints import FolderStore
from musicrec.io.runs import Run, Stage
from musicrec.models.popularity.drivers import Driver, drivers
from musicrec.models.popularity.features import check_same_features
from musicrec.models.popularity.fit_all import fit_models
from musicrec.models.popularity.model import PopularityModel, unpack
from musicrec.models.popularity.params import PopularityParams
from musicrec.models.popularity.reasons import reasons
from musicrec.pipelines.publish import register

NAME = "popularity"

# Fewer tracks with a popularity than these are not worth a model.
_FEWEST = 100
_HASHES = 1 << 30
_TEXT = ("track_id", "name", "artists", "artist_key", "title_key", "genres", "tags", "popularity")
_PREDICTED = (
    "track_id string, title string, artist string, popularity double, "
    "predicted_popularity double, probability_popular double, reasons array<string>"
)


def train_popularity(run: Run, params: PopularityParams, files: Path) -> Stage:
    """Judge, choose, fit and predict; replaces gold.popularity, gold.popularity_evaluation, gold.popularity_drivers.

    With `params.use_saved` the model of an earlier run predicts, and only gold.popularity is replaced.

    Parameters
    ----------
    files : the model goes to `files/popularity/model`.

    Raises
    ------
    InputError : fewer than 100 tracks have a popularity, or the saved model reads other features than today's.
    """
    features = run.lakehouse.read("silver.track_features").select(*_columns(params))
    folder = files / NAME
    if params.use_saved:
        model = _saved(folder / "model", params)
    else:
        model = _fit(run, known_tracks(run, features, params), params, folder)
    predicted = predict(features, model, params.reasons)
    marks = {"as_of": F.lit(run.day), "run_id": F.lit(run.run_id)}
    run.lakehouse.overwrite("gold.popularity", predicted.withColumns(marks))
    rows = run.lakehouse.read("gold.popularity", is_input=False).count()
    run.metric("tracks_predicted", rows, model=model.kind)
    return Stage(rows, rows, model.kind)


def predict(features: DataFrame, model: PopularityModel, most: int) -> DataFrame:
    """A row a track: popularity, prediction, probability and reasons; the model is sent to each executor once.

    Parameters
    ----------
    features : columns of silver.track_features.
    most : reasons a track.
    """
    weights, facts = model.pack()
    sent = features.sparkSession.sparkContext.broadcast(({k: v.numpy() for k, v in weights.items()}, facts))

    def part(frames: Iterable[Any]) -> Iterable[Any]:
        torch.set_num_threads(1)
        arrays, own_facts = sent.value
        own = unpack({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, own_facts)
        for frame in frames:
            yield _predicted(own, frame, most)

    return features.mapInPandas(part, _PREDICTED)


def _predicted(model: PopularityModel, frame: pd.DataFrame, most: int) -> pd.DataFrame:
    inputs = model.space.inputs(frame)
    made = model.predict(inputs)
    said = reasons(model.space, inputs, model.scorer.contributions(model.space, inputs), most)
    return pd.DataFrame(
        {
            "track_id": frame["track_id"],
            "title": frame["name"],
            "artist": [", ".join(names) for names in frame["artists"]],
            "popularity": frame["popularity"],
            # Rounded, since the last bits depend on how many tracks are predicted together.
            "predicted_popularity": made.popularity.round(3),
            "probability_popular": made.probability.round(5),
            "reasons": said,
        }
    )


def _fit(run: Run, tracks: pd.DataFrame, params: PopularityParams, folder: Path) -> PopularityModel:
    """Judge all models on all splits, write what was found, and fit the best one on all tracks."""
    checkpoints = folder / "checkpoints"
    trials = []
    for split in params.splits:
        trials.append(run_trial(tracks, split, params, run.seed, run.log, _stores(checkpoints / split)))
        _record(run, trials[-1])
    honest = next(trial for trial in trials if trial.split == "grouped")
    kind = best_model(honest)
    _write_evaluation(run, trials, kind)
    _write_drivers(run, kind, drivers(honest.fitted.models[kind], honest.test, run.seed))

    needed = ("boosted", "lstm", "blend") if kind == "blend" else (kind,)
    own = params.model_copy(update={"models": needed})
    songs = one_row_a_song(tracks)
    fitted = fit_models(songs, own, run.seed, run.log, _stores(checkpoints / "final"))
    model = fitted.models[kind]
    weights, facts = model.pack()
    save_model(folder / "model", weights, {**facts, "run_id": run.run_id, "seed": run.seed})
    figures = {name: figure.value for name, figure in honest.figures[kind].items()}
    register(run, NAME, params, str(folder / "model"), figures)
    FolderStore(checkpoints).clear()
    return model


def best_model(honest: Trial) -> str:
    """The model with the highest R² on the grouped split; of equals the first."""
    published = {name: made for name, made in honest.figures.items() if name != WITH_ARTIST}
    return max(published, key=lambda name: round(published[name]["r2"].value, 6))


def _stores(folder: Path) -> Callable[[str], FolderStore]:
    """Checkpoints under a folder, by name."""
    return lambda name: FolderStore(folder / name)


def _saved(folder: Path, params: PopularityParams) -> PopularityModel:
    model = unpack(*load_model(folder))
    check_same_features(model.space, params.features, folder)
    return model


def _columns(params: PopularityParams) -> list[str]:
    return list(dict.fromkeys((*_TEXT, *params.features.numbers, "year")))


def known_tracks(run: Run, features: DataFrame, params: PopularityParams) -> pd.DataFrame:
    """The tracks to learn from and to judge on, in a total order; drawn by hash where there are too many."""
    known = features.where(F.col("popularity").isNotNull())
    count = known.count()
    if count < _FEWEST:
        where = f"table silver.track_features at {run.lakehouse.location('silver.track_features')}"
        raise InputError(where, f"{_FEWEST} tracks or more with a popularity", f"{count}")
    if params.max_tracks and count > params.max_tracks:
        share = params.max_tracks / count
        known = known.where(F.pmod(F.xxhash64("track_id", F.lit(run.seed)), F.lit(_HASHES)) < int(share * _HASHES))
    # toArrow orders nothing, so the order is made here: it decides the batches.
    tracks = pd.DataFrame(known.toPandas()).sort_values("track_id", kind="stable").reset_index(drop=True)
    keys = [artist_keys(names, title) for names, title in zip(tracks["artists"], tracks["name"], strict=True)]
    run.metric("tracks_learnt_from", len(tracks))
    return tracks.assign(artist_keys=keys)


def _record(run: Run, trial: Trial) -> None:
    """The figures of a split, and the history of its LSTM, for ops.metrics."""
    run.metric("tracks_left_out", trial.left_out, split=trial.split)
    run.metric("split_at", trial.cut_at, split=trial.split)
    for name in ("tracks", "songs", "artists"):
        run.metric(f"leaked_{name}", getattr(trial.leaks, name), split=trial.split)
    for epoch in trial.fitted.history:
        for name, value in {"train_loss": epoch.train_loss, **epoch.figures}.items():
            run.metric(name, value, step=epoch.epoch, model="lstm", split=trial.split)


def _write_evaluation(run: Run, trials: list[Trial], published: str) -> None:
    rows = [
        (
            *(trial.split, model, name, round(figure.value, 6)),
            *(None if end is None else round(end, 6) for end in (figure.low, figure.high)),
            *(len(trial.train), len(trial.test), trial.leaks.songs, model == published, run.day, run.run_id),
        )
        for trial in trials
        for model, made in trial.figures.items()
        for name, figure in made.items()
    ]
    columns = (
        "split string, model string, metric string, value double, low double, high double, train_tracks long, "
        "test_tracks long, leaked_tracks long, is_published boolean, as_of date, run_id string"
    )
    run.lakehouse.overwrite("gold.popularity_evaluation", run.lakehouse.spark.createDataFrame(rows, columns))


def _write_drivers(run: Run, kind: str, found: list[Driver]) -> None:
    rows = [
        (driver.feature, rank, driver.r2_lost, driver.deviation, driver.mean_points, kind, run.day, run.run_id)
        for rank, driver in enumerate(found, start=1)
    ]
    columns = (
        "feature string, rank int, r2_lost double, deviation double, mean_points double, model string, as_of date, "
        "run_id string"
    )
    run.lakehouse.overwrite("gold.popularity_drivers", run.lakehouse.spark.createDataFrame(rows, columns))
