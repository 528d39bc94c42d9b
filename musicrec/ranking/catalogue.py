"""What the top-N engine ranks: the items in tiles, those that can score highest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.models.blocks import find, read_vectors

Array = NDArray[Any]

Metric = Literal["dot", "cosine"]


@dataclass(frozen=True)
class Catalogue:
    """Items by falling bound on their score; the score of item j for listener vector x is scale_j (y_j · x) + bias_j.

    Attributes
    ----------
    item_idx : int32 [m], each once.
    vectors : float32 [m × d].
    scale : float64 [m]; 1 for the dot product, 1 / |y_j| for the cosine (0 for a vector of zeros).
    bias : float32 [m].
    artist_idx : int32 [m], −1 where an item has none.
    norms : float64 [m], scale_j |y_j|.
    """

    item_idx: Array
    vectors: Array
    scale: Array
    bias: Array
    artist_idx: Array
    norms: Array

    def __len__(self) -> int:
        return len(self.item_idx)

    def rows_of(self, items: Array) -> Array:
        """The row of each item, −1 where the catalogue lacks it: int64 as long as `items`."""
        if not len(self):
            return np.full(len(items), -1, np.int64)
        ascending, order = self._by_item
        at, is_there = find(items, ascending)
        return np.where(is_there, order[at], -1).astype(np.int64)

    @cached_property
    def _by_item(self) -> tuple[Array, Array]:
        """The items ascending, and their rows."""
        order = np.argsort(self.item_idx, kind="stable")
        return self.item_idx[order], order

    def flat(self) -> dict[str, Array]:
        """The columns as one-dimensional arrays by name, for `from_flat`."""
        return {one.name: getattr(self, one.name).reshape(-1) for one in fields(self)}

    @staticmethod
    def from_flat(arrays: Mapping[str, Array]) -> Catalogue:
        """The catalogue that `flat` took apart; no number is copied."""
        size = len(arrays["item_idx"])
        vectors = arrays["vectors"].reshape(size, -1 if size else 0)
        return Catalogue(**{**arrays, "vectors": vectors})


def lengths(vectors: Array) -> Array:
    """The Euclidean norm of each row, float64."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)))


def scales(norms: Array, metric: Metric) -> Array:
    """What a vector is multiplied with for the metric, by its norm."""
    if metric == "dot":
        return np.ones(len(norms))
    return np.divide(1.0, norms, out=np.zeros(len(norms)), where=norms > 0)


def arrange(item_idx: Array, vectors: Array, bias: Array, artist_idx: Array, metric: Metric, size: float) -> Catalogue:
    """The items ordered by scale |y| × size + bias, highest first.

    Parameters
    ----------
    item_idx, vectors, bias, artist_idx : as in `Catalogue`, in any order.
    metric : of the scores.
    size : a usual norm of a listener's vector. It changes how fast lists are found, not what they hold.
    """
    norms = lengths(vectors)
    scale = scales(norms, metric)
    order = np.lexsort((item_idx, -(norms * scale * size + bias)))
    rows = (item_idx.astype(np.int32), vectors.astype(np.float32), scale, bias.astype(np.float32))
    ordered = [np.ascontiguousarray(column[order]) for column in (*rows, artist_idx.astype(np.int32), norms * scale)]
    return Catalogue(*map(_read_only, ordered))


def _read_only(array: Array) -> Array:
    """As arrays in shared memory are, so that kernels are compiled for one kind of array."""
    array.setflags(write=False)
    return array


def collect_catalogue(offered: DataFrame, users: DataFrame, metric: Metric) -> Catalogue:
    """The catalogue on the driver: 4 d + 28 bytes an item, so 300 MB for a million items of 64.

    Parameters
    ----------
    offered : DataFrame (item_idx int, vector array<float>, bias float, artist_idx int or null), one row per item.
    users : DataFrame (vector array<float>); a few are looked at where items have biases.
    metric : of the scores.
    """
    columns = {"item_idx": "int", "vector": "array<float>", "bias": "float", "artist_idx": "int"}
    rows = offered.select(*(F.col(name).cast(kind).alias(name) for name, kind in columns.items())).toArrow()
    vectors = read_vectors(rows["vector"].combine_chunks())
    bias = rows["bias"].to_numpy()
    size = 1.0
    if metric == "dot" and bias.any():
        some = read_vectors(
            users.select(F.col("vector").cast("array<float>")).limit(256).toArrow()["vector"].combine_chunks()
        )
        size = float(np.median(lengths(some))) if len(some) else 1.0
    artists = pc.fill_null(rows["artist_idx"], -1).to_numpy()
    return arrange(rows["item_idx"].to_numpy(), vectors, bias, artists, metric, size)
