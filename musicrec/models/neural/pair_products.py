"""Dot products of listeners with some items each, without a copy of the items' rows."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional


def pair_products(of_users: torch.Tensor, table: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """of_users[b] · table[items[b, k]], [b, n].

    On a CPU the [b, n, d] gathered rows, which the plain formula writes and reads again for each gradient, are most of
    a training step; there the products are made column by column and the gradients as weighted sums of rows.

    Parameters
    ----------
    of_users : [b, d].
    table : [m, d].
    items : int64 [b, n], rows of the table.
    """
    if of_users.device.type != "cpu":
        return (functional.embedding(items, table) * of_users[:, None]).sum(2)
    products: torch.Tensor = _PairProducts.apply(of_users, table, items)  # type: ignore[no-untyped-call]
    return products


class _PairProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, of_users: torch.Tensor, table: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(of_users, table, items)
        columns = [torch.linalg.vecdot(table.index_select(0, column), of_users) for column in items.T]
        return torch.stack(columns, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        of_users, table, items = ctx.saved_tensors
        for_users = functional.embedding_bag(items, table, per_sample_weights=grad.contiguous(), mode="sum")
        # The same sum by item: the pairs in the order of their items, a bag for each.
        order = torch.argsort(items.flatten(), stable=True)
        counts = torch.bincount(items.flatten(), minlength=len(table))
        for_table = functional.embedding_bag(
            order // items.shape[1],
            of_users,
            counts.cumsum(0) - counts,
            per_sample_weights=grad.flatten()[order],
            mode="sum",
        )
        return for_users, for_table, None
