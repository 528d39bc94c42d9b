"""Models of popularity fitted on one side of a split and judged on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from musicrec.errors import InputError
from musicrec.evaluation.popularity_figures import Figure, Judged, figures
from musicrec.evaluation.track_leaks import TrackLeaks, find_leaks
from musicrec.evaluation.track_splits import (
    TrackSplit,
    grouped_split,
    naive_split,
    one_row_a_song,
    out_of_fold_means,
    year_split,
)
from musicrec.logs import Logger
from musicrec.models.neural.checkpoint import Store
from musicrec.models.popularity.fit_all import Fitted, are_popular, fit_models
from musicrec.models.popularity.model import PopularityModel
from musicrec.models.popularity.params import PopularityParams, SplitName

# With the out-of-fold mean of its artist among its features; judged beside the others, never published.
WITH_ARTIST = "boosted_artist"
ARTIST_MEAN = "artist_mean"

# What a split claims to be free of; one of another name, of tracks, songs and artists.
_FORBIDDEN: Mapping[str, tuple[str, ...]] = {
    "grouped": ("tracks", "songs", "artists"),
    "year": ("tracks", "songs", "years"),
    "naive": (),
}


@dataclass(frozen=True)
class Trial:
    """What a split gave.

    Attributes
    ----------
    figures : by model.
    train, test : its two sides.
    leaks : what crossed.
    cut_at : what the split was made at, the year or the share.
    """

    split: str
    fitted: Fitted
    figures: Mapping[str, Mapping[str, Figure]]
    train: pd.DataFrame
    test: pd.DataFrame
    leaks: TrackLeaks
    left_out: int
    cut_at: float


def split_tracks(
    tracks: pd.DataFrame, name: SplitName, share: float, seed: int
) -> tuple[pd.DataFrame, TrackSplit, float]:
    """The rows that a split is of (one a song, but for `naive`), its sides, and where it was cut."""
    rows = tracks if name == "naive" else one_row_a_song(tracks)
    rows = rows.reset_index(drop=True)
    if name == "naive":
        return rows, TrackSplit(name, *naive_split(len(rows), share, seed)), share
    if name == "year":
        train, test, year = year_split(rows["year"], share)
        return rows, TrackSplit(name, train, test), float(year)
    return rows, TrackSplit(name, *grouped_split(rows["artist_keys"], share, seed, "test")), share


def run_trial(
    tracks: pd.DataFrame,
    name: SplitName,
    params: PopularityParams,
    seed: int,
    log: Logger,
    store: Callable[[str], Store] | None = None,
    with_artist: bool = True,
) -> Trial:
    """Split, look for leaks, fit all models on the training side and judge them on the other.

    Parameters
    ----------
    tracks : columns of silver.track_features and `artist_keys` (list of the keys of all its artists); every track has
        a popularity.
    store : of the LSTM's checkpoints, by a name.

    Raises
    ------
    LeakError : what the split claims to keep apart crosses.
    InputError : a side is empty, or has no track of one kind.
    """
    rows, split, cut_at = split_tracks(tracks, name, params.test_share, seed)
    return judge_split(rows, split, cut_at, params, seed, log, store, with_artist)


def judge_split(
    rows: pd.DataFrame,
    split: TrackSplit,
    cut_at: float,
    params: PopularityParams,
    seed: int,
    log: Logger,
    store: Callable[[str], Store] | None = None,
    with_artist: bool = True,
    cut: float | None = None,
) -> Trial:
    """The same of a split that was made before; its name says what must not cross.

    Parameters
    ----------
    cut : the probability from which a track is called popular; None for the one that the validation part chose.
    """
    name = split.name
    train, test = rows[split.train], rows[split.test]
    if train.empty or test.empty:
        raise InputError(f"tracks, split {name}", "tracks on both sides", f"{len(train):,} and {len(test):,}")
    leaks = find_leaks(train, test)
    leaks.check(_FORBIDDEN.get(name, ("tracks", "songs", "artists")))
    if leaks.warning():
        log.warning(f"popularity, split {name}: {leaks.warning()}")
    fitted = fit_models(train, params, seed, log, store, grouped=name != "naive")
    models = dict(fitted.models)
    if cut is not None:
        models = {kind: replace(model, cut=cut) for kind, model in models.items()}
    judged = {kind: judge_model(model, test, params, seed) for kind, model in models.items()}
    if with_artist and "boosted" in models:
        popular_from = models["boosted"].popular_from
        judged[WITH_ARTIST] = _with_artist(rows, split, params, popular_from, seed, log)
    return Trial(name, fitted, judged, train, test, leaks, split.left_out, cut_at)


def _with_artist(
    rows: pd.DataFrame, split: TrackSplit, params: PopularityParams, popular_from: float, seed: int, log: Logger
) -> dict[str, Figure]:
    """The figures of boosting that knows the out-of-fold mean of each artist's training tracks too."""
    marked = rows.assign(**{ARTIST_MEAN: out_of_fold_means(rows["artist_key"], rows["popularity"], split.train, seed)})
    features = params.features.model_copy(update={"numbers": (*params.features.numbers, ARTIST_MEAN)})
    own = params.model_copy(update={"models": ("boosted",), "popular_from": popular_from, "features": features})
    model = fit_models(marked[split.train], own, seed, log, grouped=split.name != "naive").models["boosted"]
    return judge_model(model, marked[split.test], params, seed)


def judge_model(model: PopularityModel, test: pd.DataFrame, params: PopularityParams, seed: int) -> dict[str, Figure]:
    """A model's figures on some tracks."""
    ordered = test.sort_values(["artist_key", "track_id"], kind="stable")
    made = model.predict_tracks(ordered)
    known = ordered["popularity"].to_numpy(dtype=np.float64)
    artists = pd.factorize(ordered["artist_key"])[0].astype(np.int64)
    is_popular = are_popular(ordered, model.popular_from)
    judged = Judged(artists, known, is_popular, made.popularity, made.score, made.probability, model.cut)
    return figures(judged, params.resamples, seed)
