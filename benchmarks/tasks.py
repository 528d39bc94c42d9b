"""What a published protocol comes down to: pairs to learn from, items to find, and the figures of a model's scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.evaluation.judged import Judged
from musicrec.evaluation.metrics import ItemFacts, measure, metric_columns
from musicrec.models.blocks import Ragged

Ints = NDArray[np.int64]
Scores = NDArray[np.float32]
# Scores of all items for some listeners [listeners × items]; it may be overwritten.
Scorer = Callable[[Ints], Scores]

_BLOCK = 256
_MOST_SCORES = 1 << 26  # at a time, where there are millions of items


@dataclass(frozen=True)
class Pairs:
    """Listeners and their items, one place a pair."""

    users: Ints
    items: Ints

    def __len__(self) -> int:
        return len(self.users)

    def where(self, mask: NDArray[np.bool_]) -> Pairs:
        """Those that `mask` says."""
        return Pairs(self.users[mask], self.items[mask])

    def by_user(self, users: int) -> Ragged:
        """Each listener's items, ascending."""
        order = np.lexsort((self.items, self.users))
        starts = np.searchsorted(self.users[order], np.arange(users + 1)).astype(np.int64)
        return Ragged(self.items[order].astype(np.int32), starts)


@dataclass(frozen=True)
class Sequences:
    """The order of a task's plays, for models that learn from it.

    Attributes
    ----------
    train : each listener's items, in order, that are learned from.
    history : what is known of each listener when they are judged: at the stage `test`, the validation item too.
    valid : the task of the stage `valid`, by which a fit may stop.
    """

    train: Ragged
    history: Ragged
    valid: Task | None


@dataclass(frozen=True)
class Task:
    """A protocol's data at one stage.

    Attributes
    ----------
    users, items : how many there are.
    train : what a model learns from, each pair once.
    wanted : the items to find.
    seen : items that are not ranked for a listener; beside `train`, where that is not learned from.
    k : cut-off of the figures.
    figures : name of each in the results → column of the metrics.
    among : [listeners with a wanted item × 99] the others to rank it among; None for all items.
    sequences : the order of the plays, where the protocol has one.
    """

    users: int
    items: int
    train: Pairs
    wanted: Pairs
    seen: Pairs
    k: int
    figures: dict[str, str]
    among: Ints | None = None
    sequences: Sequences | None = None

    def judge(self, scorer: Scorer) -> dict[str, float]:
        """The protocol's figures of a model's scores."""
        if self.among is not None:
            return self._judge_among(scorer)
        wanted = self.wanted.by_user(self.users)
        known = Pairs(*(np.concatenate(parts) for parts in self._known())).by_user(self.users)
        judged = np.flatnonzero(np.diff(wanted.starts))
        best = np.empty((len(judged), self.k), np.int32)
        block = max(1, min(_BLOCK, _MOST_SCORES // self.items))
        for start in range(0, len(judged), block):
            users = judged[start : start + block]
            scores = scorer(users)
            for row, user in enumerate(users):
                scores[row, known[user]] = -np.inf
            best_items(scores, best[start : start + block])
        relevant = Ragged(wanted.values, np.concatenate([[0], np.cumsum(np.diff(wanted.starts)[judged])]))
        lists = Ragged(best.ravel(), np.arange(0, best.size + 1, self.k))
        nothing = ItemFacts.of(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
        listeners = Judged(judged, relevant, np.full(len(judged), self.items))
        values = measure(lists, listeners, np.arange(len(judged)), nothing, [self.k])
        means = dict(zip(metric_columns([self.k]), values.mean(axis=1), strict=True))
        return {name: float(means[column]) for name, column in self.figures.items()}

    def _known(self) -> list[tuple[Ints, Ints]]:
        return [(self.train.users, self.seen.users), (self.train.items, self.seen.items)]

    def _judge_among(self, scorer: Scorer) -> dict[str, float]:
        assert self.among is not None
        ranks = np.empty(len(self.wanted), np.int64)
        for start in range(0, len(ranks), _BLOCK):
            part = slice(start, start + _BLOCK)
            scores = scorer(self.wanted.users[part])
            own = np.take_along_axis(scores, self.wanted.items[part, None], axis=1)
            # Not `own <= others`: a score that is not a number must never count for the model.
            ranks[part] = 1 + (~(np.take_along_axis(scores, self.among[part], axis=1) < own)).sum(axis=1)
        gains = np.where(ranks <= self.k, 1 / np.log2(ranks + 1), 0.0)
        return {f"hr_at_{self.k}": float((ranks <= self.k).mean()), f"ndcg_at_{self.k}": float(gains.mean())}


@njit(cache=True, nogil=True)
def best_items(scores: Scores, best: NDArray[np.int32]) -> None:
    """The best columns of each row, best first, equal ones by number.

    Parameters
    ----------
    scores : [rows × items], items ≥ k.
    best : [rows × k], filled.
    """
    k = best.shape[1]
    found = np.empty(k, scores.dtype)
    for row in range(scores.shape[0]):
        count = 0
        for item in range(scores.shape[1]):
            score = scores[row, item]
            if count == k and not score > found[k - 1]:
                continue
            place = min(count, k - 1)
            while place > 0 and score > found[place - 1]:
                found[place], best[row, place] = found[place - 1], best[row, place - 1]
                place -= 1
            found[place], best[row, place] = score, item
            count = min(count + 1, k)
