"""ALS by MLlib, for where the item side does not fit a task or tasks cannot run side by side."""

from __future__ import annotations

from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.models.als.params import AlsParams
from musicrec.models.embedding import EmbeddingModel, check_finite

# Without a folder for checkpoints every iteration adds to the lineage, which at twice as many overflows Java's stack.
_MOST_ITERATIONS = 10


def fit_mllib(interactions: DataFrame, params: AlsParams, seed: int) -> EmbeddingModel:
    """The model of `als.fit_als` as near as MLlib comes to it.

    Its loss has no weight for unobserved pairs and no exponent: everything is divided by α₀, which changes nothing, and
    its one λ (times n) is set so that the penalties of all vectors have the same sum as ours. The ratings are put in
    one order first, so the input's partitions change nothing but, on several machines, the last bit of a float32.

    Without a checkpoint folder (`spark.checkpoint.dir`) no more than 10 iterations are run.

    Raises
    ------
    InputError : no interactions, or a weight that is not a positive number.
    NonFiniteError : the fit diverged.
    """
    context = interactions.sparkSession.sparkContext
    blocks = params.blocks or context.defaultParallelism
    iterations = params.iterations if context.getCheckpointDir() else min(params.iterations, _MOST_ITERATIONS)
    pairs = interactions.select("user_idx", "item_idx", F.col("weight").cast("double"))
    count = _check_weights(pairs)
    users, items = (pairs.groupBy(side).agg(F.count("*").alias("n")).persist() for side in ("user_idx", "item_idx"))
    listeners, wide = users.count(), items.count()
    penalty = _penalty_sum(users, params, wide) + _penalty_sum(items, params, listeners)
    engine = ALS(
        rank=params.rank,
        maxIter=iterations,
        regParam=penalty / params.unobserved_weight / (2 * count),
        alpha=params.alpha / params.unobserved_weight,
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
    figures = {"interactions": float(count), "listeners": float(listeners), "items": float(wide)}
    return check_finite(EmbeddingModel("als", user_vectors, item_vectors, figures))


def _penalty_sum(counts: DataFrame, params: AlsParams, others: int) -> float:
    """Σ λ of one side's vectors."""
    reach = F.col("n") + F.lit(params.unobserved_weight * others)
    row = counts.agg(F.sum(params.regularization * F.pow(reach, F.lit(params.regularization_exponent)))).first()
    assert row is not None
    return float(row[0])


def _check_weights(pairs: DataFrame) -> int:
    """The number of interactions."""
    weight = F.col("weight")
    good = weight.isNotNull() & ~F.isnan(weight) & (weight > 0) & (weight < float("inf"))
    row = pairs.agg(F.count("*").alias("all"), F.count_if(~good).alias("bad")).first()
    assert row is not None
    if not row["all"]:
        raise InputError("interactions", "at least one to learn from", "none")
    if row["bad"]:
        raise InputError("interactions", "positive finite weights", f"{row['bad']} others")
    return int(row["all"])
