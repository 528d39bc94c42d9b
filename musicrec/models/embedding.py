"""The contract of every embedding model: user vectors, item vectors and an item bias in one space."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import NonFiniteError


@dataclass(frozen=True)
class EmbeddingModel:
    """A fitted model as vectors; the score of an item for a listener is `user_vector · item_vector + bias`.

    Attributes
    ----------
    name : the model's name in tables and configuration.
    user_vectors : DataFrame (user_idx int, vector array<float> [d]).
    item_vectors : DataFrame (item_idx int, vector array<float> [d], bias float).
    figures : what the fit measured of itself, by name.
    """

    name: str
    user_vectors: DataFrame
    item_vectors: DataFrame
    figures: dict[str, float] = field(default_factory=dict)


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
