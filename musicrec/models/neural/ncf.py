"""Neural collaborative filtering: NeuMF and its two parts, GMF and MLP (He et al. 2017)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional

from musicrec.logs import Ticker
from musicrec.models.neural.checkpoint import Weights
from musicrec.models.neural.negatives import UnheardItems, pair_loss, squares, with_negatives
from musicrec.models.neural.pair_products import pair_products
from musicrec.models.neural.processes import ALONE, Processes
from musicrec.models.neural.training import Source, train
from musicrec.models.neural.training_params import TrainingParams
from musicrec.params import Params

NAME = "ncf"

# Numbers of a layer's states held at a time where all items are scored: 64 MB of float32.
_STATES = 1 << 24


class NcfParams(Params):
    """The network's shape and what it learns from.

    Attributes
    ----------
    parts : `dot` the generalised matrix factorisation (GMF) only, `mlp` the tower only, `both` NeuMF.
    dim : factors of the GMF.
    mlp : widths of the tower: the first is its input, a listener's and an item's embedding of half of it each, the
        others are its layers.
    dropout : on the tower's input and layers.
    negatives : drawn for each positive.
    regularization : λ of the GMF; each pair of the loss adds λ / 2 (|h ⊙ user|² + |item|²): weighted by the prediction
        layer h, which could else grow as the rows shrink and take the penalty back.
    mlp_regularization : λ of the tower; each pair adds λ / 2 · |·|² of its two rows and of all the tower's weights
        and its part of h, for the same reason.
    init_std : of the embeddings' first values.
    pretrain_epochs : of GMF and of MLP, each by itself, before NeuMF starts from their weights; 0 for none.
    """

    parts: Literal["both", "dot", "mlp"] = "both"
    dim: int = Field(default=64, ge=1)
    mlp: tuple[int, ...] = Field(default=(64, 32, 16), min_length=2)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    negatives: int = Field(default=8, ge=1)
    regularization: float = Field(default=0.005, ge=0)
    mlp_regularization: float = Field(default=0.005, ge=0)
    init_std: float = Field(default=0.1, gt=0)
    pretrain_epochs: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mlp[0] % 2 or min(self.mlp) < 1:
            raise ValueError("mlp: widths must be 1 or more and the first even: it is shared by listener and item")
        if self.pretrain_epochs and self.parts != "both":
            raise ValueError("pretrain_epochs needs parts = both")
        return self


class NcfModel(nn.Module):
    """logit = h · [user ⊙ item ; tower(user', item')] + bias, with embeddings of their own for the two parts.

    The prediction layer h starts at ones over the GMF part, so that this starts as the dot product.

    Parameters
    ----------
    n_users, n_items : indices run from 0.
    params : the shape.
    unheard : what negatives are drawn from; None for a model that is not trained.
    """

    def __init__(self, n_users: int, n_items: int, params: NcfParams, unheard: UnheardItems | None = None) -> None:
        super().__init__()
        self.params, self.n_users, self.n_items = params, n_users, n_items
        self.unheard = UnheardItems(n_items) if unheard is None else unheard
        self.has_dot, self.has_mlp = params.parts != "mlp", params.parts != "dot"
        if self.has_dot:
            self.user_dot = nn.Parameter(torch.randn(n_users, params.dim) * params.init_std)
            self.item_dot = nn.Parameter(torch.randn(n_items, params.dim) * params.init_std)
        if self.has_mlp:
            self.split = params.mlp[0] // 2
            self.user_mlp = nn.Parameter(torch.randn(n_users, self.split) * params.init_std)
            self.item_mlp = nn.Parameter(torch.randn(n_items, self.split) * params.init_std)
            self.tower = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(params.mlp))
        self.dropout = nn.Dropout(params.dropout)
        self.dot_width = params.dim if self.has_dot else 0
        self.output = nn.Linear(self.dot_width + (params.mlp[-1] if self.has_mlp else 0), 1)
        with torch.no_grad():
            self.output.weight[:, : self.dot_width] = 1.0
            self.output.bias.zero_()

    def scores(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Logits [b, n] of items int [b, n] for users int [b]."""
        logits: torch.Tensor = self.output.bias
        if self.has_dot:
            logits = logits + pair_products(self._weighted_users(users), self.item_dot, items)
        if self.has_mlp:
            # The first layer is a sum of a listener's and an item's part: of each item once, where many are wanted.
            if items.numel() > self.n_items:
                of_items = functional.embedding(items, self._first_of_items(self.item_mlp))
            else:
                of_items = self._first_of_items(functional.embedding(items, self.item_mlp))
            logits = logits + self._rest_of_tower(self._first_of_users(users)[:, None] + of_items)
        return logits

    def all_scores(self, users: torch.Tensor) -> torch.Tensor:
        """Logits of all items, [b, n_items], for users int [b]."""
        width = max(self.params.mlp[1:]) if self.has_mlp else 1
        rows = max(_STATES // max(self.n_items * width, 1), 1)
        of_items = self._first_of_items(self.item_mlp) if self.has_mlp else None
        parts: list[torch.Tensor] = []
        for block in users.split(rows):  # type: ignore[no-untyped-call]
            logits: torch.Tensor = self.output.bias
            if self.has_dot:
                logits = logits + self._weighted_users(block) @ self.item_dot.T
            if of_items is not None:
                logits = logits + self._rest_of_tower(self._first_of_users(block)[:, None] + of_items)
            parts.append(logits)
        return torch.cat(parts)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(summed binary cross-entropy with the penalty, number of pairs) of heard pairs and drawn negatives.

        Parameters
        ----------
        users, items : int [b].
        """
        items, is_open = with_negatives(self.unheard, users, items, self.params.negatives)
        loss = pair_loss(self.scores(users, items).float(), is_open)
        return loss + self._penalty(users, items, is_open), is_open.sum()

    def _penalty(self, users: torch.Tensor, items: torch.Tensor, is_open: torch.Tensor) -> torch.Tensor:
        total, of_user = torch.zeros((), device=users.device), is_open.sum(1)
        if self.has_dot:
            rows = squares(self.user_dot * self.output.weight[0, : self.dot_width], users, of_user)
            rows = rows + squares(self.item_dot, items.flatten(), is_open.flatten())
            total = total + self.params.regularization / 2 * rows
        if self.has_mlp:
            rows = squares(self.user_mlp, users, of_user)
            rows = rows + squares(self.item_mlp, items.flatten(), is_open.flatten())
            shared = [layer.square().sum() for layer in self.tower.parameters()]
            shared.append(self.output.weight[0, self.dot_width :].square().sum())
            total = total + self.params.mlp_regularization / 2 * (rows + of_user.sum() * torch.stack(shared).sum())
        return total

    def _weighted_users(self, users: torch.Tensor) -> torch.Tensor:
        return functional.embedding(users, self.user_dot) * self.output.weight[0, : self.dot_width]

    def _first_of_users(self, users: torch.Tensor) -> torch.Tensor:
        layer = self.tower[0]
        assert isinstance(layer, nn.Linear)
        vectors = self.dropout(functional.embedding(users, self.user_mlp))
        return functional.linear(vectors, layer.weight[:, : self.split], layer.bias)

    def _first_of_items(self, vectors: torch.Tensor) -> torch.Tensor:
        layer = self.tower[0]
        assert isinstance(layer, nn.Linear)
        return functional.linear(self.dropout(vectors), layer.weight[:, self.split :])

    def _rest_of_tower(self, state: torch.Tensor) -> torch.Tensor:
        """[..., first layer] before its ReLU → [...], the tower's share of the logit."""
        state = self.dropout(functional.relu(state))
        for layer in list(self.tower)[1:]:
            state = self.dropout(functional.relu(layer(state)))
        return state @ self.output.weight[0, self.dot_width :]


def make_ncf(n_users: int, n_items: int, params: NcfParams, seed: int, unheard: UnheardItems | None = None) -> NcfModel:
    """A model with weights drawn from `seed`; negatives and dropout are then drawn from the same generator."""
    torch.manual_seed(seed)
    return NcfModel(n_users, n_items, params, unheard)


def ncf_of_weights(weights: Weights, params: NcfParams) -> NcfModel:
    """The model that these weights are of."""
    part = "mlp" if params.parts == "mlp" else "dot"
    model = NcfModel(len(weights[f"user_{part}"]), len(weights[f"item_{part}"]), params)
    model.load_state_dict(weights)
    return model


def pretrain_steps(params: NcfParams, source: Source) -> int:
    """Steps that `pretrain` takes: to be added to the ticker's."""
    return 2 * params.pretrain_epochs * source.steps()


def pretrain(
    model: NcfModel, source: Source, training: TrainingParams, ticker: Ticker, processes: Processes = ALONE
) -> None:
    """Start NeuMF from a GMF and an MLP that are trained by themselves, as its paper does; does nothing for 0 epochs.

    Each is trained for `pretrain_epochs` with the same settings and without a look at a validation set. A training
    that goes on from a checkpoint has no use for this, since the checkpoint replaces the weights.

    Parameters
    ----------
    model : NeuMF, of which the weights are replaced.
    source, training, ticker, processes : as of `train`.
    """
    epochs = model.params.pretrain_epochs
    if not epochs:
        return
    weights = []
    for part in ("dot", "mlp"):
        params = model.params.model_copy(update={"parts": part, "pretrain_epochs": 0})
        alone = NcfModel(model.n_users, model.n_items, params, model.unheard)
        short = training.model_copy(update={"epochs": epochs})
        weights.append(train(alone, source, short, ticker, processes=processes).weights)
    model.load_state_dict(join(*weights))


def join(gmf: Weights, mlp: Weights) -> Weights:
    """NeuMF's weights from those of its parts: the logit is the mean of their logits (α = ½ in He et al. 2017)."""
    output = {
        "output.weight": torch.cat([gmf["output.weight"], mlp["output.weight"]], dim=1) / 2,
        "output.bias": (gmf["output.bias"] + mlp["output.bias"]) / 2,
    }
    return {**gmf, **mlp, **output}
