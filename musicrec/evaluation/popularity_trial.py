"""Models of popularity fitted on one side of a split and judged on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.errors import InputError
from musicrec.evaluation.popularity_figures import Figure, Judged, figures
from musicrec.evaluation.track_leaks import TrackLeaks, find_leaks
from musicrec.evaluation.track_splits import (
    TrackSplit,
    grouped_split,
    hash_share,
    naive_split,
    one_row_a_song,
    out_of_fold_means,
    year_split,
)
from musicrec.logs import Logger, progress
from musicrec.models.neural.checkpoint import Epoch, Store
from musicrec.models.popularity.features import fit_features
from musicrec.models.popularity.fit import (
    Labelled,
    check_labels,
    fit_boosted,
    fit_linear,
    fit_mean,
    fit_network,
)
from musicrec.models.popularity.model import PopularityModel, finished
from musicrec.models.popularity.params import PopularityParams, SplitName
from musicrec.models.popularity.scorers import BlendScorer, BoostedScorer, NetworkScorer, Scorer

# With the out-of-fold mean of its artist among its features; judged beside the others, never published.
WITH_ARTIST = "boosted_artist"
ARTIST_MEAN = "artist_mean"

# What each split claims to be free of.
_FORBIDDEN: Mapping[SplitName, tuple[str, ...]] = {
    "grouped": ("tracks", "songs", "artists"),
    "year": ("tracks", "songs", "years"),
    "naive": (),
}
_SHARE_TOP = 0.75


@dataclass(frozen=True)
class Fitted:
    """The models that were fitted on one training side, and the history of the LSTM."""

    models: Mapping[str, PopularityModel]
    history: tuple[Epoch, ...] = ()


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

    split: SplitName
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
        a popularity, or `is_popular` is given as a column.
    store : of the LSTM's checkpoints, by a name.

    Raises
    ------
    LeakError : what the split claims to keep apart crosses.
    InputError : a side is empty, or has no track of one kind.
    """
    rows, split, cut_at = split_tracks(tracks, name, params.test_share, seed)
    train, test = rows[split.train], rows[split.test]
    if train.empty or test.empty:
        raise InputError(f"tracks, split {name}", "tracks on both sides", f"{len(train):,} and {len(test):,}")
    leaks = find_leaks(train, test)
    leaks.check(_FORBIDDEN[name])
    if leaks.warning():
        log.warning(f"popularity, split {name}: {leaks.warning()}")
    fitted = fit_models(train, params, seed, log, store, grouped=name != "naive")
    models = dict(fitted.models)
    popular_from = next(iter(models.values())).popular_from
    judged = {kind: judge_model(model, test, params, seed) for kind, model in models.items()}
    if with_artist and "boosted" in models and rows["popularity"].notna().all():
        mean = out_of_fold_means(rows["artist_key"], rows["popularity"], split.train, seed)
        marked = rows.assign(**{ARTIST_MEAN: mean})
        own = params.model_copy(update={"models": ("boosted",), "popular_from": popular_from})
        features = params.features.model_copy(update={"numbers": (*params.features.numbers, ARTIST_MEAN)})
        own = own.model_copy(update={"features": features})
        model = fit_models(marked[split.train], own, seed, log, grouped=name != "naive").models["boosted"]
        judged[WITH_ARTIST] = judge_model(model, marked[split.test], params, seed)
    return Trial(name, fitted, judged, train, test, leaks, split.left_out, cut_at)


