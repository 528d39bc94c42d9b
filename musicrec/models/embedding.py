"""The contract of every embedding model: user vectors, item vectors and an item bias in one space."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import NonFiniteError
from musicrec.models.blocks import find, read_vectors


@dataclass(frozen=True)
class EmbeddingModel:
    """A fitted model as vectors; the score of an item for a listener is `user_vector · item_vector + bias`.

    Attributes
    ----------
    name : the model's name in tables and configuration.
    user_vectors : DataFrame (user_idx int, vector array<float> [d]).
    item_vectors : DataFrame (item_idx int, vector array<float> [d], bias float).
    figures : what the fit measured of itself, by name.
    kept : what Spark keeps of it until `release`.
    """

    name: str
    user_vectors: DataFrame
    item_vectors: DataFrame
    figures: dict[str, float] = field(default_factory=dict)
    kept: tuple[DataFrame, ...] = ()

    def release(self) -> None:
        """Let Spark forget the vectors; the model cannot be used after this."""
        for frame in self.kept:
            frame.unpersist()


def check_finite(model: EmbeddingModel) -> EmbeddingModel:
    """The model as it is.

    Raises
    ------
    NonFiniteError : a vector or bias holds NaN or an infinite value.
    """

    def is_bad(value: str) -> str:
        return f"isnan({value}) OR abs({value}) = double('Infinity')"

    bad_vector = F.expr(f"exists(vector, x -> x IS NULL OR {is_bad('x')})")
    bad_item = bad_vector | F.expr(f"bias IS NULL OR {is_bad('bias')}")
    for what, vectors, bad in (("user", model.user_vectors, bad_vector), ("item", model.item_vectors, bad_item)):
        count = vectors.where(bad).count()
        if count:
            raise NonFiniteError(f"model {model.name}: {count} {what} vectors hold NaN or infinity after the fit")
    return model


@dataclass(frozen=True)
class ItemMatrix:
    """A model's items on the driver, ready to be broadcast.

    Attributes
    ----------
    item_idx : the items, ascending [m].
    vectors : their vectors [m × d].
    bias : their biases [m].
    """

    item_idx: NDArray[np.int32]
    vectors: NDArray[np.float32]
    bias: NDArray[np.float32]

    def positions(self, items: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The row of each item, and whether the matrix has it at all (the row of one it lacks means nothing)."""
        return find(items, self.item_idx)


def collect_items(item_vectors: DataFrame) -> ItemMatrix:
    """The item vectors as one matrix on the driver: 4 (d + 2) bytes an item, so 260 MB for a million items of 64.

    Parameters
    ----------
    item_vectors : DataFrame (item_idx int, vector array<float> [d], bias float), one row per item.
    """
    rows = item_vectors.select(
        F.col("item_idx").cast("int"), F.col("vector").cast("array<float>"), F.col("bias").cast("float")
    ).toArrow()
    item_idx = rows["item_idx"].to_numpy()
    order = np.argsort(item_idx, kind="stable")
    vectors = read_vectors(rows["vector"].combine_chunks())
    return ItemMatrix(item_idx[order], vectors[order], rows["bias"].to_numpy()[order])
