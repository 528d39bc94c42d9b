"""The one top-N engine: every embedding model's lists come from here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.models.blocks import Ragged, write_lists
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.shared_arrays import SharedArrays
from musicrec.models.side_by_side import partitions_for
from musicrec.ranking.catalogue import Catalogue, Metric, collect_catalogue
from musicrec.ranking.engine import Block, Engine, no_lists
from musicrec.ranking.filters import Filters
from musicrec.ranking.gather import Bucket, gather, read_buckets

Shelf = Literal["discover", "again"]

LISTS_SCHEMA = "user_idx int, items array<int>, scores array<double>"


def top_n(
    model: EmbeddingModel,
    heard: DataFrame,
    n: int,
    shelf: Shelf,
    allowed_items: DataFrame | None = None,
    *,
    metric: Metric = "dot",
    filters: Filters | None = None,
    user_block: int = 512,
    item_block: int = 1024,
) -> DataFrame:
    """The n best items of every listener who has a vector, exactly.

    Scores are rounded to 30 significant bits and ranked, best first, then by item_idx; so neither the blocks' sizes,
    the partitions nor the vectors' scale change a list. The item matrix goes to each executor once, as a file that its
    tasks map; a task holds one bucket of listeners and user_block × item_block float32.

    Parameters
    ----------
    model : user and item vectors.
    heard : DataFrame (user_idx int, heard array<int>), or one row per pair (user_idx int, item_idx int); a listener
        without a row has heard nothing.
    n : length of the lists; shorter only where no more is left that may be offered, empty where nothing is.
    shelf : `discover` leaves out what was heard, `again` takes nothing else.
    allowed_items : DataFrame (item_idx int) of what may be offered; None for all the model's items.
    metric : `dot` for user · item + bias, `cosine` for their cosine (0 where one is all zeros) + bias.
    filters : blocks and caps.
    user_block, item_block : listeners and items per product.

    Returns
    -------
    DataFrame (user_idx int, items array<int>, scores array<double>), best first, one row per listener.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, not {n}")
    filters = filters or Filters()
    cap = filters.artist_cap
    session = model.user_vectors.sparkSession
    offered = filters.offered(model.item_vectors, allowed_items)
    shared = SharedArrays(session, collect_catalogue(offered, model.user_vectors, metric).flat())

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        engine = Engine(Catalogue.from_flat(shared.read()), metric, n, cap, item_block)
        for bucket in read_buckets(batches, names):
            blocks = -(-len(bucket.user_idx) // user_block)
            edges = np.linspace(0, len(bucket.user_idx), blocks + 1).astype(int)
            for start, stop in pairwise(edges.tolist()):
                items, scores = engine.best(_block(bucket, start, stop, shelf))
                columns = [pa.array(bucket.user_idx[start:stop], pa.int32())]
                columns += [write_lists(items, pa.int32()), write_lists(scores, pa.float64())]
                yield pa.RecordBatch.from_arrays(columns, ["user_idx", "items", "scores"])

    lists = {"heard": _heard(heard), **filters.lists()}
    names = tuple(lists)
    partitions = partitions_for(model.user_vectors)
    return gather(model.user_vectors, lists, partitions).mapInArrow(rank, LISTS_SCHEMA)


def _heard(heard: DataFrame) -> DataFrame:
    if "heard" in heard.columns:
        return heard.select("user_idx", F.col("heard").cast("array<int>").alias("heard"))
    return heard.select("user_idx", F.col("item_idx").cast("int").alias("heard"))


def _block(bucket: Bucket, start: int, stop: int, shelf: Shelf) -> Block:
    none = no_lists(stop - start)

    def part(name: str) -> Ragged:
        return bucket.lists[name].part(start, stop) if name in bucket.lists else none

    blocked, artists, heard = part("items"), part("artists"), part("heard")
    if shelf == "again":
        return Block(bucket.vectors[start:stop], blocked, artists, given=heard)
    return Block(bucket.vectors[start:stop], _both(heard, blocked), artists)


def _both(left: Ragged, right: Ragged) -> Ragged:
    """The union of two lists of each listener, ascending."""
    if not len(right.values):
        return left
    rows = np.concatenate([left.rows, right.rows])
    values = np.concatenate([left.values, right.values])
    order = np.lexsort((values, rows))
    return Ragged(values[order], left.starts + right.starts)
