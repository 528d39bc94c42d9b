"""Figures of predicted popularity, with intervals by the bootstrap over artists.

- r2 = 1 − Σ(y − ŷ)² / Σ(y − ȳ)², with the mean ȳ of the judged tracks; mae = mean |y − ŷ|; spearman: the correlation
  of ranks, ties at their mean.
- accuracy, precision, recall and f1 of calling a track popular from the model's cut on; roc_auc; pr_auc: the average
  precision. `base_rate` is the share of popular tracks: the pr_auc of chance; always saying "not popular" has the
  accuracy 1 − base_rate.
- brier: mean (p − y)²; log_loss: mean −ln p(y); ece: the distance of the mean probability from the share of popular
  tracks over ten bins of equal width, weighted by their tracks (Naeini et al. 2015). `_raw`: before calibration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn import metrics

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_BINS = 10
_LEAST = 1e-9


@dataclass(frozen=True)
class Figure:
    """A figure and the ends of its interval; NaN-free: a figure that has no value is not made."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Judged:
    """Test tracks with what is known and what was predicted; sorted by artist, then track.

    Attributes
    ----------
    artists : int64 [tracks], numbers from 0 on without gaps.
    popularity, is_popular : what is known.
    predicted, score, probability : see `musicrec.models.popularity.model.Prediction`.
    cut : the probability from which a track is called popular.
    """

    artists: NDArray[np.int64]
    popularity: Floats
    is_popular: Flags
    predicted: Floats
    score: Floats
    probability: Floats
    cut: float


def figures(judged: Judged, resamples: int, seed: int, level: float = 0.95) -> dict[str, Figure]:
    """All figures of a model; those of `_weighted` with an interval where `resamples` is not 0."""
    made = {name: Figure(value) for name, value in {**popularity_figures(judged), **class_figures(judged)}.items()}
    if not resamples or not made:
        return made
    weighted = _weighted(judged)
    names = [name for name in weighted if name in made]
    rng = np.random.default_rng(seed)
    size = int(judged.artists.max()) + 1
    drawn = np.empty((resamples, len(names)))
    for draw in range(resamples):
        times = np.bincount(rng.integers(0, size, size), minlength=size)[judged.artists].astype(np.float64)
        drawn[draw] = [weighted[name](times) for name in names]
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    for place, name in enumerate(names):
        made[name] = Figure(made[name].value, float(low[place]), float(high[place]))
    return made


def popularity_figures(judged: Judged) -> dict[str, float]:
    """r2, mae and spearman; spearman is 0 where all predictions are the same, r2 where all popularities are."""
    known, predicted = judged.popularity, judged.predicted
    is_constant = np.ptp(known) == 0 or np.ptp(predicted) == 0
    spearman = 0.0 if is_constant else float(np.corrcoef(rankdata(known), rankdata(predicted))[0, 1])
    r2 = float(metrics.r2_score(known, predicted)) if np.ptp(known) else 0.0
    return {"r2": r2, "mae": float(metrics.mean_absolute_error(known, predicted)), "spearman": spearman}


def class_figures(judged: Judged) -> dict[str, float]:
    """Figures of popular or not; none where all test tracks are of one kind."""
    known, probability = judged.is_popular, judged.probability
    if known.all() or not known.any():
        return {}
    called = probability >= judged.cut
    return {
        "base_rate": float(known.mean()),
        "accuracy": float(metrics.accuracy_score(known, called)),
        "precision": float(metrics.precision_score(known, called, zero_division=0)),
        "recall": float(metrics.recall_score(known, called)),
        "f1": float(metrics.f1_score(known, called, zero_division=0)),
        "roc_auc": float(metrics.roc_auc_score(known, probability)),
        "pr_auc": float(metrics.average_precision_score(known, probability)),
        **_reliability(known, probability, ""),
        **_reliability(known, judged.score, "_raw"),
    }


def calibration_error(is_popular: Flags, probability: Floats) -> float:
    """The expected calibration error over ten bins of equal width."""
    bins = np.minimum((probability * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(bins, probability, _BINS) - np.bincount(bins, is_popular, _BINS)
    return float(np.abs(gaps).sum() / len(probability))


def _reliability(known: Flags, probability: Floats, suffix: str) -> dict[str, float]:
    inside = np.clip(probability, _LEAST, 1 - _LEAST)
    return {
        f"brier{suffix}": float(np.square(probability - known).mean()),
        f"log_loss{suffix}": float(metrics.log_loss(known, inside)),
        f"ece{suffix}": calibration_error(known, probability),
    }


def _weighted(judged: Judged) -> dict[str, Callable[[Floats], float]]:
    """Figures as functions of how often each track was drawn. Ranks stay those of all test tracks."""
    known, predicted = judged.popularity, judged.predicted
    ranks = (rankdata(known), rankdata(predicted))
    order = np.argsort(-judged.probability, kind="stable")
    sorted_scores, positive = judged.probability[order], judged.is_popular[order].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(sorted_scores)), len(order) - 1)

    def r2(times: Floats) -> float:
        mean = np.average(known, weights=times)
        spread = float(times @ np.square(known - mean))
        return 1 - float(times @ np.square(known - predicted)) / spread if spread else 0.0

    def counts(times: Floats) -> tuple[Floats, Floats]:
        own = times[order]
        return np.cumsum(own * positive)[ends], np.cumsum(own * (1 - positive))[ends]

    def roc_auc(times: Floats) -> float:
        hits, misses = counts(times)
        area = np.trapezoid if hasattr(np, "trapezoid") else np.trapz
        return float(area(np.append(0, hits), np.append(0, misses)) / (hits[-1] * misses[-1]))

    def pr_auc(times: Floats) -> float:
        hits, misses = counts(times)
        return float((np.diff(hits, prepend=0) * hits / np.maximum(hits + misses, _LEAST)).sum() / hits[-1])

    return {
        "r2": r2,
        "mae": lambda times: float(np.average(np.abs(known - predicted), weights=times)),
        "spearman": lambda times: _weighted_correlation(*ranks, times),
        "roc_auc": roc_auc,
        "pr_auc": pr_auc,
    }


def _weighted_correlation(left: Floats, right: Floats, weights: Floats) -> float:
    first, second = (values - np.average(values, weights=weights) for values in (left, right))
    spread = float(np.sqrt((weights @ np.square(first)) * (weights @ np.square(second))))
    return float(weights @ (first * second)) / spread if spread else 0.0
