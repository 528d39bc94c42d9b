"""The cross-entropy over a whole vocabulary for CPUs: its gradient is found while the scores are still in the cache."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

# Scores held at a time: 4 MB of float32. Larger ones leave the cache between the passes over them, smaller ones make
# the products too thin; see docs/performance.md.
_SCORES = 1 << 20


class WholeSoftmax(torch.autograd.Function):
    """Summed cross-entropy of states [events, dim] and their targets [events] over weights [vocabulary, dim], bias.

    As autograd writes it, the scores of all events are made, turned into logarithms of probabilities and kept for the
    gradient, each a pass over memory. Here a block of events has its scores, its loss and its part of the gradients
    (softmax - target, times the weights or the states) before the next one begins.
    """

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        """The loss; its gradients are kept."""
        rows = max(_SCORES // max(len(bias), 1), 1)
        of_states, of_weights, of_bias = (torch.zeros_like(part) for part in (states, weights, bias))
        scores = states.new_empty(min(rows, len(states)), len(bias))
        loss = states.new_zeros(())
        for at in range(0, len(states), rows):
            part, wanted = states[at : at + rows], targets[at : at + rows, None]
            block = torch.addmm(bias, part, weights.T, out=scores[: len(part)])
            own = block.gather(1, wanted)
            highest = block.amax(1, keepdim=True)
            total = block.sub_(highest).exp_().sum(1, keepdim=True)
            loss += (total.log() + highest - own).sum()
            block.div_(total).scatter_add_(1, wanted, own.new_full(own.shape, -1.0))
            torch.mm(block, weights, out=of_states[at : at + rows])
            of_weights.addmm_(block.T, part)
            of_bias += block.sum(0)
        ctx.save_for_backward(of_states, of_weights, of_bias)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, torch.Tensor, torch.Tensor]:
        """The kept gradients, times that of what was made of the loss."""
        of_states, of_weights, of_bias = ctx.saved_tensors
        return of_states * grad, None, of_weights * grad, of_bias * grad
