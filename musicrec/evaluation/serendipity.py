"""Hits that a list of the popular would not have had."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from musicrec.models.blocks import Ragged


def serendipity(lists: Ragged, relevant: Ragged, expected: Ragged, k: int) -> NDArray[np.float64]:
    """|L(k) ∩ R \\ P(k)| / k of each listener: L their list, R what is relevant, P what a primitive model lists.

    Ge, Delgado-Battenfeld and Jannach, "Beyond Accuracy: Evaluating Recommender Systems by Coverage and Serendipity",
    2010: useful and unexpected, where the expected is the primitive model's list, here of the popular.

    Parameters
    ----------
    lists, relevant, expected : item_idx, a list a listener, side by side; `lists` and `expected` best first.
    k : cut-off.

    Returns
    -------
    [listeners].
    """
    found = np.zeros(len(lists))
    for u in range(len(lists)):
        hits = np.intersect1d(lists[u][:k], relevant[u])
        found[u] = len(np.setdiff1d(hits, expected[u][:k])) / k
    return found
