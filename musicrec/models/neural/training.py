"""The one PyTorch training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import AdamW, Optimizer
from torch.optim.adagrad import Adagrad
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR

from musicrec.errors import InputError
from musicrec.logs import Ticker
from musicrec.models.neural.checkpoint import Epoch, Parts, Progress, Store, Weights, check_same_run
from musicrec.models.neural.meter import Batch, Meter
from musicrec.models.neural.processes import ALONE, Processes
from musicrec.models.neural.training_params import TrainingParams

# The loss is looked at, and the progress shown, each so many steps: a look waits for the GPU.
_LOOK_STEPS = 25


class Source(Protocol):
    """The batches of an epoch. The same epoch gives the same ones, from whichever step it is read."""

    def steps(self) -> int:
        """Batches in an epoch; the same for all trainers."""

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The epoch's batches from number `start` on, as CPU tensors; the first dimension is the rows."""


# A model with its loss: called with a batch → (summed loss, number of events), both scalars.
Objective = nn.Module
# (sums by name, number of events) of this trainer's part of the validation set; means are taken over all trainers.
Judge = Callable[[nn.Module], tuple[dict[str, float], float]]


@dataclass(frozen=True)
class Trained:
    """The weights of the best epoch (the last, where nothing was held out), the history, the weights after the last."""

    weights: Weights
    best_epoch: int
    history: tuple[Epoch, ...]
    last_weights: Weights


def train(
    objective: Objective,
    source: Source,
    params: TrainingParams,
    ticker: Ticker,
    judge: Judge | None = None,
    store: Store | None = None,
    config: Mapping[str, Any] | None = None,
    processes: Processes = ALONE,
) -> Trained:
    """Minimise the mean loss per event; keep the weights of the epoch with the highest metric.

    Where `store` holds a checkpoint, the run goes on from it, to the same weights as if it had never stopped (bit for
    bit on a CPU with as many threads). Without `judge` all epochs are run and the last weights kept.

    Parameters
    ----------
    objective : the model with its loss; called with a batch it gives (summed loss, events).
    source : the training batches.
    ticker : of `params.epochs * source.steps()` steps.
    config : what a checkpoint must have been made with to be gone on from: settings, seed and size of the catalogue.

    Raises
    ------
    NonFiniteError : the loss became NaN or infinite; the last checkpoint is of before that.
    InputError : the checkpoint is of another configuration, the training set is empty, or the judge has no such metric.
    """
    steps = source.steps()
    if steps == 0:
        raise InputError("training set", "a row or more", "none")
    device = processes.device()
    objective.to(device)
    optimiser = make_optimiser(objective, params)
    precision, scaler = _precision(params, device)
    parts = Parts(objective, optimiser, make_schedule(optimiser, params, steps), scaler, copy_weights(objective))
    config = {"training": params.model_dump(mode="json"), "steps": steps, **(config or {})}

    saved = store.load() if store else None
    done = Progress()
    if saved is not None:
        check_same_run(saved[1], config, processes.world)
        done = parts.unpack(*saved, processes)
        ticker.skip(done.epoch * steps + done.step, resumed_at_epoch=done.epoch)
    model = processes.wrap(objective, device)

    while done.epoch < params.epochs and not _is_over(done, params):
        model.train()
        meter = Meter(done, processes, device)
        batches = source.batches(done.epoch, done.step)
        for step in range(done.step + 1, steps + 1):
            batch = meter.wait_for(batches)
            with precision():
                loss, events = model(*batch)
            of_all = meter.count(loss, events, len(batch[0]))
            # DDP takes the mean over the trainers, and this the sum over all events.
            scaler.scale(loss * (processes.world / of_all[1].clamp(min=1)).to(loss.dtype)).backward()
            if params.clip_norm:
                scaler.unscale_(optimiser)
                nn.utils.clip_grad_norm_(objective.parameters(), params.clip_norm)
            scaler.step(optimiser)
            scaler.update()
            optimiser.zero_grad(set_to_none=True)
            parts.scheduler.step()

            is_due = params.checkpoint_steps > 0 and step % params.checkpoint_steps == 0 and step < steps
            if is_due or step % _LOOK_STEPS == 0 or step == steps:
                meter.look(step, ticker)
            if is_due:
                _keep(store, parts, done, config, processes)

        figures = _judged(objective, judge, processes, params)
        epoch = meter.close(figures)
        ticker.tell(epoch=epoch.epoch, loss=epoch.train_loss, **figures, waited=epoch.waited)
        if not judge or done.best is None or figures[params.metric] > done.best:
            done.best, done.best_epoch = figures.get(params.metric), epoch.epoch
            parts.best_weights = copy_weights(objective)
        _keep(store, parts, done, config, processes)

    last_weights = copy_weights(objective)
    objective.load_state_dict(parts.best_weights)
    return Trained(parts.best_weights, done.best_epoch, tuple(done.history), last_weights)


