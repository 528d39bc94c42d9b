"""The trainers that share a fit: one by itself, or several that add up their gradients (DDP)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Processes:
    """This trainer's place among all; what it says is summed over them.

    Attributes
    ----------
    rank : of this process, from 0; only 0 writes and reports.
    world : how many there are.
    """

    rank: int = 0
    world: int = 1

    def device(self) -> torch.device:
        """This trainer's GPU where there is one, else the CPU."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.rank % torch.cuda.device_count())

    def wrap(self, objective: nn.Module, device: torch.device) -> nn.Module:
        """What is called for the loss: with several trainers, `backward` then averages their gradients."""
        if self.world == 1:
            return objective
        gpus = [device] if device.type == "cuda" else None
        # Buffers (a vocabulary, the heard pairs) are the same everywhere and never change.
        return DistributedDataParallel(objective, device_ids=gpus, broadcast_buffers=False)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all trainers, the same on each."""
        if self.world > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def stacked(self, values: torch.Tensor) -> torch.Tensor:
        """Each trainer's tensor, [world, ...], the same on each."""
        if self.world == 1:
            return values[None]
        parts = [torch.empty_like(values) for _ in range(self.world)]
        distributed.all_gather(parts, values)
        return torch.stack(parts)


ALONE = Processes()


@contextmanager
def one_of_several() -> Iterator[Processes]:
    """This process as one of those that torchrun has started: NCCL where the machine has GPUs, gloo where not."""
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
