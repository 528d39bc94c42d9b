"""Compile the kernels once, so that no night waits for it: `python -m musicrec.warm_up`, which `make setup` runs.

numba keeps what it compiled beside the source, or in the user's cache folder where that cannot be written. Every
engine runs once on a few made-up interactions, in Spark's own workers, since what is compiled depends on the types they
see.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.evaluation.summary import EvaluationParams, summarise
from musicrec.models.als.fit import AlsParams, fit_als
from musicrec.models.als.fold_in import fold_in
from musicrec.models.als.scale import Scale
from musicrec.models.knn.fit import fit_knn
from musicrec.models.knn.matrix import KnnParams
from musicrec.models.pca.fit import PcaParams, fit_pca
from musicrec.ranking import smooth_order_kernels
from musicrec.ranking.topn import top_n
from musicrec.spark import build_session
from musicrec.transforms.interactions import heard_items

_USERS, _ITEMS = 60, 40
_CONF = {"spark.sql.shuffle.partitions": "2", "spark.sql.adaptive.enabled": "false"}


def warm_up(spark: SparkSession) -> None:
    """Run every engine once."""
    ids = spark.range(_USERS * _ITEMS).where(F.pmod(F.xxhash64("id"), F.lit(4)) == 0)
    cells = ids.select(
        (F.col("id") / _ITEMS).cast("int").alias("user_idx"), (F.col("id") % _ITEMS).cast("int").alias("i")
    )
    pairs = cells.select("user_idx", F.col("i").alias("item_idx"), (1 + F.col("i") % 3).cast("double").alias("weight"))
    pairs = pairs.withColumns({"plays": F.lit(1), "last_listened_at": F.current_timestamp()}).persist()
    heard = heard_items(pairs).persist()
    params = AlsParams(rank=8, iterations=1)
    als = fit_als(pairs, params, seed=1)
    fold_in(pairs, als.item_vectors, params, Scale(1.0, 1.0, 1.0)).count()
    fit_pca(pairs, PcaParams(components=4), seed=1).embedding.user_vectors.count()
    fit_knn(pairs, KnnParams(k=5)).count()
    lists = top_n(als, heard, 5, "discover").persist()
    top_n(als, heard, 5, "again").count()
    _judge(lists, pairs)
    smooth_order_kernels.warm_up()
    als.release()


def _judge(lists: DataFrame, pairs: DataFrame) -> None:
    relevant = pairs.groupBy("user_idx").agg(F.sort_array(F.collect_list("item_idx")).alias("relevant"))
    judged = relevant.withColumn("candidates", F.lit(_ITEMS).cast("long"))
    items = pairs.groupBy("item_idx").agg(F.sum("plays").alias("plays"), F.min("item_idx").alias("artist_idx"))
    named = lists.select(F.lit("als").alias("model"), "user_idx", "items")
    summarise(named, judged, items, EvaluationParams(baseline="als"), 1, models=["als"]).count()


if __name__ == "__main__":
    session = build_session("musicrec-warm-up", Path(sys.argv[1] if len(sys.argv) > 1 else "conf"), _CONF)
    warm_up(session)
    session.stop()