def fit_models(
    train: pd.DataFrame,
    params: PopularityParams,
    seed: int,
    log: Logger,
    store: Callable[[str], Store] | None = None,
    grouped: bool = True,
) -> Fitted:
    """Fit `params.models` on some tracks, of which a part, by artist where `grouped`, stops and calibrates.

    Raises
    ------
    InputError : learning or validation part has no track of one kind.
    """
    popular_from = popular_threshold(train, params)
    if grouped:
        is_learn, is_valid = grouped_split(train["artist_keys"], params.valid_share, seed, "valid")
    else:
        is_learn, is_valid = naive_split(len(train), params.valid_share, seed + 1)
    space = fit_features(train[is_learn], params.features)
    if space.dropped:
        log.warning("popularity: constant or empty columns are left out", columns=list(space.dropped))
    learn, valid = (_labelled(train[side], space.inputs(train[side]), popular_from) for side in (is_learn, is_valid))
    check_labels(learn, "tracks to learn popularity from")
    check_labels(valid, "tracks to validate popularity on")
    scorers: dict[str, Scorer] = {}
    history: tuple[Epoch, ...] = ()
    for kind in sorted(params.models, key=lambda kind: kind == "blend"):
        if kind == "mean":
            scorers[kind] = fit_mean(learn)
        elif kind == "ridge":
            scorers[kind] = fit_linear(space, learn, valid)
        elif kind == "boosted":
            scorers[kind] = fit_boosted(space, learn, valid, params.boosted, seed)
        elif kind == "lstm":
            steps = params.training.epochs * -(-len(learn) // params.training.batch_size)
            with progress(log, "popularity: training the LSTM", steps) as ticker:
                kept = store(f"{len(learn)}") if store else None
                scorers[kind], trained = fit_network(
                    space, learn, valid, params.network, params.training, seed, ticker, kept
                )
            history = trained.history
        else:
            first, second = scorers["boosted"], scorers["lstm"]
            assert isinstance(first, BoostedScorer)
            assert isinstance(second, NetworkScorer)
            scorers[kind] = BlendScorer(first, second)
        log.info("popularity: fitted", model=kind, tracks=len(learn))
    made: dict[str, PopularityModel] = {
        kind: finished(kind, space, scorers[kind], valid, popular_from, params.calibration) for kind in params.models
    }
    return Fitted(made, history)


def judge_model(model: PopularityModel, test: pd.DataFrame, params: PopularityParams, seed: int) -> dict[str, Figure]:
    """A model's figures on some tracks."""
    ordered = test.sort_values(["artist_key", "track_id"], kind="stable")
    made = model.predict_tracks(ordered)
    known = ordered["popularity"].to_numpy(dtype=np.float64, na_value=np.nan)
    artists = pd.factorize(ordered["artist_key"])[0].astype(np.int64)
    is_popular = _is_popular(ordered, model.popular_from)
    judged = Judged(artists, known, is_popular, made.popularity, made.score, made.probability, model.cut)
    return figures(judged, params.resamples, seed)


def popular_threshold(train: pd.DataFrame, params: PopularityParams) -> float:
    """The popularity from which a track is popular: as configured, or that of the training side's top quarter."""
    if params.popular_from or "is_popular" in train:
        return params.popular_from
    return float(np.quantile(train["popularity"].to_numpy(dtype=np.float64), _SHARE_TOP))


def sample_tracks(tracks: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """So many tracks with the smallest hashes of track_id; all for 0."""
    if not most or len(tracks) <= most:
        return tracks
    drawn = tracks["track_id"].map(lambda track: hash_share(track, seed, "sample"))
    return tracks.loc[drawn.sort_values(kind="stable").index[:most]].sort_values("track_id")


def _labelled(tracks: pd.DataFrame, inputs: object, popular_from: float) -> Labelled:
    is_popular = _is_popular(tracks, popular_from)
    known = tracks["popularity"].to_numpy(dtype=np.float64, na_value=np.nan)
    # Where only popular or not is known, the popularity is 100 or 0.
    return Labelled(inputs, np.where(np.isnan(known), is_popular * 100.0, known), is_popular)  # type: ignore[arg-type]


def _is_popular(tracks: pd.DataFrame, popular_from: float) -> NDArray[np.bool_]:
    if "is_popular" in tracks:
        return np.asarray(tracks["is_popular"], dtype=np.bool_)
    return np.asarray(tracks["popularity"].to_numpy(dtype=np.float64) >= popular_from, dtype=np.bool_)
