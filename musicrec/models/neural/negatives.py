"""Items that a listener has not heard, drawn anew in each step of training."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class UnheardItems(nn.Module):
    """Draws items uniformly and tells which of them the listener has heard.

    What was heard is kept as sorted numbers user · n_items + item: 8 bytes a pair, moved with the model to its device,
    and not part of its weights.

    Parameters
    ----------
    n_items : item_idx run from 0 to n_items - 1.
    users, items : int [pairs], what was heard; None for nothing, of a model that is not trained.
    """

    heard: torch.Tensor

    def __init__(self, n_items: int, users: torch.Tensor | None = None, items: torch.Tensor | None = None) -> None:
        super().__init__()
        self.n_items = n_items
        keys = torch.zeros(0, dtype=torch.int64)
        if users is not None and items is not None:
            keys = torch.unique(users.long() * n_items + items.long())
        self.register_buffer("heard", keys, persistent=False)

    def is_heard(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Whether each listener has heard the items, bool [b, n], of users int [b] and items int [b, n]."""
        if not len(self.heard):
            return torch.zeros_like(items, dtype=torch.bool)
        keys = users.long()[:, None] * self.n_items + items
        at = torch.searchsorted(self.heard, keys).clamp(max=len(self.heard) - 1)
        return self.heard[at] == keys

    def draw(
        self, users: torch.Tensor, n: int, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """n items for each listener, with replacement.

        Those that turn out to be heard are marked, not drawn again: to leave them out of a mean gives the same as to
        draw among the unheard ones, and needs no loop.

        Parameters
        ----------
        users : int [b].
        generator : None for the device's own.

        Returns
        -------
        items : int64 [b, n].
        is_open : bool [b, n]; False where the listener has heard the item, which must not count as a negative.
        """
        items = torch.randint(self.n_items, (len(users), n), device=users.device, generator=generator)
        return items, ~self.is_heard(users, items)


def pair_loss(logits: torch.Tensor, is_open: torch.Tensor) -> torch.Tensor:
    """Summed binary cross-entropy of [b, 1 + n] logits: the first column is heard, the others are not.

    Parameters
    ----------
    is_open : bool [b, 1 + n]; False for what does not count.
    """
    # -log(sigmoid(s)) = softplus(-s) of a positive, -log(1 - sigmoid(s)) = softplus(s) of a negative.
    signed = torch.cat([-logits[:, :1], logits[:, 1:]], dim=1)
    return (functional.softplus(signed) * is_open).sum()


def with_negatives(
    unheard: UnheardItems, users: torch.Tensor, items: torch.Tensor, n: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(items [b, 1 + n], is_open [b, 1 + n]): each positive and, behind it, n drawn items; see `UnheardItems.draw`."""
    drawn, is_open = unheard.draw(users, n)
    positive = torch.ones((len(users), 1), dtype=torch.bool, device=users.device)
    return torch.cat([items.long()[:, None], drawn], dim=1), torch.cat([positive, is_open], dim=1)


def squares(table: torch.Tensor, rows: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The sum of `counts` · |row|² over the rows named, each as often as it is named.

    Parameters
    ----------
    table : [m, d].
    rows : int [k]; counts : [k].
    """
    # Counted by row first: the gathered rows would be many times the table.
    of_row = torch.zeros(len(table), device=table.device).index_add_(0, rows, counts.float())
    return (of_row * table.float().square().sum(1)).sum()
