"""What is near what: exact neighbours over any model's vectors, by the top-N engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.models.blocks import Ragged, write_lists
from musicrec.models.shared_arrays import SharedArrays
from musicrec.models.side_by_side import partitions_for
from musicrec.ranking.catalogue import Catalogue, Metric, collect_catalogue
from musicrec.ranking.engine import Block, Engine, no_lists
from musicrec.ranking.gather import gather, read_buckets

SIMILAR_SCHEMA = "item_idx int, items array<int>, scores array<double>"


def similar_items(
    item_vectors: DataFrame, k: int, metric: Metric = "cosine", *, item_block: int = 512, tile: int = 1024
) -> DataFrame:
    """The k items nearest to each item, itself left out, exactly; biases play no part.

    Scores are rounded to 30 significant bits and ranked, best first, then by item_idx. The vectors go to each executor
    once, as a file that its tasks map; a task holds a bucket of items and item_block × tile float32.

    Parameters
    ----------
    item_vectors : DataFrame (item_idx int, vector array<float> [d]), one row per item.
    k : neighbours of each; fewer where there are no more items.
    metric : `cosine` (0 where one vector is all zeros) or `dot`.
    item_block, tile : items per product, on its two sides.

    Returns
    -------
    DataFrame (item_idx int, items array<int>, scores array<double>), best first, one row per item.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}")
    session = item_vectors.sparkSession
    plain = item_vectors.select(
        "item_idx", "vector", F.lit(0.0).alias("bias"), F.lit(None).cast("int").alias("artist_idx")
    )
    shared = SharedArrays(session, collect_catalogue(plain, plain, metric).flat())

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        engine = Engine(Catalogue.from_flat(shared.read()), metric, k, tile=tile)
        for bucket in read_buckets(batches, ()):
            for start in range(0, len(bucket.user_idx), item_block):
                own = bucket.user_idx[start : start + item_block]
                itself = Ragged(own.copy(), np.arange(len(own) + 1, dtype=np.int64))
                block = Block(bucket.vectors[start : start + item_block], itself, no_lists(len(own)))
                items, scores = engine.best(block)
                columns = [pa.array(own), write_lists(items, pa.int32()), write_lists(scores, pa.float64())]
                yield pa.RecordBatch.from_arrays(columns, ["item_idx", "items", "scores"])

    sources = item_vectors.select(F.col("item_idx").alias("user_idx"), "vector")
    return gather(sources, {}, partitions_for(item_vectors)).mapInArrow(rank, SIMILAR_SCHEMA)
