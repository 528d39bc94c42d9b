"""Losses of next-track models: the softmax over the whole vocabulary, or samples that stand for it."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional

from musicrec.models.neural.auto import AUTO, FromZeroOrAuto
from musicrec.models.neural.whole_softmax import WholeSoftmax
from musicrec.params import Params

# Scores held at a time where all items are scored: 64 MB of float32.
_SCORES = 1 << 24


def rows_at_a_time(size: int) -> int:
    """How many events can be scored against `size` items at once: the scores of all of them would not fit."""
    return max(_SCORES // max(size, 1), 1)


class LossParams(Params):
    """What the right item is compared with.

    Attributes
    ----------
    negatives : items that each step's loss compares the right ones with, one draw for the step; 0 for all items; auto
        for what the amount of data affords (musicrec/models/neural/plan.py).
    uniform_share : share of the negatives that are drawn uniformly; the others by popularity, p(k) ~ 1 / (k + 1) for
        the k-th most played (Zipf's law).
    correction : of the sampled loss. `logq`: softmax in which a negative counts 1 / (its expected number of draws),
        so that the sum is that of all items in the mean (Bengio and Senécal 2008; Yi et al. 2019). `gbce`: binary
        cross-entropy in which the right item's probability is raised to a power beta that takes back the
        overconfidence that few negatives teach (Petrov and Macdonald 2023, "gSASRec").
    calibration : t of gBCE: 0 is the plain binary cross-entropy, 1 a fully calibrated one.
    label_smoothing : of the whole softmax.
    """

    negatives: FromZeroOrAuto = AUTO
    uniform_share: float = Field(default=0.25, ge=0, le=1)
    correction: Literal["logq", "gbce"] = "logq"
    calibration: float = Field(default=0.75, ge=0, le=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    @property
    def drawn(self) -> int:
        """`negatives` as a number: all items where no plan has said otherwise."""
        return 0 if self.negatives == AUTO else self.negatives


def full_loss(
    states: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor, smoothing: float = 0.0
) -> torch.Tensor:
    """Summed cross-entropy over the whole vocabulary.

    Parameters
    ----------
    states : [events, dim].
    targets : int [events], places in the vocabulary.
    weights, bias : of the output, [vocabulary, dim] and [vocabulary].
    """
    if torch.is_grad_enabled() and states.device.type == "cpu" and not smoothing:
        made: torch.Tensor = WholeSoftmax.apply(states, targets, weights, bias)  # type: ignore[no-untyped-call]
        return made
    loss = torch.zeros((), device=states.device)
    rows = rows_at_a_time(len(bias))
    for part, expected in zip(states.split(rows), targets.split(rows), strict=True):  # type: ignore[no-untyped-call]
        scores = functional.linear(part, weights, bias)
        loss = loss + functional.cross_entropy(scores.float(), expected, reduction="sum", label_smoothing=smoothing)
    return loss


def sampled_loss(
    states: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor, params: LossParams
) -> torch.Tensor:
    """Summed loss against `params.drawn` items, the same for all events; see `LossParams` for its kinds.

    A negative that is the target itself is left out. Shapes as in `full_loss`.
    """
    size = len(bias)
    drawn, share = draw_negatives(size, params, states.device)
    own = (states * weights[targets]).sum(1) + bias[targets]
    others = functional.linear(states, weights[drawn], bias[drawn]).float()
    is_own = drawn[None, :] == targets[:, None]
    if params.correction == "logq":
        # Each of the n negatives counts exp(score) / (n q): in the mean the softmax's sum over all but the target.
        others = (others - torch.log(params.drawn * share).float()).masked_fill(is_own, float("-inf"))
        own = own.float()
        return (torch.logsumexp(torch.cat([own[:, None], others], dim=1), dim=1) - own).sum()
    beta = _gbce_power(params.drawn, size, params.calibration)
    # -log(1 - sigmoid(s)) = softplus(s); -log(sigmoid(s) ** beta) = beta softplus(-s).
    against = functional.softplus(others.masked_fill(is_own, float("-inf"))).sum()
    return beta * functional.softplus(-own.float()).sum() + against


def draw_negatives(size: int, params: LossParams, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """`params.drawn` places of the vocabulary, with replacement, and the probability of each.

    A share of them is uniform; the others have p(k) = ln((k + 2) / (k + 1)) / ln(size + 1) for place k: Zipf's law
    over places, which stand by plays.
    """
    draw = torch.rand(2, params.drawn, device=device, dtype=torch.float64)
    popular = (torch.exp(draw[0] * math.log(size + 1)).long() - 1).clamp(0, size - 1)
    uniform = (draw[0] * size).long().clamp(0, size - 1)
    drawn = torch.where(draw[1] < params.uniform_share, uniform, popular)
    zipf = torch.log1p(1.0 / (drawn.double() + 1.0)) / math.log(size + 1)
    return drawn, params.uniform_share / size + (1 - params.uniform_share) * zipf


def _gbce_power(negatives: int, size: int, calibration: float) -> float:
    """beta = alpha (t (1 - 1 / alpha) + 1 / alpha), alpha = negatives / (size - 1)."""
    alpha = min(negatives / max(size - 1, 1), 1.0)
    return alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
