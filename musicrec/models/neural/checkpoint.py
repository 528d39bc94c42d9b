"""The state of a training run as named tensors and JSON, so that it can stop anywhere and go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from musicrec.errors import InputError
from musicrec.models.neural.processes import Processes

Weights = dict[str, torch.Tensor]


class Store(Protocol):
    """Where checkpoints are kept (musicrec.io.checkpoints has one of files)."""

    def save(self, tensors: Weights, facts: Mapping[str, Any]) -> None:
        """Keep a checkpoint in place of the last one, whole or not at all."""

    def load(self) -> tuple[Weights, dict[str, Any]] | None:
        """The last checkpoint; None where there is none."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave.

    Attributes
    ----------
    train_loss : mean loss of its events.
    figures : the judge's means on the validation set; empty where nothing was held out.
    sequences, events : rows passed over, and places (or pairs) predicted in them.
    seconds : of training and judging.
    waited : share of the training's seconds in which no batch was ready.
    """

    epoch: int
    train_loss: float
    figures: dict[str, float]
    sequences: int
    events: int
    seconds: float
    waited: float


@dataclass
class Progress:
    """How far a run has come, and what it has seen of the epoch that it is in.

    Attributes
    ----------
    epoch, step : the next batch to take; the step counts within the epoch.
    totals : [loss, events, sequences] of the epoch so far, over all trainers.
    seconds, waited : spent on the epoch so far, and spent waiting for batches.
    best, best_epoch : the highest value of the metric, and the epoch it was of (None and -1: none yet).
    history : of the epochs that are over.
    """

    epoch: int = 0
    step: int = 0
    totals: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    seconds: float = 0.0
    waited: float = 0.0
    best: float | None = None
    best_epoch: int = -1
    history: list[Epoch] = field(default_factory=list)


@dataclass
class Parts:
    """What a checkpoint is made of and restores, beside the progress."""

    objective: nn.Module
    optimiser: Optimizer
    scheduler: LRScheduler
    scaler: GradScaler
    best_weights: Weights

    def pack(self, progress: Progress, config: Mapping[str, Any], processes: Processes) -> tuple[Weights, Any]:
        """All of it as tensors and JSON. Every trainer must call it, since each has its own random numbers."""
        optimiser = self.optimiser.state_dict()
        tensors = {f"model.{name}": value for name, value in self.objective.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best_weights.items()}
        for number, values in optimiser["state"].items():
            tensors |= {f"optimiser.{number}.{name}": torch.as_tensor(value) for name, value in values.items()}
        device = next(self.objective.parameters()).device
        tensors["rng.cpu"] = processes.stacked(torch.get_rng_state().to(device))
        if device.type == "cuda":
            tensors["rng.cuda"] = processes.stacked(torch.cuda.get_rng_state(device).to(device))
        facts = {
            "config": dict(config),
            "progress": asdict(progress),
            "groups": optimiser["param_groups"],
            "scheduler": {name: value for name, value in self.scheduler.state_dict().items() if _is_plain(value)},
            "scaler": self.scaler.state_dict(),
            "world": processes.world,
        }
        # A copy: what is packed must not move on with the training.
        return {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}, facts

    def unpack(self, tensors: Weights, facts: Mapping[str, Any], processes: Processes) -> Progress:
        """Put a packed state back, random numbers included; returns how far it had come."""
        self.objective.load_state_dict(_under(tensors, "model"))
        self.best_weights = _under(tensors, "best")
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _under(tensors, "optimiser").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = value
        self.optimiser.load_state_dict({"state": state, "param_groups": facts["groups"]})
        self.scheduler.load_state_dict(dict(facts["scheduler"]))
        self.scaler.load_state_dict(facts["scaler"])
        torch.set_rng_state(tensors["rng.cpu"][processes.rank])
        if "rng.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["rng.cuda"][processes.rank], processes.device())
        progress = dict(facts["progress"])
        return Progress(**{**progress, "history": [Epoch(**epoch) for epoch in progress["history"]]})


def check_same_run(facts: Mapping[str, Any], config: Mapping[str, Any], world: int) -> None:
    """A checkpoint can only be gone on from by the run that it is of.

    Raises
    ------
    InputError : it is of another configuration or catalogue, or of another number of trainers.
    """
    found = {**facts["config"], "trainers": facts["world"]}
    for name, value in {**config, "trainers": world}.items():
        if found.get(name) != value:
            raise InputError("checkpoint", f"one of {name} = {value}", f"{found.get(name)}; remove it to start afresh")


def _under(tensors: Weights, first: str) -> Weights:
    return {name.removeprefix(f"{first}."): value for name, value in tensors.items() if name.startswith(f"{first}.")}


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str | list | tuple | type(None))
