"""An LSTM over genres and title, a dense branch over the numbers, one head for popularity and popular or not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from musicrec.models.neural.checkpoint import Weights
from musicrec.models.popularity.params import NetworkParams

# The least width of a bin, in deviations.
_NARROW = 1e-3


class PiecewiseLinear(nn.Module):
    """Each number as its place in `bins` bins: 1 in those below it, 0 in those above, a share in its own.

    So a layer behind it can follow a curve (Gorishniy et al. 2022, "On embeddings for numerical features").

    Parameters
    ----------
    edges : float [numbers, bins + 1], rising.
    """

    edges: torch.Tensor

    def __init__(self, edges: torch.Tensor) -> None:
        super().__init__()
        # Part of the weights, so a saved network holds them.
        self.register_buffer("edges", edges)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """[batch, numbers] → [batch, numbers × bins]."""
        low, high = self.edges[:, :-1], self.edges[:, 1:]
        # Equal edges, where many tracks have one value, make a step.
        place = (numbers[..., None] - low) / (high - low).clamp(min=_NARROW)
        return place.clamp(0, 1).flatten(1)


class PopularityNetwork(nn.Module):
    """[LSTM over embedded genres and words ; dense layers over the numbers] → (scaled popularity, logit of popular).

    Genres come before the title's words, in one embedding. What is read of the LSTM is the mean of its states and its
    last one, so that a long title does not hide the genres.

    Parameters
    ----------
    n_numbers, n_genres, n_words : sizes of the feature space.
    params : the shape.
    positive_weight : how much more a popular track counts in the loss of popular or not.
    """

    def __init__(
        self, n_numbers: int, n_genres: int, n_words: int, params: NetworkParams, positive_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.params, self.n_genres, self.positive_weight = params, n_genres, positive_weight
        self.embedding = nn.Embedding(1 + n_genres + n_words, params.dim, padding_idx=0)
        self.lstm = nn.LSTM(params.dim, params.hidden, batch_first=True)
        self.bins = PiecewiseLinear(torch.zeros(n_numbers, params.bins + 1))
        layers: list[nn.Module] = []
        for before, after in pairwise((n_numbers * params.bins, *params.dense)):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.dense = nn.Sequential(*layers)
        self.dropout = nn.Dropout(params.dropout)
        width = 2 * params.hidden + params.dense[-1]
        self.head = nn.Sequential(nn.Linear(width, params.dense[-1]), nn.ReLU(), nn.Linear(params.dense[-1], 2))

    def scores(self, numbers: torch.Tensor, genres: torch.Tensor, title: torch.Tensor) -> torch.Tensor:
        """[batch, 2]: the scaled popularity, and the logit that the track is popular.

        Parameters
        ----------
        numbers : float [batch, numbers].
        genres, title : int [batch, length], 0 = nothing.
        """
        tokens = torch.cat([genres, torch.where(title > 0, title + self.n_genres, 0)], dim=1).long()
        if self.training and self.params.word_dropout:
            tokens = torch.where(torch.rand(tokens.shape, device=tokens.device) < self.params.word_dropout, 0, tokens)
        text = self._text(*_to_the_front(tokens))
        made: torch.Tensor = self.head(self.dropout(torch.cat([text, self.dense(self.bins(numbers))], dim=1)))
        return made

    def forward(
        self,
        numbers: torch.Tensor,
        genres: torch.Tensor,
        title: torch.Tensor,
        popularity: torch.Tensor,
        is_popular: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(summed loss, rows): squared error of the scaled popularity and weighted binary cross-entropy of popular."""
        made = self.scores(numbers, genres, title).float()
        share = self.params.class_weight
        squared = functional.mse_loss(made[:, 0], popularity, reduction="sum")
        weight = torch.tensor(self.positive_weight, device=made.device)
        crossed = functional.binary_cross_entropy_with_logits(
            made[:, 1], is_popular, reduction="sum", pos_weight=weight
        )
        return (1 - share) * squared + share * crossed, torch.tensor(len(made), device=made.device)

    def _text(self, tokens: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """[batch, 2 hidden]: the last state and the mean; zeros where there is no text."""
        states, _ = self.lstm(self.dropout(self.embedding(tokens)))
        is_word = (torch.arange(tokens.shape[1], device=tokens.device) < counts[:, None])[..., None]
        last = states[torch.arange(len(tokens), device=tokens.device), (counts - 1).clamp(min=0)]
        mean = (states * is_word).sum(1) / counts.clamp(min=1)[:, None]
        return torch.cat([last * (counts > 0)[:, None], mean], dim=1)


def make_network(
    sizes: tuple[int, int, int],
    numbers: NDArray[np.float32],
    params: NetworkParams,
    positive_weight: float,
    seed: int,
) -> PopularityNetwork:
    """A network with weights drawn from `seed`; dropout is then drawn from the same generator.

    Parameters
    ----------
    sizes : numbers, genres and words of the feature space.
    numbers : [tracks, numbers] of the training side, whose quantiles are the edges of the bins.
    """
    torch.manual_seed(seed)
    network = PopularityNetwork(*sizes, params, positive_weight)
    edges = np.quantile(numbers, np.linspace(0, 1, params.bins + 1), axis=0).T
    network.bins.edges.copy_(torch.from_numpy(edges.astype(np.float32)))
    return network


def network_of_weights(weights: Weights, sizes: tuple[int, int, int], params: NetworkParams) -> PopularityNetwork:
    """The network that these weights are of, to predict with."""
    network = PopularityNetwork(*sizes, params)
    network.load_state_dict(weights)
    return network.eval()


def _to_the_front(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Words in their order with the gaps behind them, as wide as the longest row, and how many each row has."""
    is_gap = tokens == 0
    counts = (~is_gap).sum(1)
    longest = max(int(counts.max()), 1) if len(tokens) else 1
    order = torch.argsort(is_gap.int(), dim=1, stable=True)
    return tokens.gather(1, order)[:, :longest], counts
