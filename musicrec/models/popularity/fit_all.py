"""Fit several models of popularity on the same tracks: one feature space, one validation part, one threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.evaluation.track_splits import grouped_split, naive_split
from musicrec.logs import Logger, progress
from musicrec.models.neural.checkpoint import Epoch, Store
from musicrec.models.popularity.features import FeatureSpace, fit_features
from musicrec.models.popularity.fit import (
    Labelled,
    check_labels,
    fit_boosted,
    fit_linear,
    fit_mean,
    fit_network,
)
from musicrec.models.popularity.model import PopularityModel, finished
from musicrec.models.popularity.params import PopularityParams
from musicrec.models.popularity.scorers import BlendScorer, NetworkScorer, Scorer

_TOP = 0.75


@dataclass(frozen=True)
class Fitted:
    """The models that were fitted on one training side, and the history of the LSTM."""

    models: Mapping[str, PopularityModel]
    history: tuple[Epoch, ...] = ()


def fit_models(
    train: pd.DataFrame,
    params: PopularityParams,
    seed: int,
    log: Logger,
    store: Callable[[str], Store] | None = None,
    grouped: bool = True,
) -> Fitted:
    """Fit `params.models` on some tracks, of which a part, by artist where `grouped`, stops and calibrates.

    Parameters
    ----------
    train : columns of silver.track_features and `artist_keys`; every track has a popularity.
    store : of the LSTM's checkpoints, by a name.

    Raises
    ------
    InputError : the learning or the validation part has no track of one kind.
    """
    popular_from = popular_threshold(train, params)
    if grouped:
        is_learn, is_valid = grouped_split(train["artist_keys"], params.valid_share, seed, "valid")
    else:
        is_learn, is_valid = naive_split(len(train), params.valid_share, seed + 1)
    space = fit_features(train[is_learn], params.features)
    if space.dropped:
        log.warning("popularity: constant or empty columns are left out", columns=list(space.dropped))
    learn, valid = (_labelled(train[side], space, popular_from) for side in (is_learn, is_valid))
    check_labels(learn, "tracks to learn popularity from")
    check_labels(valid, "tracks to validate popularity on")
    scorers, history = _fit_scorers(space, learn, valid, params, seed, log, store)
    made = {
        str(kind): finished(kind, space, scorers[kind], valid, popular_from, params.calibration)
        for kind in params.models
    }
    return Fitted(made, history)


def popular_threshold(train: pd.DataFrame, params: PopularityParams) -> float:
    """The popularity from which a track is popular: as configured, or that of the training side's top quarter."""
    if params.popular_from:
        return params.popular_from
    return float(np.quantile(train["popularity"].to_numpy(dtype=np.float64), _TOP))


def are_popular(tracks: pd.DataFrame, popular_from: float) -> NDArray[np.bool_]:
    """Which tracks are popular."""
    return np.asarray(tracks["popularity"].to_numpy(dtype=np.float64) >= popular_from, dtype=np.bool_)


def _fit_scorers(
    space: FeatureSpace,
    learn: Labelled,
    valid: Labelled,
    params: PopularityParams,
    seed: int,
    log: Logger,
    store: Callable[[str], Store] | None,
) -> tuple[dict[str, Scorer], tuple[Epoch, ...]]:
    made: dict[str, Scorer] = {}
    history: tuple[Epoch, ...] = ()
    if "mean" in params.models:
        made["mean"] = fit_mean(learn)
    if "ridge" in params.models:
        made["ridge"] = fit_linear(space, learn, valid)
    if "boosted" in params.models:
        boosted = fit_boosted(space, learn, valid, params.boosted, seed)
        made["boosted"] = boosted
    if "lstm" in params.models:
        neural, history = _fit_lstm(space, learn, valid, params, seed, log, store)
        made["lstm"] = neural
    if "blend" in params.models:
        made["blend"] = BlendScorer(boosted, neural)
    log.info("popularity: fitted", models=list(params.models), tracks=len(learn), validated_on=len(valid))
    return made, history


def _fit_lstm(
    space: FeatureSpace,
    learn: Labelled,
    valid: Labelled,
    params: PopularityParams,
    seed: int,
    log: Logger,
    store: Callable[[str], Store] | None,
) -> tuple[NetworkScorer, tuple[Epoch, ...]]:
    steps = params.training.epochs * -(-len(learn) // params.training.batch_size)
    kept = store(f"{len(learn)}") if store else None
    with progress(log, "popularity: training the LSTM", steps) as ticker:
        made, trained = fit_network(space, learn, valid, params.network, params.training, seed, ticker, kept)
    return made, trained.history


def _labelled(tracks: pd.DataFrame, space: FeatureSpace, popular_from: float) -> Labelled:
    known = tracks["popularity"].to_numpy(dtype=np.float64)
    return Labelled(space.inputs(tracks), known, are_popular(tracks, popular_from))
