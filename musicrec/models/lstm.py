"""LSTM next-track model (Hidasi et al. 2016, "Session-based recommendations with recurrent neural networks")."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional

from musicrec.models.blocks import Ragged, read_lists, write_lists
from musicrec.models.embedding import EmbeddingModel, check_finite
from musicrec.models.training import NextItemLoss, Weights
from musicrec.params import Params
from musicrec.schemas import PAD_IDX

NAME = "lstm"

Places = NDArray[np.int64]

# Scores held at a time where all items are scored: 64 MB of float32.
_SCORES = 1 << 24
# Listeners whose windows are run at a time.
_LISTENERS = 1024


class LstmParams(Params):
    """The network's shape.

    Attributes
    ----------
    dim : of the item embedding, the hidden state and so of the vectors.
    layers : LSTM layers.
    dropout : on the embedding and on the last layer's output.
    tied : the output layer shares the embedding's weights.
    max_items : only so many of the most played items are told apart and can be offered; 0 for all.
    negatives : items that each step's loss compares the right ones with, drawn anew; 0 for all items.
    """

    dim: int = Field(default=64, ge=1)
    layers: int = Field(default=1, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    tied: bool = True
    max_items: int = Field(default=0, ge=0)
    negatives: int = Field(default=0, ge=0)


class LstmModel(NextItemLoss):
    """Embedding → LSTM → scores of the items of its vocabulary.

    Parameters
    ----------
    n_items : item_idx run from 0 to n_items - 1.
    params : the shape.
    vocabulary : the item_idx that are told apart, most played first; None for all. Any other item is read as one and
        the same, and is neither a target nor offered.
    """

    place_of: torch.Tensor

    def __init__(self, n_items: int, params: LstmParams, vocabulary: Places | None = None) -> None:
        super().__init__()
        known = np.arange(n_items) if vocabulary is None else np.asarray(vocabulary)
        self.size, self.negatives = len(known), params.negatives
        # Part of the weights, so a saved model says by itself which items it knows.
        self.register_buffer("place_of", torch.full((n_items,), self.size, dtype=torch.int32))
        self.place_of[torch.from_numpy(known.astype(np.int64))] = torch.arange(self.size, dtype=torch.int32)
        # Row 0 stands for padding, so place i is row i + 1; a last row, where needed, for all other items.
        rows = self.size + 1 + (self.size < n_items)
        self.embedding = nn.Embedding(rows, params.dim, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=params.dim**-0.5)
        with torch.no_grad():
            self.embedding.weight[0].zero_()
        self.lstm = nn.LSTM(params.dim, params.dim, params.layers, batch_first=True)
        self.dropout = nn.Dropout(params.dropout)
        self.output = None if params.tied else nn.Linear(params.dim, self.size, bias=False)
        self.bias = nn.Parameter(torch.zeros(self.size))

    @staticmethod
    def of_weights(weights: Weights, params: LstmParams) -> LstmModel:
        """The model that these weights are of."""
        model = LstmModel(len(weights["place_of"]), params, vocabulary_of(weights))
        model.load_state_dict(weights)
        return model

    def item_weights(self) -> torch.Tensor:
        """The output embedding, [vocabulary, dim]."""
        return self.embedding.weight[1 : self.size + 1] if self.output is None else self.output.weight

    def places(self, items: torch.Tensor) -> torch.Tensor:
        """The place of each item in the vocabulary; -1 = padding, the vocabulary's size = any other item."""
        clipped = items.long().clamp(min=0, max=len(self.place_of) - 1)
        known = torch.where(items < len(self.place_of), self.place_of[clipped].long(), self.size)
        return torch.where(items == PAD_IDX, PAD_IDX, known)

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
        moved = torch.where(real, self.places(items).gather(1, place.clamp(max=length - 1)), PAD_IDX)
        states, _ = self.lstm(self.dropout(self.embedding(moved + 1)))
        return self.dropout(states), counts

    def last_states(self, items: torch.Tensor) -> torch.Tensor:
        """The state after each row's last play, [batch, dim]: the listener's vector."""
        states, counts = self.states(items)
        return states[torch.arange(len(items)), (counts - 1).clamp(min=0)]

    def forward(self, items: torch.Tensor, first_target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Cross-entropy at each place from `first_target` on whose item is in the vocabulary.

        Over all its items, or in training, where `negatives` are drawn, over these (see `_sampled_loss`).

        Returns
        -------
        summed loss, number of right first guesses (0 where the loss is sampled), number of places.
        """
        length = items.shape[1]
        states, counts = self.states(items)
        pads = (length - counts)[:, None]
        # The state after real play t predicts the one at place pads + t + 1 of the padded window.
        target_place = torch.arange(1, length + 1, device=items.device) + pads
        wanted = (target_place >= first_target[:, None]) & (target_place < length)
        targets = self.places(items).gather(1, target_place.clamp(max=length - 1))
        wanted &= targets < self.size
        targets, states = targets[wanted], states[wanted]
        if self.training and self.negatives:
            return self._sampled_loss(states, targets), torch.zeros((), dtype=torch.long), len(targets)
        loss, right = torch.zeros((), device=items.device), torch.zeros((), dtype=torch.long, device=items.device)
        # Some rows at a time: a score for each of a large vocabulary at every place would not fit.
        rows = max(_SCORES // max(self.size, 1), 1)
        for part, expected in zip(states.split(rows), targets.split(rows), strict=True):  # type: ignore[no-untyped-call]
            scores = part @ self.item_weights().T + self.bias
            loss = loss + functional.cross_entropy(scores, expected, reduction="sum")
            right = right + (scores.detach().argmax(1) == expected).sum()
        return loss, right, len(targets)

    def _sampled_loss(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sampled softmax (Jean et al. 2015, "On Using Very Large Target Vocabulary for NMT").

        The negatives are one draw for the step, place k with probability p(k) = ln((k + 2) / (k + 1)) / ln(size + 1):
        Zipf's law over places, which stand by plays. Each counts exp(score) / (n p), which in the mean makes up the
        softmax's sum over all items but the target; a negative that is the target itself is left out.
        """
        draw = torch.rand(self.negatives, device=states.device, dtype=torch.float64)
        drawn = (torch.exp(draw * math.log(self.size + 1)).long() - 1).clamp(0, self.size - 1)
        share = torch.log1p(1.0 / (drawn.double() + 1.0)) / math.log(self.size + 1)
        weights = self.item_weights()
        own = (states * weights[targets]).sum(1) + self.bias[targets]
        others = states @ weights[drawn].T + self.bias[drawn] - torch.log(self.negatives * share).float()
        others = others.masked_fill(drawn[None, :] == targets[:, None], float("-inf"))
        return (torch.logsumexp(torch.cat([own[:, None], others], dim=1), dim=1) - own).sum()


def vocabulary_of(weights: Weights) -> Places:
    """The item_idx that a model's weights tell apart, in the order of its vocabulary."""
    place_of = weights["place_of"].cpu().numpy().astype(np.int64)
    known = np.flatnonzero(place_of < len(weights["bias"]))
    return known[np.argsort(place_of[known])]


def make_lstm(n_items: int, params: LstmParams, seed: int, vocabulary: Places | None = None) -> LstmModel:
    """A model with weights drawn from `seed`; dropout then draws from the same generator."""
    torch.manual_seed(seed)
    return LstmModel(n_items, params, vocabulary)


def warm_lstm(n_items: int, params: LstmParams, seed: int, vocabulary: Places | None, before: Weights) -> LstmModel:
    """A model that starts from the weights `before`: what is new in the vocabulary starts as in `make_lstm`."""
    model = make_lstm(n_items, params, seed, vocabulary)
    weights = model.state_dict()
    _, new, old = np.intersect1d(vocabulary_of(weights), vocabulary_of(before), return_indices=True)
    at, of = torch.from_numpy(new), torch.from_numpy(old)
    with torch.no_grad():
        for name, tensor in weights.items():
            if name == "embedding.weight":
                tensor[at + 1] = before[name][of + 1]
            elif name in ("bias", "output.weight"):
                tensor[at] = before[name][of]
            elif name != "place_of":
                tensor.copy_(before[name])
    return model


def lstm_vectors(spark: SparkSession, weights: Weights, params: LstmParams, last_plays: DataFrame) -> EmbeddingModel:
    """The trained model as vectors; the listeners' are computed on the executors, over Arrow batches, on the CPU.

    Parameters
    ----------
    weights : of an `LstmModel` with these `params`.
    last_plays : (user_idx, items array<int> [length]), the newest plays of each listener, left-padded.

    Returns
    -------
    user vector = last hidden state [dim]; item vector = output embedding [dim]; bias = output bias; of the items of
    the vocabulary only.
    """
    model = LstmModel.of_weights(weights, params)
    frame = pd.DataFrame(
        {
            "item_idx": vocabulary_of(weights).astype(np.int32),
            "vector": list(model.item_weights().detach().numpy().astype(np.float32)),
            "bias": model.bias.detach().numpy().astype(np.float32),
        }
    ).sort_values("item_idx")
    items = spark.createDataFrame(frame, "item_idx int, vector array<float>, bias float")
    packed = spark.sparkContext.broadcast(save(weights))

    def infer(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)  # a task is one core; more threads would fight over it
        worker_model = LstmModel.of_weights(load(packed.value), params)
        worker_model.eval()
        for batch in batches:
            windows = read_lists(batch["items"]).values.reshape(batch.num_rows, -1)
            with torch.no_grad():
                parts = [worker_model.last_states(part) for part in torch.tensor(windows).split(_LISTENERS)]  # type: ignore[no-untyped-call]
            states = torch.cat(parts).numpy() if parts else np.zeros((0, params.dim), np.float32)
            starts = np.arange(batch.num_rows + 1, dtype=np.int64) * params.dim
            vectors = write_lists(Ragged(states.reshape(-1), starts), pa.float32())
            yield pa.RecordBatch.from_arrays([batch["user_idx"], vectors], ["user_idx", "vector"])

    # Kept, since each pass would load the network anew in every worker; the caller may unpersist.
    users = last_plays.select(F.col("user_idx").cast("int"), "items")
    vectors = users.mapInArrow(infer, "user_idx int, vector array<float>").persist()
    return check_finite(EmbeddingModel(NAME, vectors, items))
