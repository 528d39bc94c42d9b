"""What a training run counts while an epoch goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch

from musicrec.errors import NonFiniteError
from musicrec.logs import Ticker
from musicrec.models.neural.checkpoint import Epoch, Progress
from musicrec.models.neural.processes import Processes

Batch = tuple[torch.Tensor, ...]


class Meter:
    """What an epoch has seen since the last look at it, and the time it took.

    Parameters
    ----------
    done : where each look is added up.
    """

    def __init__(self, done: Progress, processes: Processes, device: torch.device) -> None:
        self._done, self._processes, self._device = done, processes, device
        self._sums = torch.zeros(3, device=device, dtype=torch.float64)
        self._began, self._waited = time.perf_counter(), 0.0

    def wait_for(self, batches: Iterator[Batch]) -> Batch:
        """The next batch, on the device."""
        asked = time.perf_counter()
        batch = tuple(part.to(self._device, non_blocking=True) for part in next(batches))
        self._waited += time.perf_counter() - asked
        return batch

    def count(self, loss: torch.Tensor, events: torch.Tensor, rows: int) -> torch.Tensor:
        """[loss, events, rows] of the step over all trainers, on the device."""
        own = torch.stack([loss.detach().double(), events.double(), torch.full_like(loss, rows, dtype=torch.float64)])
        of_all = self._processes.sum(own)
        self._sums += of_all
        return of_all

    def look(self, step: int, ticker: Ticker) -> None:
        """Add up and show.

        Raises
        ------
        NonFiniteError : the loss is not a finite number.
        """
        done, now = self._done, time.perf_counter()
        ticked, done.step = step - done.step, step
        done.totals = [a + float(b) for a, b in zip(done.totals, self._sums, strict=True)]
        done.seconds, done.waited = done.seconds + now - self._began, done.waited + self._waited
        self._sums.zero_()
        self._began, self._waited = now, 0.0
        loss = done.totals[0] / max(done.totals[1], 1)
        if not math.isfinite(loss):
            raise NonFiniteError(f"training: the loss is {loss} in epoch {done.epoch}; lower training.learning_rate")
        ticker.move(ticked, loss=loss, sequences_per_s=round(done.totals[2] / done.seconds))

    def close(self, figures: dict[str, float]) -> Epoch:
        """End the epoch, and make `done` ready for the next."""
        done = self._done
        loss, events, sequences = done.totals
        waited, seconds = done.waited / max(done.seconds, 1e-9), done.seconds + time.perf_counter() - self._began
        epoch = Epoch(done.epoch, loss / max(events, 1), figures, int(sequences), int(events), seconds, waited)
        done.history.append(epoch)
        done.epoch, done.step, done.totals, done.seconds, done.waited = done.epoch + 1, 0, [0.0, 0.0, 0.0], 0.0, 0.0
        return epoch
