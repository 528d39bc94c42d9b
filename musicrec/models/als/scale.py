"""What a fit's settings are multiples of, so that they mean the same for any weights, items, listeners and plays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.models.collective import Collective
from musicrec.models.exact_sums import anchor_of

_FIGURES = ("mean_weight", "shared_items", "heard_items")


@dataclass(frozen=True)
class Scale:
    """Of the interactions that a model was fitted to; whoever is folded into it later is measured by it too.

    Attributes
    ----------
    mean_weight : of an interaction. The loss counts weights in it, so weights that are all twice as large change
        nothing.
    shared_items : how many items two listeners have in common in the mean, Σ_i n_i (n_i − 1) / (U (U − 1)) with n_i of
        U listeners of item i; for one listener, all of theirs. Items that few have played add next to nothing to it,
        however many there are, and more listeners of the same habits leave it as it is.
    heard_items : how many items a listener has, in the mean.
    """

    mean_weight: float
    shared_items: float
    heard_items: float

    @classmethod
    def of(cls, ring: Collective, weights: NDArray[np.float32], counts: NDArray[np.int64], listeners: int) -> Scale:
        """The scale of all tasks' interactions, with the same bits however they are cut into tasks.

        Parameters
        ----------
        weights : of this task's interactions.
        counts : [items] listeners of each item, over all tasks.
        listeners : how many there are over all tasks.
        """
        pairs = int(counts.sum())
        wide = weights.astype(np.float64)
        most = float(ring.reduce(np.array([wide.max(initial=0.0)]), np.maximum)[0])
        anchor = anchor_of(np.array([most * pairs]))
        total = ring.reduce(np.array([((wide + anchor) - anchor).sum()]))
        items_of = {int(n): int(items) for n, items in zip(*np.unique(counts, return_counts=True), strict=True)}
        return cls(float(total[0]) / pairs, shared_items(items_of, listeners), pairs / listeners)

    @classmethod
    def read(cls, figures: Mapping[str, float]) -> Scale | None:
        """The scale that stands among a model's figures; None where it does not."""
        return cls(*(figures[name] for name in _FIGURES)) if set(_FIGURES) <= set(figures) else None

    @property
    def figures(self) -> dict[str, float]:
        """As a model's figures hold it."""
        return {name: getattr(self, name) for name in _FIGURES}

    def in_means(self, weights: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float32]:
        """Weights as multiples of the mean one."""
        return (weights.astype(np.float64) / self.mean_weight).astype(np.float32)


def shared_items(items_of: Mapping[int, int], listeners: int) -> float:
    """`Scale.shared_items` of so many items with each number of listeners, in whole numbers, which no order changes.

    Where no two share anything, as if half a pair shared an item: with 0 nothing would keep scores down.
    """
    if listeners == 1:
        return float(items_of.get(1, 0))
    shared = sum(n * (n - 1) * items for n, items in items_of.items())
    return max(shared, 1) / (listeners * (listeners - 1))
