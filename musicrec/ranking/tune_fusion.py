"""The weights of a fusion that rank best what was played later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec.errors import InputError
from musicrec.models.blocks import Ragged, find, read_lists
from musicrec.models.significant import BITS, significant
from musicrec.ranking.fusion import HybridParams

Array = NDArray[Any]
Floats = NDArray[np.float64]

# Tried for each model in turn; what counts is how they stand to each other.
GRID = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)

# Scores are compared as `fuse` rounds them, by their 40 bits that are not zero; a listener's lists hold fewer than 2²⁰
# items.
_PLACE_BITS = 20
_LAST_PLACE = (1 << _PLACE_BITS) - 1


@dataclass(frozen=True)
class Judgements:
    """Lists of some listeners and what was relevant for them, side by side.

    Attributes
    ----------
    lists : each model's items, best first, by its name.
    relevant : item_idx that are relevant [listeners].
    """

    lists: Mapping[str, Ragged]
    relevant: Ragged

    @classmethod
    def collect(cls, lists: Mapping[str, DataFrame], relevant: DataFrame) -> Judgements:
        """From DataFrames (user_idx, items array<int>) and (user_idx, relevant array<int>), a row a listener.

        Listeners without a row in `relevant` are left out: 4 bytes an entry on the driver.
        """
        judged = relevant.select("user_idx", "relevant").toArrow().sort_by("user_idx").combine_chunks()
        users = judged["user_idx"].to_numpy()
        found = {}
        for name, made in lists.items():
            rows = made.select("user_idx", "items").toArrow().sort_by("user_idx").combine_chunks()
            found[name] = _aligned(rows, users)
        return cls(found, read_lists(judged["relevant"].combine_chunks()))


def _aligned(rows: pa.Table, users: Array) -> Ragged:
    """Each listener's list, an empty one where there is none."""
    lists = read_lists(rows["items"].combine_chunks())
    at, is_there = find(users, rows["user_idx"].to_numpy())
    lengths = np.where(is_there, np.diff(lists.starts)[at] if len(lists) else 0, 0)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = [lists[place] for place, there in zip(at, is_there, strict=True) if there]
    return Ragged(np.concatenate([np.zeros(0, np.int32), *values]), starts)


@dataclass(frozen=True)
class TunedFusion:
    """Weights and what they reach: the mean NDCG of the listeners, and that of each model alone."""

    params: HybridParams
    ndcg: float
    alone: Mapping[str, float]


def tune_fusion(
    judgements: Sequence[Judgements],
    names: Sequence[str],
    *,
    k: int = 60,
    at: int = 10,
    grid: Sequence[float] = GRID,
    passes: int = 3,
) -> TunedFusion:
    """The weights with the highest mean NDCG, by coordinate ascent from the best model alone.

    In each pass every model's weight is set to the one of `grid` that ranks best while the others stay, until a pass
    changes nothing. Where two do equally well the one nearer the start stays, so the same lists give the same weights.

    Parameters
    ----------
    judgements : of one or more validation times; each listener of each counts once.
    names : the models that may have a weight, each with lists in all judgements.
    k : of the reciprocal ranks.
    at : cut-off of NDCG.
    grid : weights to try.
    passes : at most.

    Raises
    ------
    InputError : no listener has anything relevant, or no name is given.
    """
    names = sorted(names)
    if not names or not any(len(one.relevant) for one in judgements):
        raise InputError("fusion's tuning", "models' lists and listeners who played something new", "none")
    parts = [_Parts.of(one, names, k) for one in judgements]

    def reached(weights: Floats) -> float:
        return float(np.concatenate([part.ndcg(weights, at) for part in parts]).mean())

    alone = {name: reached(np.eye(len(names))[place]) for place, name in enumerate(names)}
    weights = np.eye(len(names))[max(range(len(names)), key=lambda place: alone[names[place]])]
    best = max(alone.values())
    for _ in range(passes):
        before = best
        for place in range(len(names)):
            for tried in grid:
                other = weights.copy()
                other[place] = tried
                value = reached(other) if other.any() else 0.0
                if value > best + 1e-9:
                    weights, best = other, value
        if best == before:
            break
    params = HybridParams(weights=dict(zip(names, weights.tolist(), strict=True)), k=k)
    return TunedFusion(params, best, alone)


def fused_ndcg(judgements: Judgements, params: HybridParams, at: int = 10) -> Floats:
    """NDCG of each listener's fused list [listeners]; ties as in `fuse`."""
    names = sorted(name for name, weight in params.weights.items() if weight > 0)
    part = _Parts.of(judgements, names, params.k)
    return part.ndcg(np.array([params.weights[name] for name in names]), at)


@dataclass(frozen=True)
class _Parts:
    """Every entry of any list once.

    Attributes
    ----------
    rows : its listener [entries]; a listener's entries stand by item.
    parts : 1 / (k + rank) in each model's list, 0 where it is in none [entries × models].
    is_relevant : [entries].
    ideal : how many are relevant for each listener [listeners].
    """

    rows: Array
    parts: Floats
    is_relevant: Array
    ideal: Array

    @classmethod
    def of(cls, judgements: Judgements, names: Sequence[str], k: int) -> _Parts:
        keys, values = [], []
        for name in names:
            lists = judgements.lists[name]
            keys.append(_keys(lists))
            values.append(1.0 / (k + np.arange(len(lists.values)) - lists.starts[lists.rows] + 1.0))
        entries = np.unique(np.concatenate(keys))
        parts = np.zeros((len(entries), len(names)))
        for place, (own, value) in enumerate(zip(keys, values, strict=True)):
            parts[np.searchsorted(entries, own), place] = value
        is_relevant = np.isin(entries, _keys(judgements.relevant))
        return cls(entries >> 32, parts, is_relevant, np.diff(judgements.relevant.starts))

    def ndcg(self, weights: Floats, at: int) -> Floats:
        """Of each listener with these weights."""
        # Model by model, as `fuse` adds them up, so that what ties there ties here.
        scores = np.zeros(len(self.rows))
        for place, weight in enumerate(weights):
            scores += weight * self.parts[:, place]
        # One number for score and place, the lower item above the higher one where scores tie; 0 for what no model with
        # a weight lists.
        starts = np.searchsorted(self.rows, np.arange(len(self.ideal) + 1))
        width = max(int(np.diff(starts).max(initial=0)), at)
        within = np.arange(len(self.rows)) - starts[self.rows]
        ranked = (significant(scores).view(np.int64) >> (53 - BITS) << _PLACE_BITS) | (_LAST_PLACE - within)
        keys = np.zeros((len(self.ideal), width), np.int64)
        keys[self.rows, within] = np.where(scores > 0, ranked, 0)
        top = -np.sort(-np.partition(keys, width - at, axis=1)[:, width - at :], axis=1)
        entry = np.where(top > 0, starts[:-1, None] + _LAST_PLACE - (top & _LAST_PLACE), 0)
        hits = (top > 0) & self.is_relevant[entry] if len(self.rows) else np.zeros(top.shape, np.bool_)
        discounts = 1.0 / np.log2(np.arange(at) + 2.0)
        return np.asarray(hits @ discounts / np.cumsum(discounts)[np.minimum(self.ideal, at) - 1])


def _keys(lists: Ragged) -> Array:
    return np.asarray((lists.rows << 32) | lists.values.astype(np.int64))