def _keep(store: Store | None, parts: Parts, done: Progress, config: Mapping[str, Any], processes: Processes) -> None:
    """Keep a checkpoint; every trainer must call it, and the first writes it."""
    if store is not None:
        packed = parts.pack(done, config, processes)
        if processes.rank == 0:
            store.save(*packed)


def make_optimiser(objective: Objective, params: TrainingParams) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019) or Adagrad (Duchi et al. 2011) over all weights."""
    # Fused: one pass over the memory, which is what a large embedding costs.
    weights, rate, decay = objective.parameters(), params.learning_rate, params.weight_decay
    if params.optimizer == "adagrad":
        return Adagrad(weights, lr=rate, weight_decay=decay, fused=True)
    return AdamW(weights, lr=rate, weight_decay=decay, fused=True)


def make_schedule(optimiser: Optimizer, params: TrainingParams, steps: int) -> LRScheduler:
    """The learning rate over all steps, changed after each; one_cycle is that of Smith and Topin 2018."""
    total = params.epochs * steps
    if params.schedule == "cosine":
        return CosineAnnealingLR(optimiser, total)
    if params.schedule == "one_cycle":
        # One step more than are run: the schedule is moved once after the last.
        has_momentum = params.optimizer == "adamw"
        return OneCycleLR(
            optimiser, params.learning_rate, total + 1, pct_start=params.warm_up, cycle_momentum=has_momentum
        )
    return LambdaLR(optimiser, lambda _: 1.0)


def copy_weights(module: nn.Module) -> Weights:
    """The weights as they are now, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}


def _precision(
    params: TrainingParams, device: torch.device
) -> tuple[Callable[[], AbstractContextManager[Any]], GradScaler]:
    """What the forward pass runs under, and the scale of the loss."""
    if device.type != "cuda" or not params.mixed_precision:
        return nullcontext, GradScaler(device.type, enabled=False)
    kind = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return lambda: torch.autocast("cuda", kind), GradScaler("cuda", enabled=kind == torch.float16)


def _is_over(done: Progress, params: TrainingParams) -> bool:
    """Whether the metric has not risen for `patience` epochs."""
    return bool(done.history) and done.epoch - 1 - done.best_epoch >= params.patience


def _judged(
    objective: Objective, judge: Judge | None, processes: Processes, params: TrainingParams
) -> dict[str, float]:
    """The judge's means over all trainers; nothing where there is none."""
    if judge is None:
        return {}
    objective.eval()
    with torch.no_grad():
        sums, count = judge(objective)
    of_all = processes.sum(torch.tensor([*sums.values(), count], dtype=torch.float64, device=processes.device()))
    if params.metric not in sums:
        raise InputError("training.metric", f"one of {', '.join(sums)}", params.metric)
    if of_all[-1] == 0:
        raise InputError("validation set", "a place to predict", "none")
    return {name: float(value / of_all[-1]) for name, value in zip(sums, of_all[:-1], strict=True)}
