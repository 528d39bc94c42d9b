"""The models as they predict: popularity, a score of popular or not, and what each group of features adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import lightgbm as lgb
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from musicrec.models.neural.checkpoint import Weights
from musicrec.models.popularity.features import GENRES, TITLE, FeatureSpace, Inputs
from musicrec.models.popularity.network import PopularityNetwork, network_of_weights
from musicrec.models.popularity.params import NetworkParams

Floats = NDArray[np.float64]

# Rows in a pass through the network.
_ROWS = 4096


class Scorer(Protocol):
    """A fitted model; popularity is 0 to 100, scores are between 0 and 1 and not yet calibrated."""

    def predict(self, space: FeatureSpace, inputs: Inputs) -> tuple[Floats, Floats]:
        """(popularity [tracks], score of popular [tracks])."""

    def contributions(self, space: FeatureSpace, inputs: Inputs) -> Floats:
        """[tracks, groups]: what each group of features adds to the predicted popularity."""

    def facts(self) -> dict[str, Any]:
        """What is not a tensor, as JSON."""

    def weights(self) -> Weights:
        """The tensors."""


@dataclass(frozen=True)
class MeanScorer:
    """Says the same of every track: the mean, and the share of popular tracks."""

    popularity: float
    share: float

    def predict(self, space: FeatureSpace, inputs: Inputs) -> tuple[Floats, Floats]:
        """See `Scorer`."""
        return np.full(len(inputs), self.popularity), np.full(len(inputs), self.share)

    def contributions(self, space: FeatureSpace, inputs: Inputs) -> Floats:
        """Nothing adds anything."""
        return np.zeros((len(inputs), len(space.groups)))

    def facts(self) -> dict[str, Any]:
        """See `Scorer`."""
        return {"popularity": self.popularity, "share": self.share}

    def weights(self) -> Weights:
        """None."""
        return {}


@dataclass(frozen=True)
class LinearScorer:
    """Ridge for the popularity, logistic regression for popular or not, over numbers and genres.

    Attributes
    ----------
    ridge, logistic : float64 [columns + 1], the intercept last.
    means : of the columns on the training side: a contribution is told from these.
    """

    ridge: Floats
    logistic: Floats
    means: Floats

    def predict(self, space: FeatureSpace, inputs: Inputs) -> tuple[Floats, Floats]:
        """See `Scorer`."""
        design = space.design(inputs, with_words=False)
        logits = design @ self.logistic[:-1] + self.logistic[-1]
        return design @ self.ridge[:-1] + self.ridge[-1], 1 / (1 + np.exp(-logits))

    def contributions(self, space: FeatureSpace, inputs: Inputs) -> Floats:
        """Coefficient times the distance from the mean."""
        design = space.design(inputs, with_words=False).toarray()
        return space.sum_by_group((design - self.means) * self.ridge[:-1])

    def facts(self) -> dict[str, Any]:
        """None."""
        return {}

    def weights(self) -> Weights:
        """See `Scorer`."""
        return {name: torch.from_numpy(getattr(self, name)) for name in ("ridge", "logistic", "means")}


@dataclass(frozen=True)
class BoostedScorer:
    """LightGBM's trees over numbers, genres and words; kept as its text."""

    popularity: str
    popular: str

    @cached_property
    def _boosters(self) -> tuple[lgb.Booster, lgb.Booster]:
        return lgb.Booster(model_str=self.popularity), lgb.Booster(model_str=self.popular)

    def predict(self, space: FeatureSpace, inputs: Inputs) -> tuple[Floats, Floats]:
        """See `Scorer`."""
        design = space.design(inputs)
        popularity, score = (np.asarray(own.predict(design, num_threads=1)) for own in self._boosters)
        return popularity, score

    def contributions(self, space: FeatureSpace, inputs: Inputs) -> Floats:
        """SHAP values of the trees (Lundberg et al. 2020, "From local explanations to global understanding")."""
        made = self._boosters[0].predict(space.design(inputs), pred_contrib=True, num_threads=1)
        return space.sum_by_group(sparse.csr_matrix(made).toarray()[:, :-1])

    def facts(self) -> dict[str, Any]:
        """The trees."""
        return {"trees_of_popularity": self.popularity, "trees_of_popular": self.popular}

    def weights(self) -> Weights:
        """None."""
        return {}


