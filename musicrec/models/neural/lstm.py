"""LSTM next-track model (Hidasi et al. 2016, "Session-based recommendations with recurrent neural networks")."""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import Field
from torch import nn

from musicrec.models.neural.next_track import NextTrackModel, NextTrackParams, Places

NAME = "lstm"


class LstmParams(NextTrackParams):
    """The network's shape.

    Attributes
    ----------
    hidden : width of each LSTM layer; one layer of width `dim` where empty.
    residual : a layer's input is added to its output where they are as wide, and the play's embedding to what is
        projected to its width: with a tied output, what is like the last play starts ahead.
    """

    hidden: tuple[int, ...] = Field(default=())
    residual: bool = False


class LstmModel(NextTrackModel):
    """LSTM layers over the plays. With a tied output, a last one of another width than `dim` is projected to `dim`."""

    def __init__(self, n_items: int, params: LstmParams, vocabulary: Places | None = None) -> None:
        widths = (params.dim, *(params.hidden or (params.dim,)))
        super().__init__(n_items, params, vocabulary, params.dim if params.tied else widths[-1])
        self.layers = nn.ModuleList(nn.LSTM(before, after, batch_first=True) for before, after in pairwise(widths))
        self.residual = params.residual
        self.project = None
        if params.tied and widths[-1] != params.dim:
            self.project = nn.Linear(widths[-1], params.dim)

    def encode(self, embedded: torch.Tensor, is_play: torch.Tensor) -> torch.Tensor:
        """One direction, from the first play on, so the padding behind the plays changes nothing before it."""
        states = embedded
        for number, layer in enumerate(self.layers):
            made = self.dropout(layer(states)[0]) if number else layer(states)[0]
            states = made + states if self.residual and made.shape == states.shape else made
        if self.project is not None:
            states = self.project(self.dropout(states))
            states = states + embedded if self.residual else states
        dropped: torch.Tensor = self.dropout(states)
        return dropped
