"""Exact nearest neighbours by distance or cosine, where those who ask and those who may be found can differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import NonFiniteError
from musicrec.models.blocks import Ragged, read_vectors, write_lists
from musicrec.models.shared_arrays import SharedArrays
from musicrec.models.side_by_side import partitions_for
from musicrec.ranking.catalogue import Catalogue, collect_catalogue
from musicrec.ranking.engine import Block, Engine, no_lists

Array = NDArray[Any]
Distance = Literal["euclidean", "manhattan", "cosine"]

NEIGHBOURS_SCHEMA = "item_idx int, items array<int>, scores array<double>"


class Nearest:
    """Finds the k nearest items of each vector, exactly.

    Cosines come from the top-N engine. Distances are sums of differences, not the identity
    |x − y|² = |x|² + |y|² − 2 x·y: for near vectors, the ones that are wanted, that is the small rest of large numbers.
    A float32 pass over a tile finds what can be near enough, with a margin for its error: each of the d terms and sums
    is rounded at most (d + 4) times by 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms, 4.2). Those are
    measured in float64, to 30 significant bits; ties go to the lower item_idx.

    Parameters
    ----------
    items : what may be found; for `cosine` a catalogue of that metric, else of `dot`.
    metric : by what they are near.
    k : neighbours of each; fewer where there are no more items.
    tile : items that are compared with at once.
    """

    def __init__(self, items: Catalogue, metric: Distance, k: int, tile: int = 512) -> None:
        self.items, self.metric, self.tile = items, metric, tile
        self.k = max(1, min(k, len(items)))
        self.engine = Engine(items, "cosine", k, tile=tile) if metric == "cosine" else None

    def best(self, vectors: Array, left_out: Array) -> tuple[Ragged, Ragged]:
        """The items (int32) and scores (float64) of each vector, best first; a distance is a score below 0.

        Parameters
        ----------
        vectors : float32 [n × d].
        left_out : int32 [n], an item that each must not get, −1 for none.
        """
        if self.engine:
            own = left_out >= 0
            starts = np.concatenate([[0], np.cumsum(own)]).astype(np.int64)
            return self.engine.best(Block(vectors, Ragged(left_out[own], starts), no_lists(len(vectors))))
        # Imported here: in a worker, and only once something is searched.
        from musicrec.ranking.nearest_kernels import scan_tile

        distances, found = np.full((len(vectors), self.k), np.inf), np.full((len(vectors), self.k), -1, np.int32)
        counts = np.zeros(len(vectors), np.int64)
        slack = (vectors.shape[1] + 6) * 2.0**-22
        asking, squares = np.ascontiguousarray(vectors, np.float32), self.metric == "euclidean"
        for start in range(0, len(self.items), self.tile):
            part = slice(start, start + self.tile)
            columns = np.ascontiguousarray(self.items.vectors[part].T)
            scan_tile(asking, left_out, columns, self.items.item_idx[part], squares, slack, distances, found, counts)
        is_there = np.arange(self.k) < counts[:, None]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Ragged(found[is_there], starts), Ragged(0.0 - distances[is_there], starts)


def nearest_items(
    asking: DataFrame, offered: DataFrame, k: int, metric: Distance, *, block: int = 256, tile: int = 512
) -> DataFrame:
    """The k nearest offered items of everything that asks, exactly; neither blocks nor partitions change a list.

    The offered vectors go to each executor once, as a file that its tasks map: 4 d + 28 bytes an item on the driver.

    Parameters
    ----------
    asking : DataFrame (item_idx int, own_idx int or null, vector array<float> [d]), one row per item; `own_idx` is an
        offered item that is not to be its neighbour, itself most of the time.
    offered : DataFrame (item_idx int, vector array<float> [d]), one row per item.
    k : neighbours of each; fewer where there are no more items.
    metric : `cosine` (0 where one vector is all zeros), `euclidean` or `manhattan`.
    block, tile : items per comparison, on its two sides.

    Returns
    -------
    DataFrame (item_idx int, items array<int>, scores array<double>), best first, one row per item that asks. A score is
    the cosine, or the distance below 0; to 30 significant bits, ties to the lower item_idx.

    Raises
    ------
    NonFiniteError : an offered vector holds NaN or infinity.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}")
    session = asking.sparkSession
    plain = offered.select("item_idx", "vector", F.lit(0.0).alias("bias"), F.lit(None).cast("int").alias("artist_idx"))
    items = collect_catalogue(plain, plain, "cosine" if metric == "cosine" else "dot")
    if not np.isfinite(items.vectors).all():
        raise NonFiniteError("nearest items: an offered vector holds NaN or infinity")
    shared = SharedArrays(session, items.flat())

    def search(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nearest = Nearest(Catalogue.from_flat(shared.read()), metric, k, tile)
        for batch in batches:
            for start in range(0, batch.num_rows, block):
                part = batch.slice(start, block)
                found, scores = nearest.best(read_vectors(part["vector"]), part["own_idx"].to_numpy())
                columns = [part["item_idx"], write_lists(found, pa.int32()), write_lists(scores, pa.float64())]
                yield pa.RecordBatch.from_arrays(columns, ["item_idx", "items", "scores"])

    own = F.coalesce(F.col("own_idx"), F.lit(-1)).cast("int").alias("own_idx")
    wanted = asking.select(F.col("item_idx").cast("int"), own, F.col("vector").cast("array<float>"))
    return wanted.repartition(partitions_for(asking), "item_idx").mapInArrow(search, NEIGHBOURS_SCHEMA)
