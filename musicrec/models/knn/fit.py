"""Nearest neighbours over the sparse matrix of listeners and items: exact, in memory bounded by the pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from scipy.sparse import csr_matrix

from musicrec.models.blocks import Ragged, read_lists, write_lists
from musicrec.models.knn.matrix import KnnParams, RowMatrix, row_matrix
from musicrec.models.shared_arrays import SharedArrays

Side = Literal["item", "user"]
Array = NDArray[Any]

# Products in a task, at most, but for a single longer row: well under a second.
_TASK_WORK = 1 << 28
# What a row costs beside its products, in products.
_ROW_WORK = 1000
# Rows that come out of a task together.
ROWS = 1024


def fit_knn(interactions: DataFrame, params: KnnParams, side: Side = "item") -> DataFrame:
    """The k nearest rows of every row, exactly; two rows without a common term are no neighbours.

    The matrix goes to every executor once, both ways round (24 bytes a pair); a task takes a range of rows of about
    equal work, Σ over a row's terms of the rows they are in, and holds 20 bytes a row beside its lists. Scores are
    summed in float64 in the order of the terms, to 30 significant bits, and ranked, best first, then by index:
    partitions change nothing.

    Parameters
    ----------
    interactions : DataFrame (user_idx int, item_idx int, weight double > 0), one row per pair.
    params : settings.
    side : whose neighbours: items by their listeners, or listeners by their items.

    Returns
    -------
    DataFrame (item_idx or user_idx int, neighbours array<int>, scores array<double>), a row for each that has an
    interaction, best neighbour first, itself left out. Lazy, but for the matrix, which is collected at once.

    Raises
    ------
    InputError, NonFiniteError : as `row_matrix` does.
    """
    session = interactions.sparkSession
    rows, terms = ("item_idx", "user_idx") if side == "item" else ("user_idx", "item_idx")
    matrix = row_matrix(interactions, rows, terms, params)
    bounds = _bounds(matrix.work, session.sparkContext.defaultParallelism)
    shared, k, shrinkage = SharedArrays(session, kernel_arrays(matrix)), params.k, params.shrinkage

    def nearest(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from musicrec.models.knn.kernels import top_products

        a = shared.read()
        left, right = (a["rows"], a["terms"], a["factors"]), (a["starts"], a["columns"], a["values"])
        divide_by, itself = (a["own_sizes"], a["sizes"], shrinkage), (a["itself_starts"], a["itself"])
        for batch in batches:
            for block in batch["id"].to_pylist():
                for first in range(bounds[block], bounds[block + 1], ROWS):
                    last = min(first + ROWS, bounds[block + 1])
                    found = top_products(first, last, *left, *right, *divide_by, *itself, a["names"], k)
                    yield lists_batch(a["names"][first:last], rows, "neighbours", *found)

    blocks = session.range(0, len(bounds) - 1, 1, len(bounds) - 1)
    return blocks.mapInArrow(nearest, f"{rows} int, neighbours array<int>, scores array<double>")


def knn_score_matrix(neighbours: csr_matrix, user_rows: csr_matrix) -> NDArray[np.float64]:
    """Every item's score for some listeners: Σ over their items j of weight × similarity, where j is a neighbour of i.

    Parameters
    ----------
    neighbours : a row per item with its neighbours' scores [items × items], as `neighbours_matrix` makes it.
    user_rows : the listeners' weights [listeners × items].

    Returns
    -------
    Scores [listeners × items]. For neighbours of listeners, S and the matrix R of all weights, it is
    `knn_score_matrix(R.T, S_rows)`.
    """
    return np.asarray((user_rows @ neighbours.T).toarray(), dtype=np.float64)


def neighbours_matrix(neighbours: DataFrame, size: int) -> csr_matrix:
    """What `fit_knn` found as a matrix on the driver [size × size]: row i holds the scores of i's neighbours."""
    found = neighbours.toArrow()
    lists = read_lists(found["neighbours"].combine_chunks())
    scores = read_lists(found["scores"].combine_chunks()).values
    rows = found[0].to_numpy()[lists.rows]
    return csr_matrix((scores, (rows, lists.values)), (size, size))


def lists_batch(names: Array, key: str, column: str, counts: Array, ids: Array, scores: Array) -> pa.RecordBatch:
    """Rows of (key int, column array<int>, scores array<double>): each name with `counts` of the ids and scores."""
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    cells = [pa.array(names, pa.int32())]
    cells += [write_lists(Ragged(ids, starts), pa.int32()), write_lists(Ragged(scores, starts), pa.float64())]
    return pa.RecordBatch.from_arrays(cells, [key, column, "scores"])


def kernel_arrays(matrix: RowMatrix) -> dict[str, Array]:
    """What a task needs, of the kinds the kernel is compiled for."""
    rows = len(matrix.names)
    return {
        "names": matrix.names,
        "rows": matrix.left.indptr.astype(np.int64),
        "terms": matrix.left.indices.astype(np.int32),
        "factors": matrix.left.data,
        "starts": matrix.right.indptr.astype(np.int64),
        "columns": matrix.right.indices.astype(np.uint32),
        "values": matrix.right.data,
        "own_sizes": matrix.own_sizes,
        "sizes": matrix.sizes,
        "itself_starts": np.arange(rows + 1, dtype=np.int64),
        "itself": np.arange(rows, dtype=np.int32),
    }


def _bounds(work: Array, parallelism: int) -> list[int]:
    """Where the tasks' ranges of rows begin, and the end: about equal work, two tasks or more for each slot."""
    done = np.cumsum(work + _ROW_WORK)
    tasks = min(max(2 * parallelism, int(done[-1] // _TASK_WORK) + 1), len(work))
    cuts = np.searchsorted(done, np.arange(1, tasks) * (done[-1] / tasks), side="left") + 1
    return [int(cut) for cut in np.unique(np.concatenate([[0], cuts, [len(work)]]))]