@dataclass(frozen=True)
class NetworkScorer:
    """The LSTM; `center` and `scale` bring its output back to 0-100."""

    network: PopularityNetwork
    center: float
    scale: float

    def predict(self, space: FeatureSpace, inputs: Inputs) -> tuple[Floats, Floats]:
        """See `Scorer`."""
        made = network_scores(self.network, inputs)
        return made[:, 0] * self.scale + self.center, 1 / (1 + np.exp(-made[:, 1]))

    def contributions(self, space: FeatureSpace, inputs: Inputs) -> Floats:
        """What the prediction loses when a group says nothing: a number is its mean, the genres or title are empty."""
        whole, _ = self.predict(space, inputs)
        return np.column_stack([whole - self.predict(space, without(space, inputs, name))[0] for name in space.groups])

    def facts(self) -> dict[str, Any]:
        """See `Scorer`."""
        return {"network": self.network.params.model_dump(mode="json"), "center": self.center, "scale": self.scale}

    def weights(self) -> Weights:
        """See `Scorer`."""
        return self.network.state_dict()


@dataclass(frozen=True)
class BlendScorer:
    """The mean of two models."""

    first: BoostedScorer
    second: NetworkScorer

    def predict(self, space: FeatureSpace, inputs: Inputs) -> tuple[Floats, Floats]:
        """See `Scorer`; scores are the mean of the log odds."""
        (one, score), (two, other) = (part.predict(space, inputs) for part in (self.first, self.second))
        odds = (np.log(score) - np.log1p(-score) + np.log(other) - np.log1p(-other)) / 2
        return (one + two) / 2, 1 / (1 + np.exp(-odds))

    def contributions(self, space: FeatureSpace, inputs: Inputs) -> Floats:
        """The mean of theirs."""
        return (self.first.contributions(space, inputs) + self.second.contributions(space, inputs)) / 2

    def facts(self) -> dict[str, Any]:
        """See `Scorer`."""
        return self.first.facts() | self.second.facts()

    def weights(self) -> Weights:
        """See `Scorer`."""
        return self.second.weights()


def scorer_of(kind: str, facts: Mapping[str, Any], weights: Weights, space: FeatureSpace) -> Scorer:
    """The model of a kind that facts and weights are of."""
    if kind == "mean":
        return MeanScorer(facts["popularity"], facts["share"])
    if kind == "ridge":
        return LinearScorer(*(weights[name].numpy() for name in ("ridge", "logistic", "means")))
    if kind == "boosted":
        return BoostedScorer(facts["trees_of_popularity"], facts["trees_of_popular"])
    sizes = (len(space.names), len(space.genres), len(space.words))
    network = network_of_weights(dict(weights), sizes, NetworkParams(**facts["network"]))
    neural = NetworkScorer(network, facts["center"], facts["scale"])
    return neural if kind == "lstm" else BlendScorer(scorer_of("boosted", facts, {}, space), neural)  # type: ignore[arg-type]


@torch.no_grad()
def network_scores(network: PopularityNetwork, inputs: Inputs) -> Floats:
    """[tracks, 2] of `PopularityNetwork.scores`, without dropout."""
    network.eval()
    device = next(network.parameters()).device
    columns = [torch.from_numpy(column) for column in (inputs.numbers, inputs.genres, inputs.title)]
    parts = [
        network.scores(*(column[at : at + _ROWS].to(device) for column in columns)).cpu()
        for at in range(0, len(inputs), _ROWS)
    ]
    return np.asarray(torch.cat(parts).double().numpy()) if parts else np.zeros((0, 2))


def without(space: FeatureSpace, inputs: Inputs, group: str) -> Inputs:
    """The same tracks, of which one group of features says nothing."""
    if group == GENRES:
        return replace(inputs, genres=np.zeros_like(inputs.genres))
    if group == TITLE:
        return replace(inputs, title=np.zeros_like(inputs.title))
    numbers = inputs.numbers.copy()
    numbers[:, space.names.index(group)] = 0.0
    return replace(inputs, numbers=numbers)
