"""The one PyTorch training loop."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn

from musicrec.errors import NonFiniteError
from musicrec.logs import Ticker
from musicrec.params import Params

IntArray = npt.NDArray[np.int32]
Weights = dict[str, torch.Tensor]

# (items int [batch, length], first_target int [batch]) of one epoch; the argument is the epoch, from 0.
Batches = Callable[[int], Iterator[tuple[IntArray, IntArray]]]


class TrainingParams(Params):
    """How long and how fast to learn.

    Attributes
    ----------
    epochs : at most this many passes over the windows.
    batch_size : windows in a step.
    learning_rate, weight_decay : of AdamW.
    clip_norm : gradients are scaled down to this norm.
    patience : stop when the validation loss has not improved for this many epochs.
    max_windows : an epoch passes over about this many windows, drawn by hash and anew for each night, and validates
        on at most as many; 0 for all.
    refresh_epochs : where there is a model of an earlier night with the same settings, start from it and run so many
        epochs; 0 to start afresh each night.
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    patience: int = Field(default=3, ge=1)
    max_windows: int = Field(default=0, ge=0)
    refresh_epochs: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave; the validation figures are NaN where nothing was held out."""

    epoch: int
    train_loss: float
    valid_loss: float
    valid_accuracy: float
    events: int
    seconds: float


@dataclass(frozen=True)
class Trained:
    """The weights of the best epoch (the last, where nothing was held out) and the history."""

    weights: Weights
    best_epoch: int
    history: tuple[Epoch, ...]


class NextItemLoss(nn.Module):
    """A model with its loss: (items, first_target) → summed loss, right guesses and number of places predicted."""

    def forward(self, items: torch.Tensor, first_target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Implemented by each model."""
        raise RuntimeError("a model must say how it is trained")


def device_for_training() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(
    model: NextItemLoss,
    train_batches: Batches,
    valid_batches: Batches | None,
    params: TrainingParams,
    ticker: Ticker,
    on_best: Callable[[int, Weights], None] | None = None,
) -> Trained:
    """Minimise the mean loss per event; keep the weights of the epoch with the lowest validation loss.

    Without `valid_batches` all `params.epochs` are run and the last weights are kept. `on_best` is called with the
    epoch and weights whenever they become the best so far.

    Raises
    ------
    NonFiniteError : the loss became NaN or infinite; what `on_best` was given last still holds.
    """
    device = device_for_training()
    model.to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
    best_loss, best_epoch, best_weights = float("inf"), -1, _copy_weights(model)
    history: list[Epoch] = []

    for epoch in range(params.epochs):
        started = time.perf_counter()
        train_loss, events = _train_epoch(model, train_batches(epoch), optimiser, params.clip_norm, device)
        if not np.isfinite(train_loss):
            raise NonFiniteError(f"training: the loss is {train_loss} in epoch {epoch}; lower the learning rate")
        valid_loss, accuracy = evaluate(model, valid_batches(epoch), device) if valid_batches else (np.nan, np.nan)
        seconds = time.perf_counter() - started
        history.append(Epoch(epoch, train_loss, valid_loss, accuracy, events, seconds))
        ticker.step(loss=train_loss, valid_loss=valid_loss, accuracy=accuracy, events_per_s=round(events / seconds))

        if valid_batches is None or valid_loss < best_loss:
            best_loss, best_epoch, best_weights = valid_loss, epoch, _copy_weights(model)
            if on_best:
                on_best(epoch, best_weights)
        elif epoch - best_epoch >= params.patience:
            break
    model.load_state_dict(best_weights)
    return Trained(best_weights, best_epoch, tuple(history))


def _train_epoch(
    model: NextItemLoss,
    batches: Iterator[tuple[IntArray, IntArray]],
    optimiser: torch.optim.Optimizer,
    clip_norm: float,
    device: torch.device,
) -> tuple[float, int]:
    model.train()
    total_loss, total_events = 0.0, 0
    for items, first_target in batches:
        loss, _, events = model(torch.from_numpy(items).to(device), torch.from_numpy(first_target).to(device))
        optimiser.zero_grad(set_to_none=True)
        (loss / max(events, 1)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimiser.step()
        total_loss += float(loss.detach())
        total_events += events
    return total_loss / max(total_events, 1), total_events


@torch.no_grad()
def evaluate(
    model: NextItemLoss, batches: Iterator[tuple[IntArray, IntArray]], device: torch.device
) -> tuple[float, float]:
    """(mean loss, share of right first guesses) per predicted place; (NaN, NaN) where there is none."""
    model.eval()
    total_loss, total_right, total_events = 0.0, 0, 0
    for items, first_target in batches:
        loss, right, events = model(torch.from_numpy(items).to(device), torch.from_numpy(first_target).to(device))
        total_loss += float(loss)
        total_right += int(right)
        total_events += events
    if total_events == 0:
        return float("nan"), float("nan")
    return total_loss / total_events, total_right / total_events


def _copy_weights(model: nn.Module) -> Weights:
    return copy.deepcopy({name: tensor.detach().cpu() for name, tensor in model.state_dict().items()})
