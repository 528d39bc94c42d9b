"""Probabilities that mean what they say, and the cut above which a track is called popular."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve

from musicrec.models.popularity.params import Calibration

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Scores are kept so far from 0 and 1, where the logarithm of their odds has no value.
_LEAST = 1e-6


@dataclass(frozen=True)
class Calibrator:
    """A rising function from scores to probabilities.

    Attributes
    ----------
    kind : `platt` (Platt 1999: a line over the log odds), `isotonic` (Zadrozny and Elkan 2002: steps), `none`.
    xs, ys : platt: (slope,) and (intercept,); isotonic: the corners, between which it is linear.
    """

    kind: Calibration
    xs: tuple[float, ...] = ()
    ys: tuple[float, ...] = ()

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities of scores between 0 and 1."""
        if self.kind == "none":
            return scores
        if self.kind == "isotonic":
            return np.interp(scores, self.xs, self.ys)
        return np.asarray(1 / (1 + np.exp(-(self.xs[0] * _log_odds(scores) + self.ys[0]))))

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, "xs": list(self.xs), "ys": list(self.ys)}

    @staticmethod
    def of_facts(facts: Mapping[str, Any]) -> Calibrator:
        """The calibrator that `facts` are of."""
        return Calibrator(facts["kind"], tuple(facts["xs"]), tuple(facts["ys"]))


def fit_calibrator(scores: Floats, is_popular: Flags, kind: Calibration) -> Calibrator:
    """Fitted on rows that the model did not learn from; `none` where they are all of one kind.

    Platt's targets are (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2), not 1 and 0, so that a small part does not overstate.
    """
    positives = int(is_popular.sum())
    if kind == "none" or positives in (0, len(is_popular)):
        return Calibrator("none")
    if kind == "isotonic":
        fitted = IsotonicRegression(out_of_bounds="clip").fit(scores, is_popular)
        return Calibrator(kind, tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))
    high, low = (positives + 1) / (positives + 2), 1 / (len(is_popular) - positives + 2)
    target = np.where(is_popular, high, low)
    # Each row twice, as popular and as not, weighted by the target: the same loss, of plain labels.
    odds = np.tile(_log_odds(scores), 2)[:, None]
    labels = np.repeat([True, False], len(scores))
    fitted = LogisticRegression(C=np.inf, tol=1e-8).fit(odds, labels, np.concatenate([target, 1 - target]))
    slope = float(fitted.coef_[0, 0])
    # A line that falls would turn the order round: then the scores say nothing.
    return Calibrator(
        kind, (max(slope, 0.0),), (float(fitted.intercept_[0]) if slope > 0 else _odds_of(positives, is_popular),)
    )


def best_cut(probabilities: Floats, is_popular: Flags) -> float:
    """The probability from which calling a track popular gives the highest F1; .5 where none is popular."""
    if not is_popular.any():
        return 0.5
    precision, recall, cuts = precision_recall_curve(is_popular, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(cuts[int(np.argmax(f1[:-1]))])


def _log_odds(scores: Floats) -> Floats:
    inside = np.clip(scores, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside / (1 - inside)))


def _odds_of(positives: int, is_popular: Flags) -> float:
    return float(np.log(positives / (len(is_popular) - positives)))
