"""The ranker's trees: lambdarank by LightGBM, kept as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from musicrec.errors import InputError, NonFiniteError, TooLittleError
from musicrec.models.ranker.names import feature_directions
from musicrec.models.ranker.params import RankerParams

Array = NDArray[Any]


@dataclass(frozen=True)
class Examples:
    """What a ranker learns from: listeners' candidates, one listener of one window after the other.

    Attributes
    ----------
    features : [candidates × features].
    labels : 1 where it was played in the window, else 0 [candidates].
    sizes : candidates of each listener [listeners].
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int8]
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class RankerModel:
    """A fitted ranker.

    Attributes
    ----------
    text : the trees as LightGBM writes them.
    features : the columns it was trained with.
    retrievers : whose lists they are made of.
    candidates : so many of the first of each list.
    """

    text: str
    features: tuple[str, ...]
    retrievers: tuple[str, ...]
    candidates: int

    def facts(self) -> dict[str, Any]:
        """What is kept as JSON."""
        return {
            "features": list(self.features),
            "retrievers": list(self.retrievers),
            "candidates": self.candidates,
            "trees": self.text,
        }

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any], where: object, features: Sequence[str]) -> RankerModel:
        """What was kept, if it has just these features.

        Raises
        ------
        InputError : it was trained with other features, or is no ranker.
        """
        try:
            own = RankerModel(
                str(facts["trees"]), tuple(facts["features"]), tuple(facts["retrievers"]), int(facts["candidates"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(where, "a saved ranker", f"no {error}") from error
        if own.features != tuple(features):
            missing = sorted(set(features) - set(own.features))
            other = sorted(set(own.features) - set(features))
            found = f"without {', '.join(missing) or 'none of them'}; with {', '.join(other) or 'no others'}"
            raise InputError(where, "a ranker trained with today's features", found)
        return own


def fit_ranker(examples: Examples, names: Sequence[str], params: RankerParams, seed: int) -> RankerModel:
    """Boosted trees that put what was played before what was not (LambdaMART).

    Burges, "From RankNet to LambdaRank to LambdaMART: An Overview", 2010; Ke et al., "LightGBM: A Highly Efficient
    Gradient Boosting Decision Tree", 2017. Rows in the same order and the same seed give the same trees.

    Raises
    ------
    TooLittleError : nothing was played, or everything was: there is no order to learn.
    NonFiniteError : a feature is NaN or infinite.
    """
    played = int(examples.labels.sum())
    if played in (0, len(examples.labels)):
        found = f"{played} played of {len(examples.labels)}"
        raise TooLittleError("the ranker's examples", "candidates that were played and others", found)
    if not np.isfinite(examples.features).all():
        raise NonFiniteError("the ranker's features hold NaN or infinity")
    settings = {
        "objective": "lambdarank",
        "num_leaves": params.leaves,
        "learning_rate": params.rate,
        "min_data_in_leaf": params.min_leaf,
        "min_sum_hessian_in_leaf": 1e-3,
        "feature_fraction": params.column_share,
        "bagging_fraction": params.row_share,
        "bagging_freq": 1,
        "lambda_l2": params.l2,
        "lambdarank_truncation_level": params.truncation,
        "label_gain": [0, 1],
        "deterministic": True,
        "force_col_wise": True,
        "seed": seed % 2**31,
        "num_threads": params.threads,
        "verbosity": -1,
    }
    if params.monotone:
        settings["monotone_constraints"] = feature_directions(names)
    rows = lightgbm.Dataset(
        examples.features, examples.labels, group=examples.sizes, feature_name=list(names), params={"verbosity": -1}
    )
    trees = lightgbm.train(settings, rows, num_boost_round=params.trees)
    return RankerModel(trees.model_to_string(), tuple(names), tuple(params.retrievers), params.candidates)


def gains(model: RankerModel) -> dict[str, float]:
    """What each feature's splits gained, as a share of all."""
    found = lightgbm.Booster(model_str=model.text).feature_importance("gain")
    total = max(float(found.sum()), 1e-12)
    return {name: float(gain) / total for name, gain in zip(model.features, found, strict=True)}
