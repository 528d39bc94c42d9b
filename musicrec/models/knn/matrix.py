"""The weighted sparse matrix whose rows are compared, both ways round and ready for the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.sparse import csr_matrix

from musicrec.errors import InputError, NonFiniteError
from musicrec.params import Params

Array = NDArray[Any]

# A weight below this is none: the product of two must not vanish in a double.
_LEAST = 1e-150


class KnnParams(Params):
    """How alike two rows are. Rows are items described by their listeners, or listeners by their items.

    Attributes
    ----------
    k : neighbours of each row.
    weighting : `none` takes the interactions' weights x as they are; `tfidf` √x × idf; `bm25`
        x (bm25_k1 + 1) / (bm25_k1 × length + x) × idf, length = 1 − bm25_b + bm25_b × Σ x of the row / its mean over
        rows; idf = ln(rows / (1 + rows that the listener or item is in)). As `implicit` weighs them.
    normalize : divide the product of two rows by their lengths (cosine); else it is the score itself.
    shrinkage : h of the score x·y / (|x|^2a |y|^2(1 − a) + h), which mistrusts what rests on little (Ferrari Dacrema,
        Cremonesi and Jannach, "Are We Really Making Much Progress?", 2019).
    asymmetry : a; 0.5 is the cosine, 1 the share of the row's own weight (Aiolli, "Efficient Top-N Recommendation for
        Very Large Scale Binary Rated Datasets", 2013).
    bm25_k1, bm25_b : of the BM25 weighting.
    """

    k: int = Field(default=100, ge=1, le=1000)
    weighting: Literal["none", "tfidf", "bm25"] = "none"
    normalize: bool = True
    shrinkage: float = Field(default=0.0, ge=0)
    asymmetry: float = Field(default=0.5, ge=0, le=1)
    bm25_k1: float = Field(default=1.2, ge=0)
    bm25_b: float = Field(default=0.75, ge=0, le=1)

    @model_validator(mode="after")
    def _check_shrinkage(self) -> Self:
        if not self.normalize and (self.shrinkage or self.asymmetry != 0.5):
            raise ValueError("shrinkage and asymmetry need normalize = true")
        return self


@dataclass(frozen=True)
class RowMatrix:
    """Rows of L and of M such that L M holds every pair's score, undivided where `sizes` is not empty.

    Rows stand by how many entries they have, most first: the cells that are added to most often then lie together.

    Attributes
    ----------
    names : what each row is called [rows].
    left : L = the weighted rows [rows × terms].
    right : M [terms × rows].
    own_sizes, sizes : |x|^2a and |x|^2(1 − a) of each row, or empty.
    work : products that each row takes [rows].
    """

    names: Array
    left: csr_matrix
    right: csr_matrix
    own_sizes: Array
    sizes: Array
    work: Array


def row_matrix(pairs: DataFrame, rows: str, terms: str, params: KnnParams) -> RowMatrix:
    """The rows to compare, on the driver: 24 bytes a pair, and as much again while it is built.

    Parameters
    ----------
    pairs : DataFrame with int columns `rows` and `terms` and weight double > 0, one row per pair.

    Raises
    ------
    InputError : no pairs, a pair twice, or a weight that is not a positive number.
    NonFiniteError : the weights are too large to be multiplied.
    """
    columns = [F.col(rows).cast("int"), F.col(terms).cast("int"), F.col("weight").cast("double")]
    found = pairs.select(*columns).toArrow()
    return row_matrix_of(found[0].to_numpy(), found[1].to_numpy(), found[2].to_numpy(), params)


def row_matrix_of(own: Array, other: Array, weights: Array, params: KnnParams) -> RowMatrix:
    """The same of arrays, one place a pair: the row, the term and the weight."""
    _check(own, other, weights)
    counts = np.bincount(own)
    names = np.flatnonzero(counts)
    names = names[np.argsort(-counts[names], kind="stable")]
    place = np.empty(len(counts), np.int32)
    place[names] = np.arange(len(names), dtype=np.int32)
    # By rows, by columns and by rows again: two counting sorts, after which both ways round are in order.
    shape = (len(names), int(other.max()) + 1)
    by_term = csr_matrix((weights, (place[own], other)), shape).tocsc()
    if by_term.nnz < len(weights):
        raise InputError("interactions", "one row per pair", f"{len(weights) - by_term.nnz} pairs more than once")
    matrix = _weighted(by_term.tocsr(), params)
    squares = np.bincount(_rows_of(matrix), matrix.data**2, matrix.shape[0])
    if not np.isfinite(squares).all():
        raise NonFiniteError("the squares of the interactions' weights are beyond a double")
    return _both_ways(matrix, names.astype(np.int32), np.sqrt(squares), params)


def _check(own: Array, other: Array, weights: Array) -> None:
    if not len(own):
        raise InputError("interactions", "at least one to learn from", "none")
    bad = int((~((weights > 0) & (weights < np.inf))).sum())
    if bad:
        raise InputError("interactions", "positive finite weights", f"{bad} others")
    if min(own.min(), other.min()) < 0:
        raise InputError("interactions", "user_idx and item_idx from 0", str(min(own.min(), other.min())))


def _rows_of(matrix: csr_matrix) -> Array:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _weighted(matrix: csr_matrix, params: KnnParams) -> csr_matrix:
    """The matrix with its weighting, without what weighs nothing."""
    if params.weighting != "none":
        rows, x = matrix.shape[0], matrix.data
        seen = np.bincount(matrix.indices, minlength=matrix.shape[1])
        # Below zero where a term is in all rows; only its square ever counts.
        idf = np.abs(np.log(rows) - np.log1p(seen))[matrix.indices]
        if params.weighting == "tfidf":
            matrix.data = np.sqrt(x) * idf
        else:
            sums = np.bincount(_rows_of(matrix), x, rows)
            length = (1 - params.bm25_b + params.bm25_b * sums / sums.mean())[_rows_of(matrix)]
            matrix.data = x * (params.bm25_k1 + 1) / (params.bm25_k1 * length + x) * idf
    matrix.data[matrix.data < _LEAST] = 0.0
    matrix.eliminate_zeros()
    return matrix


def _both_ways(left: csr_matrix, names: Array, lengths: Array, params: KnnParams) -> RowMatrix:
    seen = np.bincount(left.indices, minlength=left.shape[1])
    work = np.bincount(_rows_of(left), seen[left.indices], left.shape[0])
    own = sizes = np.zeros(0)
    if params.normalize:
        # A row without weight has no products to divide.
        lengths = np.where(lengths > 0, lengths, 1.0)
        own, sizes = lengths ** (2 * params.asymmetry), lengths ** (2 * (1 - params.asymmetry))
    right = left.T.tocsr()
    if params.normalize and params.shrinkage == 0:
        left = csr_matrix((left.data / np.repeat(own, np.diff(left.indptr)), left.indices, left.indptr), left.shape)
        right.data /= sizes[right.indices]
        own = sizes = np.zeros(0)
    return RowMatrix(names, left, right, own, sizes, work)
