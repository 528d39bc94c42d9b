"""Embeddings with biases: logistic matrix factorisation from drawn negatives, or regression on given values."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field, model_validator
from pyspark.sql import SparkSession
from torch import nn
from torch.nn import functional

from musicrec.errors import InputError
from musicrec.models.blocks import Ragged, write_lists
from musicrec.models.embedding import EmbeddingModel, check_finite
from musicrec.models.neural.checkpoint import Weights
from musicrec.models.neural.negatives import UnheardItems, pair_loss, squares, with_negatives
from musicrec.models.neural.pair_products import pair_products
from musicrec.params import Params

NAME = "dot_bias"

# Draws a held-out pair has to find one unheard item; a listener who has heard 90 % of all misses once in 850 times.
_TRIES = 64


class DotBiasParams(Params):
    """The shape and the loss.

    Attributes
    ----------
    dim : of the embeddings.
    loss : `bce` binary cross-entropy of the heard items against drawn ones; `mse` squared error of the given values.
    negatives : drawn for each positive, where the loss is `bce`.
    regularization : λ; each pair of the loss adds λ / 2 (|user vector|² + |item vector|² + both biases²), so a row's
        penalty grows with its pairs (Rendle et al. 2020).
    init_std : of the embeddings' first values; biases start at 0.
    output_range : scores are squeezed into it by a scaled sigmoid; None for no bounds. Of `mse` only.
    """

    dim: int = Field(default=64, ge=1)
    loss: Literal["bce", "mse"] = "bce"
    negatives: int = Field(default=8, ge=1)
    regularization: float = Field(default=0.005, ge=0)
    init_std: float = Field(default=0.1, gt=0)
    output_range: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.output_range is not None and self.loss == "bce":
            raise ValueError("output_range needs loss = mse: a probability has its own range")
        if self.output_range is not None and self.output_range[0] >= self.output_range[1]:
            raise ValueError("output_range must ascend")
        return self


class DotBiasModel(nn.Module):
    """score = user vector · item vector + user bias + item bias + global bias.

    With `bce` this is logistic matrix factorisation as Rendle et al. 2020 ("Neural collaborative filtering vs. matrix
    factorization revisited") train it; with `mse` the biased factorisation that is also called SVD (Koren, Bell and
    Volinsky 2009).

    Parameters
    ----------
    n_users, n_items : indices run from 0.
    params : shape and loss.
    unheard : what negatives are drawn from; None for a model that is not trained.
    mean : where the global bias starts: the mean of the values.
    """

    def __init__(
        self, n_users: int, n_items: int, params: DotBiasParams, unheard: UnheardItems | None = None, mean: float = 0.0
    ) -> None:
        super().__init__()
        self.params = params
        self.unheard = UnheardItems(n_items) if unheard is None else unheard
        self.user_vectors = nn.Parameter(torch.randn(n_users, params.dim) * params.init_std)
        self.item_vectors = nn.Parameter(torch.randn(n_items, params.dim) * params.init_std)
        self.user_bias = nn.Parameter(torch.zeros(n_users))
        self.item_bias = nn.Parameter(torch.zeros(n_items))
        self.global_bias = nn.Parameter(torch.tensor(float(mean)))

    def logits(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Scores before any squeezing, [b, n], of users int [b] and items int [b, n]."""
        products = pair_products(functional.embedding(users, self.user_vectors), self.item_vectors, items)
        return products + self.item_bias[items] + self.user_bias[users][:, None] + self.global_bias

    def scores(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Scores [b, n] of items int [b, n] for users int [b]: logits, or values where the loss is `mse`."""
        return self._squeezed(self.logits(users, items))

    def all_scores(self, users: torch.Tensor) -> torch.Tensor:
        """Scores of all items, [b, n_items], for users int [b]."""
        logits = functional.linear(self.user_vectors[users], self.item_vectors, self.item_bias + self.global_bias)
        return self._squeezed(logits + self.user_bias[users][:, None])

    def forward(
        self, users: torch.Tensor, items: torch.Tensor, values: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(summed loss with the penalty, number of pairs) of heard pairs.

        Parameters
        ----------
        users, items : int [b].
        values : [b], what to regress on; of `mse` only.

        Raises
        ------
        ValueError : `mse` without values.
        """
        if self.params.loss == "bce":
            items, is_open = with_negatives(self.unheard, users, items, self.params.negatives)
            loss = pair_loss(self.logits(users, items).float(), is_open)
        else:
            if values is None:
                raise ValueError("loss mse: expected a third column of values, found none")
            items, is_open = items[:, None], torch.ones((len(items), 1), dtype=torch.bool, device=items.device)
            loss = (self.scores(users, items)[:, 0].float() - values).square().sum()
        return loss + self._penalty(users, items, is_open), is_open.sum()

    def _penalty(self, users: torch.Tensor, items: torch.Tensor, is_open: torch.Tensor) -> torch.Tensor:
        """λ / 2 of the squares of all that the pairs touch, once for each pair."""
        counts = is_open.sum(1)
        total = squares(self.user_vectors, users, counts) + squares(self.user_bias[:, None], users, counts)
        for table in (self.item_vectors, self.item_bias[:, None]):
            total = total + squares(table, items.flatten(), is_open.flatten())
        return self.params.regularization / 2 * total

    def _squeezed(self, logits: torch.Tensor) -> torch.Tensor:
        if self.params.output_range is None:
            return logits
        low, high = self.params.output_range
        return low + (high - low) * torch.sigmoid(logits)


def make_dot_bias(
    n_users: int,
    n_items: int,
    params: DotBiasParams,
    seed: int,
    unheard: UnheardItems | None = None,
    mean: float = 0.0,
) -> DotBiasModel:
    """A model with weights drawn from `seed`; the negatives are then drawn from the same generator."""
    torch.manual_seed(seed)
    return DotBiasModel(n_users, n_items, params, unheard, mean)


def dot_bias_vectors(spark: SparkSession, weights: Weights) -> EmbeddingModel:
    """The trained model as vectors.

    bias = item bias + global bias. The listener's own bias is left out: it moves all of a listener's scores alike, and
    so does no ranking. The scores are those before an output range, which keeps their order.

    Parameters
    ----------
    weights : of a `DotBiasModel`.

    Raises
    ------
    NonFiniteError : a weight is NaN or infinite.
    """
    bias = pa.array((weights["item_bias"] + weights["global_bias"]).numpy(), pa.float32())
    users = {"user_idx": _indices(weights["user_vectors"]), "vector": _vectors(weights["user_vectors"])}
    items = {"item_idx": _indices(weights["item_vectors"]), "vector": _vectors(weights["item_vectors"]), "bias": bias}
    frames = [spark.createDataFrame(pa.table(columns)) for columns in (users, items)]
    return check_finite(EmbeddingModel(NAME, frames[0], frames[1]))


def _indices(table: torch.Tensor) -> pa.Array:
    return pa.array(np.arange(len(table), dtype=np.int32))


def _vectors(table: torch.Tensor) -> pa.ListArray:
    starts = np.arange(len(table) + 1, dtype=np.int64) * table.shape[1]
    return write_lists(Ragged(table.numpy().reshape(-1), starts), pa.float32())


class Loved(NamedTuple):
    """An item by its bias: how much it is liked beyond what its vector says of each listener's taste."""

    item_idx: int
    bias: float
    rank: int


def loved(weights: Weights, n: int) -> list[Loved]:
    """The n most and the n least loved items by bias; rank 1 is the most loved, equal biases rank by item_idx.

    Each item is there once, so there are fewer rows where there are fewer than 2 n items.
    """
    bias = weights["item_bias"].numpy().astype(np.float64)
    order = np.lexsort((np.arange(len(bias)), -bias))
    places = [*range(min(n, len(order))), *range(max(len(order) - n, n), len(order))]
    return [Loved(int(order[place]), float(bias[order[place]]), place + 1) for place in places]


@torch.no_grad()
def pair_accuracy(model: DotBiasModel, users: torch.Tensor, items: torch.Tensor, seed: int) -> dict[str, float]:
    """How well held-out pairs are told from as many drawn ones: `accuracy` and `log_loss` (nats a pair).

    Each held-out pair stands against one item, uniform among those that the listener has neither in the training nor
    in the held-out pairs. In training there are n negatives for each positive, so the odds learnt are n times too low
    for pairs half of which are positive, and are multiplied by n.

    Parameters
    ----------
    users, items : int [pairs], held out.
    seed : of the drawn items.

    Raises
    ------
    InputError : the model's loss is not `bce`, or there is no pair with an unheard item.
    """
    if model.params.loss != "bce":
        raise InputError("pair_accuracy", "a model of loss bce, whose scores are log odds", model.params.loss)
    held = UnheardItems(model.unheard.n_items, users, items).to(users.device)
    generator = torch.Generator(users.device).manual_seed(seed)
    drawn, is_open = model.unheard.draw(users, _TRIES, generator)
    is_open &= ~held.is_heard(users, drawn)
    is_judged = is_open.any(1)
    if not bool(is_judged.any()):
        raise InputError("pair_accuracy", "a held-out pair of a listener with an unheard item", "none")
    users, items, drawn = users[is_judged], items[is_judged], drawn[is_judged]
    first = is_open[is_judged].int().argmax(1, keepdim=True)
    pairs = torch.cat([items.long()[:, None], drawn.gather(1, first)], dim=1)
    logits = model.logits(users, pairs).double() + math.log(model.params.negatives)
    is_right = torch.cat([logits[:, :1] > 0, logits[:, 1:] <= 0], dim=1)
    loss = pair_loss(logits, torch.ones_like(is_right))
    return {"accuracy": float(is_right.double().mean()), "log_loss": float(loss) / is_right.numel()}
