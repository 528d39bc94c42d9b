"""The interactions that a task of a fit is given."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

Ints32 = NDArray[np.int32]
Floats32 = NDArray[np.float32]


def narrow_pairs(interactions: DataFrame) -> DataFrame:
    """(user_idx int, item_idx int, weight float), as `read_pairs` takes them."""
    return interactions.select(
        F.col("user_idx").cast("int"), F.col("item_idx").cast("int"), F.col("weight").cast("float")
    )


def read_pairs(batches: Iterable[pa.RecordBatch]) -> tuple[Ints32, Ints32, Floats32]:
    """This task's listeners, items and weights; a weight that is null is NaN."""
    parts = [(b["user_idx"].to_numpy(), b["item_idx"].to_numpy(), _floats(b["weight"])) for b in batches if b.num_rows]
    if not parts:
        return np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32)
    users, items, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return users, items, weights


def _floats(column: pa.Array) -> Floats32:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32)
