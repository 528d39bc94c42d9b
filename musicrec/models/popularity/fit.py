"""Fit the models of popularity on the training side; a grouped part of it stops, calibrates and sets the cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score

from musicrec.errors import InputError, NonFiniteError
from musicrec.logs import Ticker
from musicrec.models.neural.checkpoint import Store
from musicrec.models.neural.sources import ArraySource
from musicrec.models.neural.training import Judge, Trained, train
from musicrec.models.popularity.features import FeatureSpace, Inputs
from musicrec.models.popularity.network import PopularityNetwork, make_network
from musicrec.models.popularity.params import BoostedParams, NetworkParams, PopularityTrainingParams
from musicrec.models.popularity.scorers import BoostedScorer, LinearScorer, MeanScorer, NetworkScorer, network_scores

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Penalties of ridge and of the logistic regression, of which the validation part chooses.
_PENALTIES = (1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Labelled:
    """Tracks whose popularity is known.

    Attributes
    ----------
    popularity : float64 [tracks], 0 to 100.
    is_popular : bool [tracks].
    """

    inputs: Inputs
    popularity: Floats
    is_popular: Flags

    def __len__(self) -> int:
        return len(self.popularity)

    @property
    def positive_weight(self) -> float:
        """Tracks that are not popular for one that is: popular ones count so much more in a loss."""
        positives = int(self.is_popular.sum())
        return (len(self) - positives) / positives if positives else 1.0


def check_labels(rows: Labelled, what: str) -> None:
    """A fit needs both kinds of track and a popularity that is not constant.

    Raises
    ------
    InputError : it has not.
    """
    popular = int(rows.is_popular.sum())
    if popular in (0, len(rows)):
        raise InputError(
            what, "tracks that are popular and tracks that are not", f"{popular:,} popular of {len(rows):,}"
        )
    if not np.isfinite(rows.popularity).all():
        raise InputError(what, "finite popularities", "others")


def fit_mean(learn: Labelled) -> MeanScorer:
    """The mean popularity, and the share of popular tracks."""
    return MeanScorer(float(learn.popularity.mean()), float(learn.is_popular.mean()))


def fit_linear(space: FeatureSpace, learn: Labelled, valid: Labelled) -> LinearScorer:
    """Ridge and logistic regression (popular tracks weighted up); the penalties that do best on `valid`."""
    design, checked = (space.design(part.inputs, with_words=False).toarray() for part in (learn, valid))
    ridges = [Ridge(alpha=penalty).fit(design, learn.popularity) for penalty in _PENALTIES]
    errors = [float(np.square(model.predict(checked) - valid.popularity).mean()) for model in ridges]
    ridge = ridges[int(np.argmin(errors))]
    classifiers = [
        LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=1000).fit(design, learn.is_popular)
        for penalty in _PENALTIES
    ]
    losses = [_log_loss(model.predict_proba(checked)[:, 1], valid) for model in classifiers]
    logistic = classifiers[int(np.argmin(losses))]
    made = LinearScorer(
        np.append(ridge.coef_, ridge.intercept_), np.append(logistic.coef_[0], logistic.intercept_), design.mean(0)
    )
    if not (np.isfinite(made.ridge).all() and np.isfinite(made.logistic).all()):
        raise NonFiniteError("popularity: ridge or logistic regression gave a coefficient that is not finite")
    return made


def fit_boosted(
    space: FeatureSpace, learn: Labelled, valid: Labelled, params: BoostedParams, seed: int
) -> BoostedScorer:
    """Trees for the popularity (squared error) and for popular or not (log loss, popular tracks weighted up)."""
    designs = [space.design(part.inputs) for part in (learn, valid)]

    def fit(objective: str, labels: Sequence[NDArray[np.generic]], **more: float) -> str:
        settings = {
            "objective": objective,
            "learning_rate": params.learning_rate,
            "num_leaves": params.leaves,
            "min_data_in_leaf": params.min_rows,
            "feature_fraction": params.column_share,
            "bagging_fraction": params.row_share,
            "bagging_freq": 1,
            "seed": seed,
            # One thread and no racing histograms: the same trees on any machine.
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
            **more,
        }
        sets = [lgb.Dataset(design, label, params=settings) for design, label in zip(designs, labels, strict=True)]
        stop = lgb.early_stopping(params.patience, verbose=False)
        booster = lgb.train(settings, sets[0], params.rounds, valid_sets=[sets[1]], callbacks=[stop])
        return str(booster.model_to_string(num_iteration=booster.best_iteration))

    weight = learn.positive_weight
    return BoostedScorer(
        fit("regression", (learn.popularity, valid.popularity)),
        fit("binary", (learn.is_popular, valid.is_popular), scale_pos_weight=weight),
    )


def fit_network(
    space: FeatureSpace,
    learn: Labelled,
    valid: Labelled,
    params: NetworkParams,
    training: PopularityTrainingParams,
    seed: int,
    ticker: Ticker,
    store: Store | None = None,
) -> tuple[NetworkScorer, Trained]:
    """The LSTM of the epoch that does best on `valid`, and the history.

    Parameters
    ----------
    ticker : of `training.epochs` × the batches of `learn` steps.
    store : where checkpoints are kept; a run that was stopped goes on from there.
    """
    center, scale = float(learn.popularity.mean()), float(learn.popularity.std()) or 1.0
    sizes = (len(space.names), len(space.genres), len(space.words))
    network = make_network(sizes, learn.inputs.numbers, params, learn.positive_weight, seed)
    inputs = learn.inputs
    target = ((learn.popularity - center) / scale).astype(np.float32)
    columns = (inputs.numbers, inputs.genres, inputs.title, target, learn.is_popular.astype(np.float32))
    lengths = ((inputs.genres > 0).sum(1) + (inputs.title > 0).sum(1)).astype(np.int64)
    source = ArraySource(columns, training.batch_size, seed, lengths)
    config = {"kind": "popularity", "network": params.model_dump(mode="json"), "seed": seed, "rows": len(learn)}
    trained = train(network, source, training, ticker, _judge(valid, center, scale), store, config)
    return NetworkScorer(network, center, scale), trained


def _judge(valid: Labelled, center: float, scale: float) -> Judge:
    """R² of the popularity and the area under the ROC curve of popular or not, on the whole validation part."""

    def judge(model: object) -> tuple[dict[str, float], float]:
        assert isinstance(model, PopularityNetwork)
        made = network_scores(model, valid.inputs)
        count = len(valid)
        r2 = float(r2_score(valid.popularity, made[:, 0] * scale + center)) if np.ptp(valid.popularity) else 0.0
        # The loop takes the mean of sums over rows: figures of the whole part are given times its rows.
        return {"r2": r2 * count, "roc_auc": float(roc_auc_score(valid.is_popular, made[:, 1])) * count}, count

    return judge


def _log_loss(probabilities: Floats, valid: Labelled) -> float:
    """Weighted as in the fit."""
    inside = np.clip(probabilities, 1e-9, 1 - 1e-9)
    weights = np.where(valid.is_popular, valid.positive_weight, 1.0)
    losses = -np.where(valid.is_popular, np.log(inside), np.log1p(-inside))
    return float(np.average(losses, weights=weights))
