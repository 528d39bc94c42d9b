"""ALS by MLlib, for where the item side does not fit a task or tasks cannot run side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.models.als.params import AlsParams
from musicrec.models.als.scale import Scale, shared_items
from musicrec.models.embedding import EmbeddingModel, check_finite
from musicrec.models.exact_sums import anchor_of

# Without a folder for checkpoints every iteration adds to the lineage, which at twice as many overflows Java's stack.
_MOST_ITERATIONS = 10


def fit_mllib(interactions: DataFrame, params: AlsParams, seed: int) -> EmbeddingModel:
    """The model of `als.fit_als` as near as MLlib comes to it.

    Its confidence is 1 + alpha × rating, 1 where nothing was played, and its penalty regParam × n. So everything is
    divided by α₀, which changes nothing: alpha = 1 / (α₀ × mean weight), and regParam is such that the penalties of all
    vectors have the same sum as ours, divided by α₀. With `regularization_exponent` 1 both are ours exactly. The
    ratings are put in one order first, so the input's partitions change nothing but, on several machines, the last bit
    of a float32.

    Without a checkpoint folder (`spark.checkpoint.dir`) no more than 10 iterations are run.

    Raises
    ------
    InputError : no interactions, or a weight that is not a positive number.
    NonFiniteError : the fit diverged.
    """
    context = interactions.sparkSession.sparkContext
    blocks = params.blocks or context.defaultParallelism
    iterations = params.iterations if context.getCheckpointDir() else min(params.iterations, _MOST_ITERATIONS)
    pairs = interactions.select("user_idx", "item_idx", F.col("weight").cast("float").cast("double"))
    count, heaviest = _check_weights(pairs)
    users, items = (pairs.groupBy(side).agg(F.count("*").alias("n")).persist() for side in ("user_idx", "item_idx"))
    listeners, wide = users.count(), items.count()
    users_of, items_of = _sizes(users), _sizes(items)
    scale = Scale(_total(pairs, count, heaviest) / count, shared_items(items_of, listeners), count / listeners)
    unobserved = params.unobserved_weight(scale)
    penalty = _penalty_sum(users_of, params, scale) + _penalty_sum(items_of, params, scale)
    engine = ALS(
        rank=params.rank,
        maxIter=iterations,
        regParam=penalty / unobserved / (2 * count),
        alpha=1 / (unobserved * scale.mean_weight),
        numUserBlocks=blocks,
        numItemBlocks=blocks,
        implicitPrefs=True,
        userCol="user_idx",
        itemCol="item_idx",
        ratingCol="weight",
        seed=seed,
    )
    ordered = pairs.repartition(blocks, "user_idx").sortWithinPartitions("user_idx", "item_idx")
    fitted = engine.fit(ordered)
    for counted in (users, items):
        counted.unpersist()
    user_vectors = fitted.userFactors.select(F.col("id").alias("user_idx"), F.col("features").alias("vector"))
    item_vectors = fitted.itemFactors.select(
        F.col("id").alias("item_idx"), F.col("features").alias("vector"), F.lit(0.0).cast("float").alias("bias")
    )
    figures = {"interactions": float(count), "listeners": float(listeners), "items": float(wide)} | scale.figures
    return check_finite(EmbeddingModel("als", user_vectors, item_vectors, figures))


def _sizes(counts: DataFrame) -> dict[int, int]:
    """How many rows there are with each number of interactions."""
    return {row["n"]: row["rows"] for row in counts.groupBy("n").agg(F.count("*").alias("rows")).orderBy("n").collect()}


def _penalty_sum(sizes: Mapping[int, int], params: AlsParams, scale: Scale) -> float:
    """Σ λ of one side's vectors."""
    each = params.penalties(np.array(list(sizes)), scale).astype(np.float64)
    return float(each @ np.array(list(sizes.values()), np.float64))


def _total(pairs: DataFrame, count: int, heaviest: float) -> float:
    """Σ of the weights, exact as in `Scale.of`, so that the partitions do not change it."""
    anchor = float(anchor_of(np.array([heaviest * count]))[0])
    row = pairs.agg(F.sum((F.col("weight") + F.lit(anchor)) - F.lit(anchor))).first()
    assert row is not None
    return float(row[0])


def _check_weights(pairs: DataFrame) -> tuple[int, float]:
    """The number of interactions, and the largest weight."""
    weight = F.col("weight")
    good = weight.isNotNull() & ~F.isnan(weight) & (weight > 0) & (weight < float("inf"))
    row = pairs.agg(F.count("*").alias("all"), F.count_if(~good).alias("bad"), F.max(weight).alias("most")).first()
    assert row is not None
    if not row["all"]:
        raise InputError("interactions", "at least one to learn from", "none")
    if row["bad"]:
        raise InputError("interactions", "positive finite weights", f"{row['bad']} others")
    return int(row["all"]), float(row["most"])
