"""Principal components of the listener × item matrix, distributed, without ever centring or densifying it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from musicrec.errors import InputError
from musicrec.models.blocks import ListenerBlock, Ragged, listener_blocks, read_blocks, sum_over_blocks, write_lists
from musicrec.models.embedding import EmbeddingModel, check_finite
from musicrec.models.krylov import Floats, leading_directions
from musicrec.params import Params


class PcaParams(Params):
    """Settings of the decomposition.

    Attributes
    ----------
    components : principal components to keep.
    oversampling : further directions carried along, which make the kept ones settle faster.
    max_iterations : passes over the data at most.
    tolerance : stop when every kept component's residual |Cv − λv| is at most this share of the largest λ.
    blocks : Spark partitions of the matrix; part of the result's definition, not of the cluster's size.
    """

    components: int = Field(default=32, ge=1)
    oversampling: int = Field(default=16, ge=0)
    max_iterations: int = Field(default=30, ge=1)
    tolerance: float = Field(default=1e-4, gt=0)
    blocks: int = Field(default=8, ge=1)


@dataclass(frozen=True)
class PcaModel:
    """A fitted decomposition of a matrix of n listeners (those with interactions) × width items.

    Attributes
    ----------
    embedding : listener coordinates, item loadings and, as bias, item means: the score is the reconstructed cell.
    components : orthonormal loadings [k × width], the largest entry by size of each positive; 0 for unused items.
    mean : mean weight of each item [width].
    explained_variance : variance along each component, divisor n − 1 [k].
    explained_variance_ratio : the same as a share of the matrix's total variance [k].
    """

    embedding: EmbeddingModel
    components: Floats
    mean: Floats
    explained_variance: Floats
    explained_variance_ratio: Floats

    @property
    def cumulative_ratio(self) -> Floats:
        """Share of the variance that the first components explain together [k]."""
        return np.cumsum(self.explained_variance_ratio)


@dataclass(frozen=True)
class _Columns:
    """The matrix's size and the sums that centring needs."""

    listeners: int
    mean: Floats
    used: NDArray[np.bool_]
    total_variance: float


def fit_pca(interactions: DataFrame, params: PcaParams, seed: int) -> PcaModel:
    """Find the leading principal components by randomised block Krylov iteration.

    A block Krylov iteration (see `leading_directions`) on the scatter matrix C = (A − 1μᵀ)ᵀ(A − 1μᵀ) of the sparse A,
    which is multiplied block by block on the executors and never formed. It stops at the tolerance or at
    max_iterations; figure `residual` says what was reached. Each explained variance is within residual × the largest
    one of an exact one; well separated ones are far closer (by the residual's square).

    The driver holds a few matrices of width × (components + oversampling) float64. Row and column order, block borders
    and the order of every sum follow from the data, so the input's partitions do not change a bit.

    Parameters
    ----------
    interactions : DataFrame (user_idx int, item_idx int, weight double), one row per pair; a missing pair is 0, a
        listener without any interaction is no row of the matrix. width = the largest item_idx + 1.
    params : settings.
    seed : of the first random basis.

    Returns
    -------
    PcaModel, its embedding named "pca", with item vectors for the items that have interactions. Figures: `passes`,
    `residual`, `explained_variance_ratio` (of all kept components together), `listeners`, `items`.

    Raises
    ------
    InputError : no interactions, a weight that is not finite, more components than listeners or items, or listeners
        that are all alike.
    """
    width = _check_pairs(interactions)
    blocks = listener_blocks(interactions, params.blocks).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        return _fit_blocks(blocks, width, params, seed)
    finally:
        blocks.unpersist()


def _fit_blocks(blocks: DataFrame, width: int, params: PcaParams, seed: int) -> PcaModel:
    columns = _columns(blocks, width)
    _check_size(columns, params.components)
    size = min(params.components + params.oversampling, columns.listeners, int(columns.used.sum()))
    # Unused items are 0 at the start and stay 0 in every product.
    start = np.random.default_rng(seed).standard_normal((width, size)) * columns.used[:, None]
    found = leading_directions(
        lambda block: _scatter_times(blocks, columns, block),
        start,
        params.components,
        params.max_iterations,
        params.tolerance,
    )
    variance = found.values / (columns.listeners - 1)
    ratio = variance / columns.total_variance
    figures = {
        "passes": float(found.passes),
        "residual": found.residual,
        "explained_variance_ratio": float(ratio.sum()),
        "listeners": float(columns.listeners),
        "items": float(columns.used.sum()),
    }
    users = _coordinates(blocks, columns.mean, found.vectors).persist(StorageLevel.MEMORY_AND_DISK)
    items = _loadings(blocks.sparkSession, columns, found.vectors)
    embedding = check_finite(EmbeddingModel("pca", users, items, figures))
    return PcaModel(embedding, found.vectors.T.copy(), columns.mean, variance, ratio)


