"""What next-track models share: the vocabulary, the windows, the loss and the ranking metric."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from musicrec.models.neural.auto import AUTO, FromZeroOrAuto
from musicrec.models.neural.checkpoint import Weights
from musicrec.models.neural.losses import LossParams, full_loss, rows_at_a_time, sampled_loss
from musicrec.padding import PAD_IDX
from musicrec.params import Params

Places = NDArray[np.int64]


class NextTrackParams(Params):
    """What is common to the shapes of next-track models.

    Attributes
    ----------
    dim : of the item embedding, and so of the vectors.
    dropout : on the embedding and on the last layer's output.
    item_dropout : share of the plays of a window that are hidden from the model in each step of training.
    tied : the output layer shares the embedding's weights.
    max_items : only so many of the most played items are told apart and can be offered; 0 for all; auto for as many as
        an optimiser's step can pass over in reasonable time (musicrec/models/neural/plan.py).
    loss : what the right item is compared with.
    """

    dim: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    item_dropout: float = Field(default=0.0, ge=0, lt=1)
    tied: bool = True
    max_items: FromZeroOrAuto = AUTO
    loss: LossParams = LossParams()


class NextTrackModel(nn.Module):
    """Embedding → states of the plays so far → scores of the vocabulary's items. Subclasses say how a state is made.

    Parameters
    ----------
    n_items : item_idx run from 0 to n_items - 1.
    params : the shape.
    vocabulary : the item_idx that are told apart, most played first; None for all. Any other item is read as one and
        the same, and is neither a target nor offered.
    width : of the states; `dim` where the output is tied.
    """

    place_of: torch.Tensor

    def __init__(self, n_items: int, params: NextTrackParams, vocabulary: Places | None, width: int) -> None:
        super().__init__()
        known = np.arange(n_items) if vocabulary is None else np.asarray(vocabulary)
        self.size, self.loss, self.item_dropout = len(known), params.loss, params.item_dropout
        # Part of the weights, so a saved model says by itself which items it knows.
        self.register_buffer("place_of", torch.full((n_items,), self.size, dtype=torch.int32))
        self.place_of[torch.from_numpy(known.astype(np.int64))] = torch.arange(self.size, dtype=torch.int32)
        # Row 0 stands for padding, so place i is row i + 1; a last row for all other and for hidden items.
        self.embedding = nn.Embedding(self.size + 2, params.dim, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=params.dim**-0.5)
        with torch.no_grad():
            self.embedding.weight[0].zero_()
        self.dropout = nn.Dropout(params.dropout)
        self.output = None if params.tied else nn.Linear(width, self.size, bias=False)
        self.bias = nn.Parameter(torch.zeros(self.size))

    def encode(self, embedded: torch.Tensor, is_play: torch.Tensor) -> torch.Tensor:
        """The state after each play.

        Parameters
        ----------
        embedded : [batch, length, dim], plays at the front.
        is_play : bool [batch, length]; False at the padding behind them.

        Returns
        -------
        [batch, length, width]; place t sees the plays up to t only.
        """
        raise RuntimeError("a model must say how it is encoded")

    def item_weights(self) -> torch.Tensor:
        """The output embedding, [vocabulary, width]."""
        return self.embedding.weight[1 : self.size + 1] if self.output is None else self.output.weight

    def places(self, items: torch.Tensor) -> torch.Tensor:
        """The place of each item in the vocabulary; -1 = padding, the vocabulary's size = any other item."""
        clipped = items.long().clamp(min=0, max=len(self.place_of) - 1)
        known = torch.where(items < len(self.place_of), self.place_of[clipped].long(), self.size)
        return torch.where(items == PAD_IDX, PAD_IDX, known)

    def states(self, items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run over left-padded windows.

        The real plays are moved to the front first, so padding comes after them and changes no state, and as many
        places as the longest row has plays are run.

        Parameters
        ----------
        items : int [batch, length], -1 = padding.

        Returns
        -------
        states : [batch, longest, width]; place t is the state after the t-th real play.
        places : int [batch, longest]; of the plays, moved alike, -1 = padding.
        counts : int [batch]; real plays in each row.
        """
        length = items.shape[1]
        counts = (items != PAD_IDX).sum(1)
        longest = max(int(counts.max()), 1) if len(counts) else 1
        place = torch.arange(longest, device=items.device) + (length - counts)[:, None]
        is_play = place < length
        moved = torch.where(is_play, self.places(items).gather(1, place.clamp(max=length - 1)), PAD_IDX)
        seen = moved
        if self.training and self.item_dropout:
            is_hidden = torch.rand(moved.shape, device=moved.device) < self.item_dropout
            seen = torch.where(is_hidden & is_play, self.size, moved)
        return self.encode(self.dropout(self.embedding(seen + 1)), is_play), moved, counts

    def last_states(self, items: torch.Tensor) -> torch.Tensor:
        """The state after each row's last play, [batch, width]: the listener's vector."""
        states, _, counts = self.states(items)
        return states[torch.arange(len(items), device=items.device), (counts - 1).clamp(min=0)]

    def events(self, items: torch.Tensor, first_target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(state before [events, width], place [events]) of the plays from `first_target` on that are known items."""
        states, places, counts = self.states(items)
        pads = items.shape[1] - counts
        number = torch.arange(1, places.shape[1], device=items.device)[None, :]
        targets = places[:, 1:]
        is_wanted = (number >= (first_target - pads)[:, None]) & (targets != PAD_IDX) & (targets < self.size)
        return states[:, :-1][is_wanted], targets[is_wanted]

    def forward(self, items: torch.Tensor, first_target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(summed loss, number of events) of the plays from `first_target` on whose item is in the vocabulary.

        Over the whole vocabulary, or, in training where negatives are drawn, over these (see `LossParams`).
        """
        states, targets = self.events(items, first_target)
        if self.training and self.loss.drawn:
            loss = sampled_loss(states, targets, self.item_weights(), self.bias, self.loss)
        else:
            smoothing = self.loss.label_smoothing if self.training else 0.0
            loss = full_loss(states, targets, self.item_weights(), self.bias, smoothing)
        return loss, torch.tensor(len(targets), device=items.device)

    @torch.no_grad()
    def judge(self, items: torch.Tensor, first_target: torch.Tensor, k: int = 10) -> tuple[dict[str, float], int]:
        """Sums over the events: cross-entropy, and hit rate and NDCG at k of the right item among the vocabulary.

        NDCG = 1 / log2(rank + 1) up to rank k; equal scores rank by place.
        """
        states, targets = self.events(items, first_target)
        sums = {f"ndcg_at_{k}": 0.0, f"hr_at_{k}": 0.0, "valid_loss": 0.0}
        rows = rows_at_a_time(self.size)
        for part, wanted in zip(states.split(rows), targets.split(rows), strict=True):  # type: ignore[no-untyped-call]
            scores = part @ self.item_weights().T + self.bias
            own = scores.gather(1, wanted[:, None])
            is_before = torch.arange(self.size, device=scores.device) < wanted[:, None]
            ranks = 1 + ((scores > own) | ((scores == own) & is_before)).sum(1)
            is_hit = ranks <= k
            sums[f"hr_at_{k}"] += float(is_hit.sum())
            sums[f"ndcg_at_{k}"] += float(torch.where(is_hit, 1 / torch.log2(ranks + 1.0), 0.0).sum())
            sums["valid_loss"] += float((torch.logsumexp(scores, 1) - own[:, 0]).sum())
        return sums, len(targets)

    @torch.no_grad()
    def recommend(self, history: list[int], n: int, leave_out: bool = False) -> list[tuple[int, float]]:
        """The n most likely next items of one listener, (item_idx, score), best first, equal scores by item_idx.

        Parameters
        ----------
        history : item_idx in the order of plays, the last one newest.
        leave_out : offer nothing of the history.

        Raises
        ------
        ValueError : the history is empty.
        """
        if not history:
            raise ValueError("recommend: expected a history of one play or more, found none")
        self.eval()
        state = self.last_states(torch.tensor([history], device=self.bias.device))[0]
        scores = (self.item_weights() @ state + self.bias).cpu().numpy()
        items = vocabulary_of(self.state_dict())
        is_open = ~np.isin(items, history) if leave_out else np.ones(len(items), np.bool_)
        items, scores = items[is_open], scores[is_open]
        best = np.lexsort((items, -scores))[:n]
        return [(int(items[place]), float(scores[place])) for place in best]

    def start_from(self, before: Weights) -> Self:
        """Take over the weights of an earlier model of this shape; what is new in the vocabulary stays as drawn."""
        weights = self.state_dict()
        _, new, old = np.intersect1d(vocabulary_of(weights), vocabulary_of(before), return_indices=True)
        at, of = torch.from_numpy(new), torch.from_numpy(old)
        with torch.no_grad():
            for name, tensor in weights.items():
                if name == "embedding.weight":
                    tensor[at + 1] = before[name][of + 1]
                    tensor[-1] = before[name][-1]
                elif name in ("bias", "output.weight"):
                    tensor[at] = before[name][of]
                elif name != "place_of":
                    tensor.copy_(before[name])
        return self


def vocabulary_of(weights: Weights) -> Places:
    """The item_idx that a model's weights tell apart, in the order of its vocabulary."""
    place_of = weights["place_of"].cpu().numpy().astype(np.int64)
    known = np.flatnonzero(place_of < len(weights["bias"]))
    return known[np.argsort(place_of[known])]
