"""What tracks sound like as a recommender: a listener is the mean of what they played."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.sparse import csr_matrix

from musicrec.models.blocks import Ragged, find, read_lists, write_lists
from musicrec.models.embedding import EmbeddingModel, check_finite, collect_items
from musicrec.models.shared_arrays import SharedArrays
from musicrec.params import Params
from musicrec.transforms.feature_scaler import GroupWeights
from musicrec.transforms.features import FeatureParams

CONTENT = "content"
_USERS_SCHEMA = "user_idx int, vector array<float>"


class ContentParams(Params):
    """What stands on the tracks' features.

    Attributes
    ----------
    k : neighbours of each track.
    metric : by what they are near.
    weights : how much each group of features says.
    features : how the features are made.
    """

    k: int = Field(default=20, ge=1)
    metric: Literal["euclidean", "manhattan", "cosine"] = "cosine"
    weights: GroupWeights = GroupWeights()
    features: FeatureParams = FeatureParams()


def content_model(interactions: DataFrame, item_vectors: DataFrame) -> EmbeddingModel:
    """Items as their vectors of length 1, listeners as the weighted mean of those they played, of length 1 too.

    The score of an item for a listener is the cosine of the two. A listener who played none of the items has no vector,
    nor has one whose mean is zero.

    Parameters
    ----------
    interactions : DataFrame (user_idx int, item_idx int, weight double), one row per pair.
    item_vectors : DataFrame (item_idx int, vector array<float> [d]), one row per item.

    Raises
    ------
    NonFiniteError : a vector holds NaN or infinity.
    """
    unit = _of_length_one(item_vectors.select("item_idx", "vector")).withColumn("bias", F.lit(0.0).cast("float"))
    unit = unit.persist()
    matrix = collect_items(unit)
    shared = SharedArrays(unit.sparkSession, {"item_idx": matrix.item_idx, "vectors": matrix.vectors.reshape(-1)})
    own = F.array_sort(F.collect_list(F.struct("item_idx", "weight")))
    lists = interactions.groupBy("user_idx").agg(own.alias("own"))

    def means(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        arrays = shared.read()
        known = arrays["item_idx"]
        vectors = arrays["vectors"].reshape(len(known), -1)
        for batch in batches:
            items, weights = read_lists(batch["items"]), read_lists(batch["weights"]).values
            places, is_known = find(items.values, known)
            cells = (weights[is_known], (items.rows[is_known], places[is_known]))
            sums = csr_matrix(cells, shape=(len(items), len(known))) @ vectors.astype(np.float64)
            lengths = np.linalg.norm(sums, axis=1)
            kept = lengths > 1e-9 * np.bincount(items.rows[is_known], weights[is_known], len(items))
            unit_sums = np.round(sums[kept] / lengths[kept, None], 6).astype(np.float32)
            starts = np.arange(len(unit_sums) + 1, dtype=np.int64) * unit_sums.shape[1]
            column = write_lists(Ragged(unit_sums.reshape(-1), starts), pa.float32())
            users = batch["user_idx"].filter(pa.array(kept))
            yield pa.RecordBatch.from_arrays([users, column], ["user_idx", "vector"])

    sides = lists.select("user_idx", F.col("own.item_idx").alias("items"), F.col("own.weight").alias("weights"))
    return check_finite(EmbeddingModel(CONTENT, sides.mapInArrow(means, _USERS_SCHEMA), unit, kept=(unit,)))


def _of_length_one(vectors: DataFrame) -> DataFrame:
    """The vectors divided by their length; one of zeros stays."""
    squares = F.transform("vector", lambda x: x.cast("double") * x)
    length = F.sqrt(F.aggregate(squares, F.lit(0.0), lambda total, x: total + x))
    divided = F.transform("vector", lambda x: F.when(length > 0, x / length).otherwise(x).cast("float"))
    return vectors.withColumn("vector", divided)
