"""Each listener's list from nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.sparse import csr_matrix

from musicrec.models.blocks import Ragged, read_lists
from musicrec.models.knn.fit import lists_batch
from musicrec.models.shared_arrays import SharedArrays
from musicrec.models.significant import significant

Array = NDArray[Any]
Shelf = Literal["discover", "again"]
# A matrix by rows: starts, columns, values.
Sparse = tuple[Array, Array, Array]

# Listeners whose lists come out of a task together.
_LISTENERS = 1024


def knn_lists(
    neighbours: DataFrame, interactions: DataFrame, heard: DataFrame, n: int, shelf: Shelf = "discover"
) -> DataFrame:
    """The n items with the highest scores that each listener has not heard, for `again` of those they have, exactly.

    From neighbours of items: the score of i is Σ weight_uj × similarity_ij over the listener's items j that are
    neighbours of i (Deshpande and Karypis, "Item-based top-N recommendation algorithms", 2004). From neighbours of
    listeners: Σ similarity_uv × weight_vi over the listener's neighbours v. Items that nothing speaks for are not
    offered, so a list may be shorter than n. Scores are rounded to 30 significant bits; best first, then item_idx.

    Parameters
    ----------
    neighbours : what `fit_knn` gives, of items or of listeners; that of items, and else the interactions, go to every
        executor: 12 bytes an entry.
    interactions : DataFrame (user_idx int, item_idx int, weight double > 0), one row per pair.
    heard : DataFrame (user_idx int, heard array<int>), one row per listener; one without a row has heard nothing.
    n : length of the lists.
    shelf : which of the items a listener may get.

    Returns
    -------
    DataFrame (user_idx int, items array<int>, scores array<double>), one row per listener with an interaction.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, not {n}")
    if "item_idx" in neighbours.columns:
        names, terms, matrix = _item_side(neighbours)
        entries = F.array_sort(F.collect_list(F.struct("item_idx", F.col("weight").cast("double").alias("weight"))))
        grouped = interactions.groupBy("user_idx").agg(entries.alias("e"))
        own = grouped.select("user_idx", F.col("e.item_idx").alias("terms"), F.col("e.weight").alias("factors"))
    else:
        names, terms, matrix = _user_side(interactions)
        own = neighbours.select("user_idx", F.col("neighbours").alias("terms"), F.col("scores").alias("factors"))
    arrays = {"starts": matrix.indptr.astype(np.int64), "columns": matrix.indices.astype(np.uint32)}
    arrays |= {"values": matrix.data, "names": names, "terms": terms}
    shared = SharedArrays(interactions.sparkSession, arrays)

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from musicrec.models.knn.kernels import top_products

        a = shared.read()
        nothing = _still(np.zeros(0))
        for batch in batches:
            lists, factors = read_lists(batch["terms"]), read_lists(batch["factors"]).values
            rows, terms, is_term = _known(lists, a["terms"])
            left = (rows, terms, _still(factors[is_term]))
            out_starts, out, _ = _known(read_lists(batch["heard"]), a["names"])
            users = batch["user_idx"].to_numpy()
            for first in range(0, len(users), _LISTENERS):
                last = min(first + _LISTENERS, len(users))
                right = (a["starts"], a["columns"], a["values"])
                undivided = (nothing, nothing, 0.0)
                if shelf == "again":
                    found = _of_heard(first, last, left, right, (out_starts, out), a["names"], n)
                else:
                    found = top_products(first, last, *left, *right, *undivided, out_starts, out, a["names"], n)
                yield lists_batch(users[first:last], "user_idx", "items", *found)

    known = heard.select("user_idx", F.col("heard").cast("array<int>").alias("heard"))
    columns = own.join(known, "user_idx", "left").select("user_idx", "terms", "factors", "heard")
    return columns.mapInArrow(rank, "user_idx int, items array<int>, scores array<double>")


def _of_heard(
    first: int, last: int, left: Sparse, right: Sparse, heard: tuple[Array, Array], names: Array, n: int
) -> tuple[Array, Array, Array]:
    """What `top_products` gives, of no columns but those heard: the counts, names and scores of each row's n best."""
    size, columns = last - first, len(names)
    matrix = csr_matrix((right[2], right[1], right[0]), (len(right[0]) - 1, columns))
    inside = slice(left[0][first], left[0][last])
    own = csr_matrix(
        (left[2][inside], left[1][inside], left[0][first : last + 1] - inside.start), (size, len(right[0]) - 1)
    )
    found = (own @ matrix).tocoo()
    heard_rows = np.repeat(np.arange(size, dtype=np.int64), np.diff(heard[0][first : last + 1]))
    is_heard = np.isin(
        found.row.astype(np.int64) * columns + found.col,
        heard_rows * columns + heard[1][heard[0][first] : heard[0][last]],
    )
    scores = significant(found.data)
    order = np.lexsort((names[found.col], -scores, found.row))
    order = order[(found.data[order] > 0) & is_heard[order]]
    rows = found.row[order]
    order = order[np.arange(len(rows)) - np.searchsorted(rows, rows) < n]
    return np.bincount(found.row[order], minlength=size), names[found.col[order]], scores[order]


def _item_side(neighbours: DataFrame) -> tuple[Array, Array, csr_matrix]:
    """The items that are offered; those that a listener's items can be; for each of these, whose neighbour it is."""
    found = neighbours.select("item_idx", "neighbours", "scores").toArrow()
    items, lists = found["item_idx"].to_numpy(), read_lists(found["neighbours"].combine_chunks())
    scores = read_lists(found["scores"].combine_chunks()).values
    names = np.union1d(items, lists.values).astype(np.int32)
    cells = (np.searchsorted(names, lists.values), np.searchsorted(names, items)[lists.rows])
    return names, names, csr_matrix((scores, cells), (len(names), len(names)))


def _user_side(interactions: DataFrame) -> tuple[Array, Array, csr_matrix]:
    """The items; the listeners; what each of these played."""
    found = interactions.select(
        F.col("user_idx").cast("int"), F.col("item_idx").cast("int"), F.col("weight").cast("double")
    ).toArrow()
    (users, row), (items, column) = (np.unique(found[i].to_numpy(), return_inverse=True) for i in range(2))
    return (
        items.astype(np.int32),
        users,
        csr_matrix((found["weight"].to_numpy(), (row, column)), (len(users), len(items))),
    )


def _known(lists: Ragged, names: Array) -> tuple[Array, Array, Array]:
    """Where each list starts and the places of its values among `names` (ascending), once those are left out that are
    no name; and which of the values are one."""
    places = np.searchsorted(names, lists.values)
    is_name = np.zeros(len(places), np.bool_)
    inside = places < len(names)
    is_name[inside] = names[places[inside]] == lists.values[inside]
    starts = np.concatenate([[0], np.cumsum(is_name)])[lists.starts]
    return _still(starts.astype(np.int64)), _still(places[is_name].astype(np.int32)), is_name


def _still(array: Array) -> Array:
    """Read-only, as the shared arrays are, so that the kernel is compiled for one kind of array."""
    still = np.ascontiguousarray(array)
    still.setflags(write=False)
    return still
