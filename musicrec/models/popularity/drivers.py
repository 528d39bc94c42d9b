"""What a model's predictions hang on, on tracks that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from musicrec.models.popularity.features import Inputs
from musicrec.models.popularity.model import PopularityModel
from musicrec.models.popularity.reasons import permutation_importance

_REPEATS = 5
# So many tracks are enough: each feature is predicted from anew, as often.
_MOST = 2000


@dataclass(frozen=True)
class Driver:
    """A feature.

    Attributes
    ----------
    r2_lost, deviation : mean and standard deviation, over the shuffles, of the R² that is lost.
    mean_points : mean of the points that it adds to or takes from a prediction.
    """

    feature: str
    r2_lost: float
    deviation: float
    mean_points: float


def drivers(model: PopularityModel, test: pd.DataFrame, seed: int) -> list[Driver]:
    """The features by how much R² on `test`, of which 2,000 are drawn where there are more, hangs on them, most first.

    Parameters
    ----------
    test : tracks with a popularity, that the model did not learn from.
    """
    ordered = test.sort_values("track_id")
    if len(ordered) > _MOST:
        drawn = np.random.default_rng(seed).choice(len(ordered), _MOST, replace=False)
        ordered = ordered.iloc[np.sort(drawn)]
    inputs = model.space.inputs(ordered)
    known = ordered["popularity"].to_numpy(dtype=np.float64)
    spread = float(np.var(known)) or 1.0

    def loss(own: Inputs) -> float:
        return float(np.square(model.predict(own).popularity - known).mean()) / spread

    lost = permutation_importance(model.space, inputs, loss, _REPEATS, seed)
    points = np.abs(model.scorer.contributions(model.space, inputs)).mean(0)
    found = [
        Driver(name, round(float(own.mean()), 5), round(float(own.std()), 5), round(float(points[place]), 3))
        for place, (name, own) in enumerate(lost.items())
    ]
    return sorted(found, key=lambda driver: (-driver.r2_lost, driver.feature))
