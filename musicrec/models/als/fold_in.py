"""Vectors of new or changed listeners from a fit's item vectors alone: the listeners' half of one iteration of ALS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.core.broadcast import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.models.als.axes import principal_axes
from musicrec.models.als.block import solve_fully
from musicrec.models.als.params import AlsParams
from musicrec.models.als.scale import Scale
from musicrec.models.blocks import Ragged, read_lists, write_lists
from musicrec.models.embedding import ItemMatrix, collect_items
from musicrec.models.sparse import SparseRows


class FoldIn:
    """Solves listeners against fixed items.

    Parameters
    ----------
    items : item vectors of a fit of ALS [m × d].
    params, scale : the settings of that fit, and what they are multiples of.
    """

    def __init__(self, items: ItemMatrix, params: AlsParams, scale: Scale) -> None:
        self.items, self._params, self._scale = items, params, scale
        self._unobserved = params.unobserved_weight(scale)
        wide = items.vectors.astype(np.float64)
        self._gram = self._unobserved * (wide.T @ wide)

    def vector(self, item_idx: NDArray[np.int32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """The optimum for one listener [d]: x = (α₀ YᵀY + Σ w y yᵀ + λ)⁻¹ Σ (α₀ + w) y with w = weight / mean weight.

        Parameters
        ----------
        item_idx, weights : what was played, each item once; items without a vector are passed over, and a listener of
            nothing else is 0.
        """
        rows, known = self.items.positions(item_idx)
        near = self.items.vectors[rows[known]].astype(np.float64)
        if not len(near):
            return np.zeros(self._gram.shape[0], np.float32)
        own = np.asarray(weights, np.float64)[known] / self._scale.mean_weight
        penalty = self._params.penalties(np.array([len(near)]), self._scale)[0]
        left = self._gram + (near * own[:, None]).T @ near + penalty * np.eye(self._gram.shape[0])
        right = near.T @ (self._unobserved + own)
        return np.asarray(np.linalg.solve(left, right), dtype=np.float32)

    def vectors(self, item_idx: Ragged, weights: Ragged) -> NDArray[np.float32]:
        """The same for many listeners at once, by the compiled kernel of the fit [n × d]."""
        rows, known = self.items.positions(item_idx.values)
        kept = np.concatenate([[0], np.cumsum(known)])[item_idx.starts]
        values = self._scale.in_means(weights.values[known])
        entries = SparseRows(kept, rows[known].astype(np.int32), values, len(self.items.item_idx))
        found = np.zeros((len(item_idx), self._gram.shape[0]), np.float32)
        turned, spectrum, axes = self._turned
        solve_fully(entries, self._scale, self._params, turned, spectrum, found)
        return np.asarray(found @ axes.T)

    @cached_property
    def _turned(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """The items in the basis that the kernel asks for, and that basis."""
        spectrum, axes = principal_axes(self._gram)
        return self.items.vectors @ axes, spectrum, axes


def fold_in(interactions: DataFrame, item_vectors: DataFrame, params: AlsParams, scale: Scale) -> DataFrame:
    """The vectors of all listeners of `interactions`, as a fit that ends with these items would have them.

    Parameters
    ----------
    interactions : DataFrame (user_idx int, item_idx int, weight double > 0), one row per pair, a listener's all.
    item_vectors : DataFrame (item_idx, vector, bias) of a fit of ALS; collected and broadcast.
    params, scale : the settings of that fit, and what they are multiples of.

    Returns
    -------
    DataFrame (user_idx int, vector array<float>), one row per listener.
    """
    shared = interactions.sparkSession.sparkContext.broadcast(FoldIn(collect_items(item_vectors), params, scale))
    entry = F.struct(F.col("item_idx").cast("int").alias("item_idx"), F.col("weight").cast("double").alias("weight"))
    lists = interactions.groupBy(F.col("user_idx").cast("int")).agg(F.array_sort(F.collect_list(entry)).alias("own"))
    rows = lists.select("user_idx", F.col("own.item_idx").alias("items"), F.col("own.weight").alias("weights"))
    return rows.mapInArrow(_folder(shared), "user_idx int, vector array<float>")


def _folder(shared: Broadcast[FoldIn]) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def fold(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            items, weights = read_lists(batch["items"]), read_lists(batch["weights"])
            found = shared.value.vectors(items, weights)
            starts = np.arange(len(found) + 1, dtype=np.int64) * found.shape[1]
            vectors = write_lists(Ragged(found.ravel(), starts), pa.float32())
            yield pa.RecordBatch.from_arrays([batch["user_idx"], vectors], ["user_idx", "vector"])

    return fold
