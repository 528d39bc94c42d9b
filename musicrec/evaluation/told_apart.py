"""Whether a model's scores tell items apart: of one that gives all items the same score, a list is only an order of
their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from musicrec.errors import DegenerateModelError
from musicrec.models.significant import significant

Array = NDArray[Any]
Counts = NDArray[np.int64]

# A model is refused where more than this share of the listeners has too few different scores.
_MOST = 0.5
# Of what the data tells apart; two items may happen to have one score.
_OF_POSSIBLE = 0.9


@dataclass(frozen=True)
class Sample:
    """A model's scores for some listeners and items.

    Attributes
    ----------
    users, items : vectors [listeners × d], [items × d].
    bias : of the items [items].
    """

    users: Array
    items: Array
    bias: Array

    def different_scores(self) -> Counts:
        """As `different`, of the products with the biases."""
        wide, bias = self.items.astype(np.float64), self.bias.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            return different(wide @ user.astype(np.float64) + bias for user in self.users)

    def different_items(self) -> Counts:
        """How many of the items' vectors and biases differ, for each listener [listeners]."""
        return np.full(len(self.users), len(np.unique(np.column_stack([self.items, self.bias]), axis=0)), np.int64)


def different(scores: Iterable[Array]) -> Counts:
    """How many different scores each listener's items have [listeners]; 0 where one of them is NaN or infinite."""
    return np.array([len(np.unique(significant(own))) if np.isfinite(own).all() else 0 for own in scores], np.int64)


def different_by_plays(weights: csr_matrix, listeners: Counts, items: Counts) -> Counts:
    """How many of the items the plays themselves tell apart for each listener [listeners].

    By the plainest score there is: Σ over listeners v of (what v plays that the listener plays too) × v's weight of the
    item. Items that the same listeners play as often have the same, and so has all that no one plays who shares
    anything with the listener.

    Parameters
    ----------
    weights : all listeners' [rows × columns], not negative.
    listeners, items : the row of each listener of the sample, the column of each of its items, −1 where it has none.
    """
    rows, columns = listeners[listeners >= 0], items[items >= 0]
    scores = (weights[rows] @ weights.T @ weights[:, columns]).tocsr()
    found = np.zeros(len(listeners), np.int64)
    apart = [len(np.unique(significant(scores[row].data))) for row in range(len(rows))]
    # What no sum reaches has 0.
    has_zero = np.diff(scores.indptr) < len(items)
    found[listeners >= 0] = np.array(apart, np.int64) + has_zero
    found[listeners < 0] = min(1, len(items))
    return found


def check_told_apart(name: str, settings: str, found: Counts, places: int, possible: Callable[[], Counts]) -> None:
    """Refuse a model that gives most of its listeners fewer different scores than a list has places.

    Where the data tells fewer items apart, nine tenths of those are enough.

    Parameters
    ----------
    name, settings : of the model, for the message.
    found : the different scores of each listener of a sample; 0 where one is not finite.
    places : of a list.
    possible : how many can differ for each; asked only where there are too few.

    Raises
    ------
    DegenerateModelError : more than half of them have too few.
    """
    if not len(found) or np.mean(found < places) <= _MOST:
        return
    needed = np.minimum(places, np.ceil(_OF_POSSIBLE * possible()))
    too_few = found < needed
    if np.mean(too_few) <= _MOST:
        return
    worst = int(np.median(found[too_few]))
    what = "scores that are not finite" if worst == 0 else f"{worst} different score{'' if worst == 1 else 's'}"
    share = f"{100 * np.mean(too_few):.0f} % of {len(found)} listeners"
    raise DegenerateModelError(name, f"{what} for {int(np.median(needed[too_few]))} places for {share}", settings)
