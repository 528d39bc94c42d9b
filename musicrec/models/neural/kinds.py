"""The next-track models there are, by their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from musicrec.models.neural.attention import AttentionModel, AttentionParams
from musicrec.models.neural.checkpoint import Weights
from musicrec.models.neural.lstm import LstmModel, LstmParams
from musicrec.models.neural.next_track import NextTrackModel, NextTrackParams, Places, vocabulary_of


@dataclass(frozen=True)
class Kind:
    """A kind of next-track model.

    Attributes
    ----------
    params : the class of its settings.
    make : the model of (n_items, settings, vocabulary).
    """

    params: type[NextTrackParams]
    make: Callable[..., NextTrackModel]


KINDS: Mapping[str, Kind] = {
    "lstm": Kind(LstmParams, LstmModel),
    "attention": Kind(AttentionParams, AttentionModel),
}


def make_model(n_items: int, params: NextTrackParams, seed: int, vocabulary: Places | None = None) -> NextTrackModel:
    """A model with weights drawn from `seed`; dropout and negatives then draw from the same generator.

    Parameters
    ----------
    n_items : size of the catalogue.
    params : of the kind that is wanted.
    vocabulary : see `NextTrackModel`.
    """
    torch.manual_seed(seed)
    for kind in KINDS.values():
        if isinstance(params, kind.params):
            return kind.make(n_items, params, vocabulary)
    raise TypeError(f"no next-track model has settings {type(params).__name__}")


def model_of_weights(weights: Weights, params: NextTrackParams) -> NextTrackModel:
    """The model that these weights are of; the random numbers of the process stay as they are."""
    state = torch.get_rng_state()
    model = make_model(len(weights["place_of"]), params, 0, vocabulary_of(weights))
    torch.set_rng_state(state)
    model.load_state_dict(weights)
    return model