def _check_pairs(interactions: DataFrame) -> int:
    """The matrix's width."""
    weight = F.col("weight").cast("double")
    bad = weight.isNull() | F.isnan(weight) | (F.abs(weight) == float("inf"))
    row = interactions.agg(F.max("item_idx").alias("last"), F.count_if(bad).alias("bad")).first()
    assert row is not None
    if row["last"] is None:
        raise InputError("interactions", "at least one to learn from", "none")
    if row["bad"]:
        raise InputError("interactions", "finite weights", f"{row['bad']} others")
    return int(row["last"]) + 1


def _check_size(columns: _Columns, components: int) -> None:
    rows, items = columns.listeners, int(columns.used.sum())
    if rows < 2:
        raise InputError("interactions", "two listeners or more", str(rows))
    if components > min(rows, items):
        raise InputError(
            "pca.components", f"at most {min(rows, items)} ({rows} listeners, {items} items)", str(components)
        )
    if not columns.total_variance > 0:
        raise InputError("interactions", "listeners that differ", f"{rows} with the same weights")


def _columns(blocks: DataFrame, width: int) -> _Columns:
    """Sizes and sums in one pass: of the weights, of their squares, and how many there are, per item."""

    def sums(listeners: ListenerBlock) -> Floats:
        matrix = listeners.matrix
        weights = np.bincount(matrix.indices, matrix.data, width)
        squares = np.bincount(matrix.indices, matrix.data**2, width)
        # One row more than items: the number of listeners.
        rows = np.stack([weights, squares, np.bincount(matrix.indices, minlength=width)], axis=1)
        return np.vstack([rows, [[len(listeners.user_idx), 0.0, 0.0]]])

    added = sum_over_blocks(blocks, sums, width, (width + 1, 3))
    listeners = int(added[-1, 0])
    mean = added[:-1, 0] / listeners
    scatter = float(np.maximum(added[:-1, 1] - listeners * mean**2, 0).sum())
    # Less than rounding leaves of equal weights is no variance.
    scatter = scatter if scatter > 1e-12 * float(added[:-1, 1].sum()) else 0.0
    return _Columns(listeners, mean, added[:-1, 2] > 0, scatter / max(listeners - 1, 1))


def _scatter_times(blocks: DataFrame, columns: _Columns, basis: Floats) -> Floats:
    """C Q = (A − 1μᵀ)ᵀ (A − 1μᵀ) Q [width × size], in one pass over A."""
    width, size = basis.shape
    mean = columns.mean
    shared = blocks.sparkSession.sparkContext.broadcast((basis, mean @ basis))

    def products(listeners: ListenerBlock) -> Floats:
        q, shift = shared.value
        centred = listeners.matrix @ q - shift
        return np.vstack([listeners.matrix.T @ centred, centred.sum(axis=0)])

    added = sum_over_blocks(blocks, products, width, (width + 1, size))
    shared.destroy()
    return added[:-1] - np.outer(mean, added[-1])


def _coordinates(blocks: DataFrame, mean: Floats, vectors: Floats) -> DataFrame:
    """(A − 1μᵀ) V, a row a listener: DataFrame (user_idx int, vector array<float> [k])."""
    width = len(mean)
    shared = blocks.sparkSession.sparkContext.broadcast((vectors, mean @ vectors))

    def project(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        loadings, shift = shared.value
        for batch in batches:
            for _, _, listeners in read_blocks(batch, width):
                coordinates = listeners.matrix @ loadings - shift
                columns = [pa.array(listeners.user_idx, pa.int32()), _vector_column(coordinates)]
                yield pa.RecordBatch.from_arrays(columns, ["user_idx", "vector"])

    return blocks.mapInArrow(project, "user_idx int, vector array<float>")


def _loadings(session: SparkSession, columns: _Columns, vectors: Floats) -> DataFrame:
    """The used items' DataFrame (item_idx int, vector array<float> [k], bias float)."""
    items = np.flatnonzero(columns.used).astype(np.int32)
    cells = [pa.array(items), _vector_column(vectors[items]), pa.array(columns.mean[items].astype(np.float32))]
    return session.createDataFrame(pa.Table.from_arrays(cells, ["item_idx", "vector", "bias"]))


def _vector_column(matrix: Floats) -> pa.ListArray:
    starts = np.arange(len(matrix) + 1, dtype=np.int64) * matrix.shape[1]
    return write_lists(Ragged(matrix.astype(np.float32).ravel(), starts), pa.float32())
