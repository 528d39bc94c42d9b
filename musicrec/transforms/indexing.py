"""Dense integer indexes that only ever grow: an id keeps its idx for ever."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

# Ids are numbered within buckets of their hash, so that no single task ever sorts all of them.
_BUCKETS = 256


def new_entries(
    ids: DataFrame, index: DataFrame, id_column: str, idx_column: str, group: str | None = None
) -> DataFrame:
    """Number the ids that the index does not know, from its highest idx + 1, without gaps.

    The numbers depend only on the set of new ids and the highest old idx: not on order, partitions or duplicates.

    Parameters
    ----------
    ids : DataFrame with `id_column` (and `group`); duplicates and nulls allowed.
    index : DataFrame (`group`, `id_column`, `idx_column`): what is numbered already.
    group : where given, each value of this column has numbers of its own, from 0.

    Returns
    -------
    (`group`, `id_column`, `idx_column` int) of the new ids only.
    """
    groups = [group] if group else []
    key = [*groups, id_column]
    fresh = ids.select(key).where(F.col(id_column).isNotNull()).distinct().join(index.select(key), key, "left_anti")
    bucketed = fresh.withColumn("bucket", F.pmod(F.xxhash64(id_column), F.lit(_BUCKETS)))
    in_bucket = Window.partitionBy(*groups, "bucket").orderBy(id_column)
    numbered = bucketed.withColumn("place", F.row_number().over(in_bucket) - 1)

    sizes = bucketed.groupBy(*groups, "bucket").agg(F.count("*").alias("size"))
    # At most _BUCKETS rows a group: this ordered window is tiny.
    by_group = Window.partitionBy(*groups) if groups else Window.partitionBy(F.lit(0))
    earlier = by_group.orderBy("bucket").rowsBetween(Window.unboundedPreceding, -1)
    offsets = sizes.withColumn("offset", F.coalesce(F.sum("size").over(earlier), F.lit(0))).drop("size")
    numbered = numbered.join(F.broadcast(offsets), [*groups, "bucket"], "inner")

    highest = index.groupBy(*groups).agg((F.max(idx_column) + 1).alias("start"))
    old = F.broadcast(highest)
    numbered = numbered.join(old, group, "left") if group else numbered.crossJoin(old)
    idx = F.coalesce("start", F.lit(0)) + F.col("offset") + F.col("place")
    return numbered.select(*key, idx.cast("int").alias(idx_column))
