"""Implicit-feedback matrix factorisation by alternating least squares.

The engine is MLlib's; nothing outside this file knows that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pydantic import Field
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.models.blocks import read_lists, read_vectors
from musicrec.models.embedding import EmbeddingModel, ItemMatrix, check_finite, collect_items
from musicrec.params import Params


class AlsParams(Params):
    """Settings of the factorisation.

    Attributes
    ----------
    rank : length of the vectors.
    iterations : times that both sides are solved.
    regularization : λ; each vector's penalty is λ × the number of its interactions.
    alpha : confidence of an interaction = 1 + alpha × weight.
    blocks : parts that either side is cut into; part of the result's definition, not of the cluster's size.
    """

    rank: int = Field(default=64, ge=1)
    iterations: int = Field(default=15, ge=1)
    regularization: float = Field(default=0.05, ge=0)
    alpha: float = Field(default=10.0, gt=0)
    blocks: int = Field(default=8, ge=1)


def fit_als(interactions: DataFrame, params: AlsParams, seed: int) -> EmbeddingModel:
    """Factorise the listener × item matrix so that user · item is near 1 where played and near 0 elsewhere.

    Minimises Σ_ui c_ui (p_ui − x_u·y_i)² + λ (Σ_u n_u |x_u|² + Σ_i n_i |y_i|²) over all pairs, p = 1 where there is an
    interaction, c = 1 + alpha × weight there and 1 elsewhere: Hu, Koren and Volinsky, "Collaborative Filtering for
    Implicit Feedback Datasets", 2008, with the penalty scaled by the number of interactions n as in Zhou et al. 2008.
    The ratings are put in one order first, so the input's partitions change nothing but, on several machines, the last
    bit of a float32.

    Parameters
    ----------
    interactions : DataFrame (user_idx int, item_idx int, weight double > 0), one row per pair.
    params : settings.
    seed : of the first random vectors.

    Returns
    -------
    EmbeddingModel "als" with bias 0. Its figures: `loss` (the sum above), `interactions`, `listeners`, `items`.

    Raises
    ------
    InputError : no interactions, or a weight that is not a positive number.
    NonFiniteError : the fit diverged.
    """
    pairs = interactions.select("user_idx", "item_idx", F.col("weight").cast("double"))
    count = _check_weights(pairs)
    engine = ALS(
        rank=params.rank,
        maxIter=params.iterations,
        regParam=params.regularization,
        alpha=params.alpha,
        numUserBlocks=params.blocks,
        numItemBlocks=params.blocks,
        implicitPrefs=True,
        userCol="user_idx",
        itemCol="item_idx",
        ratingCol="weight",
        seed=seed,
    )
    ordered = pairs.repartition(params.blocks, "user_idx").sortWithinPartitions("user_idx", "item_idx")
    fitted = engine.fit(ordered)
    users = fitted.userFactors.select(F.col("id").alias("user_idx"), F.col("features").alias("vector"))
    items = fitted.itemFactors.select(
        F.col("id").alias("item_idx"), F.col("features").alias("vector"), F.lit(0.0).cast("float").alias("bias")
    )
    check_finite(EmbeddingModel("als", users, items))
    loss, listeners, wide = _loss(pairs, users, collect_items(items), params)
    figures = {"loss": loss, "interactions": float(count), "listeners": listeners, "items": wide}
    return EmbeddingModel("als", users, items, figures)


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


def _loss(pairs: DataFrame, users: DataFrame, items: ItemMatrix, params: AlsParams) -> tuple[float, float, float]:
    """The loss, the number of listeners and of items.

    Σ over all pairs of (x·y)² = Σ_u xᵀ(YᵀY)x, so only the played pairs are visited one by one.
    """
    session = pairs.sparkSession
    shared = session.sparkContext.broadcast(items)
    alpha, penalty = params.alpha, params.regularization

    def losses(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        matrix = shared.value
        vectors = matrix.vectors.astype(np.float64)
        gram = vectors.T @ vectors
        norms = np.einsum("ij,ij->i", vectors, vectors)
        for batch in batches:
            x = read_vectors(batch["vector"]).astype(np.float64)
            played = read_lists(batch["items"])
            weights = read_lists(batch["weights"]).values
            rows, (at, _) = played.rows, matrix.positions(played.values)
            scores = np.concatenate(
                [np.zeros(0)] + [vectors[at[played.starts[i] : played.starts[i + 1]]] @ x[i] for i in range(len(x))]
            )
            fit = np.einsum("ui,ij,uj->u", x, gram, x)
            fit += np.bincount(rows, (1 + alpha * weights) * (1 - scores) ** 2 - scores**2, len(x))
            # Each played pair carries one share of λ n |x|² and one of λ n |y|².
            shares = np.bincount(rows, norms[at], len(x))
            fit += penalty * (np.diff(played.starts) * np.einsum("ij,ij->i", x, x) + shares)
            yield pa.RecordBatch.from_arrays([pa.array(fit)], ["loss"])

    entries = F.array_sort(F.collect_list(F.struct("item_idx", "weight")))
    grouped = pairs.groupBy("user_idx").agg(entries.alias("e"))
    rows = grouped.join(users, "user_idx", "inner").select(
        "vector", F.col("e.item_idx").alias("items"), F.col("e.weight").alias("weights")
    )
    found = np.sort(rows.mapInArrow(losses, "loss double").toArrow()["loss"].to_numpy())
    shared.destroy()
    return float(found.sum()), float(len(found)), float(len(items.item_idx))
