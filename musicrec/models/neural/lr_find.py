"""The learning rate range test (Smith 2017, "Cyclical learning rates for training neural networks")."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain, count

import numpy as np
import torch
from torch import nn

from musicrec.errors import InputError
from musicrec.models.neural.processes import ALONE
from musicrec.models.neural.training import Objective, Source, copy_weights, make_optimiser
from musicrec.models.neural.training_params import TrainingParams

# The test ends where the loss is so many times the lowest: from there on it only grows.
_DIVERGED = 4.0
# Share of a new loss in the running mean.
_SMOOTH = 0.1


@dataclass(frozen=True)
class LrFound:
    """What a range test saw.

    Attributes
    ----------
    rates : learning rate of each step, rising by one factor.
    losses : running mean of the loss per event, free of the start's bias.
    suggested : the rate at which the loss falls steepest.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggested: float


def lr_find(
    objective: Objective,
    source: Source,
    params: TrainingParams,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
) -> LrFound:
    """Train with a rate that rises from `lowest` to `highest`; the model and the random numbers are put back after.

    Parameters
    ----------
    params : the optimiser, weight decay and clipping that the fit will have.
    steps : at most so many; epochs follow each other where one is shorter. It ends early once the loss has diverged.

    Raises
    ------
    InputError : the training set is empty, or no step gave a finite loss.
    """
    if source.steps() == 0:
        raise InputError("training set", "a row or more", "none")
    before, random = copy_weights(objective), torch.get_rng_state()
    device = ALONE.device()
    objective.to(device).train()
    optimiser = make_optimiser(objective, params)
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    batches = chain.from_iterable(source.batches(epoch) for epoch in count())
    for step in range(steps):
        rate = lowest * (highest / lowest) ** (step / max(steps - 1, 1))
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, events = objective(*(part.to(device) for part in next(batches)))
        loss = loss / events.clamp(min=1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if params.clip_norm:
            nn.utils.clip_grad_norm_(objective.parameters(), params.clip_norm)
        optimiser.step()
        mean = (1 - _SMOOTH) * mean + _SMOOTH * float(loss.detach())
        smooth = mean / (1 - (1 - _SMOOTH) ** (step + 1))
        if not math.isfinite(smooth) or (losses and smooth > _DIVERGED * min(losses)):
            break
        rates.append(rate)
        losses.append(smooth)
    objective.load_state_dict(before)
    torch.set_rng_state(random)
    if not losses:
        raise InputError("lr_find", f"a finite loss at a learning rate of {lowest}", "none")
    return LrFound(tuple(rates), tuple(losses), _steepest(rates, losses))


def _steepest(rates: list[float], losses: list[float]) -> float:
    """The rate of the steepest fall before the lowest loss."""
    lowest = int(np.argmin(losses))
    if lowest < 2:
        return rates[0]
    return rates[int(np.argmin(np.gradient(np.array(losses[: lowest + 1]))))]
