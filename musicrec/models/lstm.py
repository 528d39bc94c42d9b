"""LSTM next-track model (Hidasi et al. 2016, "Session-based recommendations with recurrent neural networks")."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional

from musicrec.models.embedding import EmbeddingModel, check_finite
from musicrec.models.training import NextItemLoss, Weights
from musicrec.params import Params
from musicrec.schemas import PAD_IDX

NAME = "lstm"


class LstmParams(Params):
    """The network's shape.

    Attributes
    ----------
    dim : of the item embedding, the hidden state and so of the vectors.
    layers : LSTM layers.
    dropout : on the embedding and on the last layer's output.
    tied : the output layer shares the embedding's weights.
    """

    dim: int = Field(default=64, ge=1)
    layers: int = Field(default=1, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    tied: bool = True


class LstmModel(NextItemLoss):
    """Embedding → LSTM → scores of all items.

    Parameters
    ----------
    n_items : item_idx run from 0 to n_items - 1.
    params : the shape.
    """

    def __init__(self, n_items: int, params: LstmParams) -> None:
        super().__init__()
        # Row 0 stands for padding, so item_idx i is row i + 1.
        self.embedding = nn.Embedding(n_items + 1, params.dim, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=params.dim**-0.5)
        with torch.no_grad():
            self.embedding.weight[0].zero_()
        self.lstm = nn.LSTM(params.dim, params.dim, params.layers, batch_first=True)
        self.dropout = nn.Dropout(params.dropout)
        self.output = None if params.tied else nn.Linear(params.dim, n_items, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_items))

    def item_weights(self) -> torch.Tensor:
        """The output embedding, [n_items, dim]."""
        return self.embedding.weight[1:] if self.output is None else self.output.weight

    def states(self, items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the LSTM over left-padded windows.

        The real plays are moved to the front first, so padding comes after them and changes no state.

        Parameters
        ----------
        items : int [batch, length], -1 = padding.

        Returns
        -------
        states : [batch, length, dim]; place t is the state after the t-th real play.
        counts : int [batch]; real plays in each row.
        """
        length = items.shape[1]
        counts = (items != PAD_IDX).sum(1)
        place = torch.arange(length, device=items.device) + (length - counts)[:, None]
        real = place < length
        moved = torch.where(real, items.gather(1, place.clamp(max=length - 1).long()), PAD_IDX)
        states, _ = self.lstm(self.dropout(self.embedding(moved.long() + 1)))
        return self.dropout(states), counts

    def last_states(self, items: torch.Tensor) -> torch.Tensor:
        """The state after each row's last play, [batch, dim]: the listener's vector."""
        states, counts = self.states(items)
        return states[torch.arange(len(items)), (counts - 1).clamp(min=0)]

    def forward(self, items: torch.Tensor, first_target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Cross-entropy over all items at each place from `first_target` on.

        Returns
        -------
        summed loss, number of right first guesses, number of places.
        """
        length = items.shape[1]
        states, counts = self.states(items)
        pads = (length - counts)[:, None]
        # The state after real play t predicts the one at place pads + t + 1 of the padded window.
        target_place = torch.arange(1, length + 1, device=items.device) + pads
        wanted = (target_place >= first_target[:, None]) & (target_place < length)
        targets = items.gather(1, target_place.clamp(max=length - 1).long())[wanted].long()
        scores = states[wanted] @ self.item_weights().T + self.bias
        loss = functional.cross_entropy(scores, targets, reduction="sum")
        return loss, (scores.detach().argmax(1) == targets).sum(), len(targets)


def make_lstm(n_items: int, params: LstmParams, seed: int) -> LstmModel:
    """A model with weights drawn from `seed`; dropout then draws from the same generator."""
    torch.manual_seed(seed)
    return LstmModel(n_items, params)


def lstm_vectors(
    spark: SparkSession, weights: Weights, n_items: int, params: LstmParams, last_plays: DataFrame
) -> EmbeddingModel:
    """The trained model as vectors; the listeners' are computed on the executors, over Arrow batches, on the CPU.

    Parameters
    ----------
    weights : of an `LstmModel(n_items, params)`.
    last_plays : (user_idx, items array<int> [length]), the newest plays of each listener, left-padded.

    Returns
    -------
    user vector = last hidden state [dim]; item vector = output embedding [dim]; bias = output bias.
    """
    model = LstmModel(n_items, params)
    model.load_state_dict(weights)
    frame = pd.DataFrame(
        {
            "item_idx": np.arange(n_items, dtype=np.int32),
            "vector": list(model.item_weights().detach().numpy().astype(np.float32)),
            "bias": model.bias.detach().numpy().astype(np.float32),
        }
    )
    items = spark.createDataFrame(frame, "item_idx int, vector array<float>, bias float")
    packed = spark.sparkContext.broadcast(save(weights))

    def infer(batches: Iterable[pd.DataFrame]) -> Iterable[pd.DataFrame]:
        worker_model = LstmModel(n_items, params)
        worker_model.load_state_dict(load(packed.value))
        worker_model.eval()
        for batch in batches:
            windows = torch.from_numpy(np.stack(batch["items"].to_list()).astype(np.int64))
            with torch.no_grad():
                states = worker_model.last_states(windows).numpy()
            yield pd.DataFrame({"user_idx": batch["user_idx"], "vector": list(states)})

    # Kept, since each pass would load the network anew in every worker; the caller may unpersist.
    users = last_plays.select("user_idx", "items").mapInPandas(infer, "user_idx int, vector array<float>").persist()
    return check_finite(EmbeddingModel(NAME, users, items))
