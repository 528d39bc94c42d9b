"""Several models' lists into one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.models.blocks import Ragged, read_lists, write_lists
from musicrec.models.significant import significant
from musicrec.params import Params
from musicrec.ranking.topn import LISTS_SCHEMA

Floats = NDArray[np.float64]

# Listeners fused at a time, so that a task's memory does not depend on Spark's batches.
_LISTENERS = 512


class HybridParams(Params):
    """How the models' lists are fused.

    Attributes
    ----------
    weights : each model's say by its name; 0 leaves it out, at least one is above 0.
    k : dampens the first ranks; 60 in the paper.
    """

    weights: dict[str, float] = Field(default_factory=lambda: {"als": 1.0, "pca": 1.0, "lstm": 1.0})
    k: int = Field(default=60, ge=0)

    @field_validator("weights")
    @classmethod
    def _some_weight(cls, weights: dict[str, float]) -> dict[str, float]:
        if any(not 0 <= weight < float("inf") for weight in weights.values()):
            raise ValueError("every weight must be a number ≥ 0")
        if not any(weights.values()):
            raise ValueError("at least one weight must be above 0")
        return weights


def fuse(lists_by_model: Mapping[str, DataFrame], params: HybridParams, depth: int) -> DataFrame:
    """Weighted reciprocal rank fusion: an item's score is Σ weight / (k + rank) over the lists that hold it.

    Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank Learning Methods",
    2009. Only ranks count, so the models' scores need no common scale. Scores are rounded to 30 significant bits; ties
    go to the lower item_idx.

    Parameters
    ----------
    lists_by_model : by name, DataFrame (user_idx int, items array<int>), best first, no item twice, one row per
        listener; a list without a weight is left out.
    params : settings.
    depth : length of the fused lists.

    Returns
    -------
    DataFrame (user_idx int, items array<int>, scores array<double>), best first, one row per listener in any of the
    lists.

    Raises
    ------
    InputError : a weight above 0 names no list.
    """
    weights = {name: weight for name, weight in sorted(params.weights.items()) if weight > 0}
    unknown = sorted(weights.keys() - lists_by_model.keys())
    if unknown:
        known = ", ".join(sorted(lists_by_model)) or "none"
        raise InputError("hybrid.weights", f"names among the lists ({known})", ", ".join(unknown))
    shares = np.array(list(weights.values()))
    k = params.k

    def best(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, _LISTENERS):
                part = batch.slice(start, _LISTENERS)
                items, scores = _fuse_block([read_lists(part[f"m{m}"]) for m in range(len(shares))], shares, k, depth)
                columns = [part["user_idx"], write_lists(items, pa.int32()), write_lists(scores, pa.float64())]
                yield pa.RecordBatch.from_arrays(columns, ["user_idx", "items", "scores"])

    members = [
        lists_by_model[name].select("user_idx", F.struct("items").alias(f"m{m}")) for m, name in enumerate(weights)
    ]
    # One row a listener, a column a model; a listener whom a model does not know has null there.
    filled = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), members)
    lists = [F.first(f"m{m}", ignorenulls=True).getField("items").alias(f"m{m}") for m in range(len(members))]
    return filled.groupBy("user_idx").agg(*lists).mapInArrow(best, LISTS_SCHEMA)


def _fuse_block(lists: list[Ragged], weights: Floats, k: int, depth: int) -> tuple[Ragged, Ragged]:
    """The fused items and scores of the listeners who stand in each of the models' lists."""
    listeners = len(lists[0])
    rows = np.concatenate([one.rows for one in lists])
    items = np.concatenate([one.values for one in lists]).astype(np.int64)
    ranks = [np.arange(len(one.values)) - one.starts[:-1][one.rows] + 1 for one in lists]
    parts = np.concatenate([weight / (k + rank) for weight, rank in zip(weights, ranks, strict=True)])
    # Stable, so an item's parts are added in the models' order, whoever's batch it is in.
    order = np.lexsort((items, rows))
    rows, items, parts = rows[order], items[order], parts[order]
    first = np.flatnonzero(np.diff(rows, prepend=-1) | np.diff(items, prepend=-1)) if len(rows) else order
    scores = significant(np.add.reduceat(parts, first)) if len(rows) else parts
    rows, items = rows[first], items[first]
    order = np.lexsort((items, -scores, rows))
    rows = rows[order]
    kept = np.arange(len(rows)) - np.searchsorted(rows, rows) < depth
    starts = np.searchsorted(rows[kept], np.arange(listeners + 1)).astype(np.int64)
    return Ragged(items[order][kept], starts), Ragged(scores[order][kept], starts)
