"""Self-attention next-track model (Kang and McAuley 2018, "Self-attentive sequential recommendation").

With what later work found to pay: a norm before each block, SwiGLU instead of ReLU, and a learnt bias by distance
instead of absolute places (Zhai et al. 2024, "Actions speak louder than words"), so a window's start does not matter.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from musicrec.models.neural.next_track import NextTrackModel, NextTrackParams, Places

NAME = "attention"


class AttentionParams(NextTrackParams):
    """The network's shape.

    Attributes
    ----------
    blocks : of attention and feed-forward.
    heads : of each attention; they divide `dim`.
    distance : plays further apart than this count as so far apart.
    """

    blocks: int = Field(default=2, ge=1)
    heads: int = Field(default=2, ge=1)
    distance: int = Field(default=200, ge=1)


class AttentionModel(NextTrackModel):
    """Blocks of causal attention over the plays; the state after a play sees that play and those before."""

    def __init__(self, n_items: int, params: AttentionParams, vocabulary: Places | None = None) -> None:
        super().__init__(n_items, params, vocabulary, params.dim)
        self.blocks = nn.ModuleList(Block(params) for _ in range(params.blocks))
        self.norm = nn.LayerNorm(params.dim)

    def encode(self, embedded: torch.Tensor, is_play: torch.Tensor) -> torch.Tensor:
        """Causal, and the plays stand in front, so the padding behind them is seen by no play."""
        states = embedded
        for block in self.blocks:
            states = block(states)
        dropped: torch.Tensor = self.dropout(self.norm(states))
        return dropped


class Block(nn.Module):
    """x + attention(norm(x)), then + SwiGLU(norm(.))."""

    def __init__(self, params: AttentionParams) -> None:
        super().__init__()
        dim = params.dim
        self.heads, self.dropout = params.heads, params.dropout
        self.norm_attention, self.norm_feed = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.queries_keys_values, self.joined = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.by_distance = nn.Parameter(torch.zeros(params.heads, params.distance + 1))
        # As many weights as a ReLU layer of 2 dim would have (Shazeer 2020).
        inner = 4 * dim // 3
        self.gate_and_value, self.back = nn.Linear(dim, 2 * inner), nn.Linear(inner, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, length, dim] → the same."""
        batch, length, dim = x.shape
        parts = self.queries_keys_values(self.norm_attention(x)).view(batch, length, 3, self.heads, -1)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=self._mask(length, x))
        x = x + self._drop(self.joined(seen.transpose(1, 2).reshape(batch, length, dim)))
        gate, value = self.gate_and_value(self.norm_feed(x)).chunk(2, dim=-1)
        return x + self._drop(self.back(functional.silu(gate) * value))

    def _mask(self, length: int, like: torch.Tensor) -> torch.Tensor:
        """[heads, length, length]: what is added to each score; minus infinity for what comes later."""
        place = torch.arange(length, device=like.device)
        distance = place[:, None] - place[None, :]
        bias = self.by_distance[:, distance.clamp(0, self.by_distance.shape[1] - 1)]
        return bias.masked_fill(distance < 0, float("-inf")).to(like.dtype)

    def _drop(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(x, self.dropout, self.training)
