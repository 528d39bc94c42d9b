"""A model of popularity as it is published: features, scorer, calibration and cut, saved and loaded as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.errors import NonFiniteError
from musicrec.models.neural.checkpoint import Weights
from musicrec.models.popularity.calibration import Calibrator, best_cut, fit_calibrator
from musicrec.models.popularity.features import FeatureSpace, Inputs
from musicrec.models.popularity.fit import Labelled
from musicrec.models.popularity.params import Calibration
from musicrec.models.popularity.scorers import Scorer, scorer_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """Of tracks.

    Attributes
    ----------
    popularity : float64 [tracks], within 0 to 100.
    score, probability : float64 [tracks], of popular, before and after calibration.
    """

    popularity: Floats
    score: Floats
    probability: Floats


@dataclass(frozen=True)
class PopularityModel:
    """What predicts.

    Attributes
    ----------
    kind : a name of `ModelName`.
    popular_from : the popularity from which a track is popular.
    cut : the probability from which a track is called popular.
    """

    kind: str
    space: FeatureSpace
    scorer: Scorer
    calibrator: Calibrator
    popular_from: float
    cut: float

    def predict(self, inputs: Inputs) -> Prediction:
        """Popularity and probability of each track.

        Raises
        ------
        NonFiniteError : one of them is not finite.
        """
        popularity, score = self.scorer.predict(self.space, inputs)
        probability = self.calibrator(score)
        if not (np.isfinite(popularity).all() and np.isfinite(probability).all()):
            raise NonFiniteError(f"popularity: the model {self.kind} gave a value that is not finite")
        return Prediction(np.clip(popularity, 0, 100), score, probability)

    def predict_tracks(self, tracks: pd.DataFrame) -> Prediction:
        """The same of rows with the columns of `FeatureSpace.inputs`."""
        return self.predict(self.space.inputs(tracks))

    def pack(self) -> tuple[Weights, dict[str, Any]]:
        """All of it as tensors and JSON."""
        facts = {
            "kind": self.kind,
            "features": self.space.facts(),
            "calibrator": self.calibrator.facts(),
            "popular_from": self.popular_from,
            "cut": self.cut,
            "scorer": self.scorer.facts(),
        }
        return self.scorer.weights(), facts


def unpack(weights: Weights, facts: Mapping[str, Any]) -> PopularityModel:
    """The model that was packed."""
    space = FeatureSpace.of_facts(facts["features"])
    scorer = scorer_of(facts["kind"], facts["scorer"], weights, space)
    calibrator = Calibrator.of_facts(facts["calibrator"])
    return PopularityModel(facts["kind"], space, scorer, calibrator, facts["popular_from"], facts["cut"])


def finished(
    kind: str, space: FeatureSpace, scorer: Scorer, valid: Labelled, popular_from: float, calibration: Calibration
) -> PopularityModel:
    """A fitted scorer with its calibration and its cut, both from the validation part."""
    _, scores = scorer.predict(space, valid.inputs)
    calibrator = fit_calibrator(scores, valid.is_popular, calibration)
    cut = best_cut(calibrator(scores), valid.is_popular)
    return PopularityModel(kind, space, scorer, calibrator, popular_from, cut)
