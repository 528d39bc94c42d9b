"""Models are looked at before they are published: can their scores tell items apart?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.sparse import csr_matrix

from musicrec.evaluation.told_apart import Sample, check_told_apart, different, different_by_plays
from musicrec.models.blocks import find, read_vectors
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.neural.checkpoint import Weights
from musicrec.models.neural.ncf import NcfParams, ncf_of_weights
from musicrec.params import Params
from musicrec.pipelines.settings import RERANKER

# Listeners and items that are looked at, drawn by hash.
LISTENERS, ITEMS = 200, 10_000
# The same of NCF, whose every pair costs a network.
_PAIRED = (50, 1000)


def check_tells_apart(model: EmbeddingModel, params: Params, pairs: DataFrame | None, places: int) -> None:
    """Look at a sample of listeners and items; the plays are collected only where the scores are too few.

    Parameters
    ----------
    pairs : DataFrame (user_idx int, item_idx int, weight double), what the model learnt from; None where what it can
        tell apart is its items' vectors.
    places : of a list.

    Raises
    ------
    DegenerateModelError : more than half of the listeners have fewer different scores than places, though the plays
        tell more items apart; or scores that are not finite.
    """
    users = _drawn(model.user_vectors.select("user_idx", "vector"), "user_idx", LISTENERS)
    items = _drawn(model.item_vectors.select("item_idx", "vector", "bias"), "item_idx", ITEMS)
    if not users.num_rows or not items.num_rows:
        return
    vectors = [read_vectors(found["vector"].combine_chunks()) for found in (users, items)]
    sample = Sample(vectors[0], vectors[1], items["bias"].to_numpy())

    def possible() -> NDArray[np.int64]:
        if pairs is None:
            return sample.different_items()
        return by_plays(pairs, users["user_idx"].to_numpy(), items["item_idx"].to_numpy())

    check_told_apart(model.name, settings_of(model.name, params), sample.different_scores(), places, possible)


def check_reranker(weights: Weights, params: NcfParams, pairs: DataFrame, places: int) -> None:
    """The same for NCF, which has no vectors: by its scores for some listeners and items."""
    model = ncf_of_weights(weights, params).eval()
    users, items = (
        np.unique(np.linspace(0, size - 1, min(size, most)).astype(np.int32))
        for size, most in ((model.n_users, _PAIRED[0]), (model.n_items, _PAIRED[1]))
    )
    with torch.no_grad():
        of_items = torch.from_numpy(items.astype(np.int64)).expand(len(users), -1)
        scores = model.scores(torch.from_numpy(users.astype(np.int64)), of_items).numpy()
    check_told_apart(
        RERANKER, settings_of(RERANKER, params), different(scores), places, lambda: by_plays(pairs, users, items)
    )


def settings_of(name: str, params: Params) -> str:
    """A model's settings in a line."""
    return ", ".join(_flat(name, params.model_dump(mode="json")))


def _flat(name: str, values: Mapping[str, Any]) -> list[str]:
    parts: list[str] = []
    for key, value in values.items():
        parts += _flat(f"{name}.{key}", value) if isinstance(value, dict) else [f"{name}.{key} = {value}"]
    return parts


def _drawn(rows: DataFrame, key: str, most: int) -> Any:
    return rows.orderBy(F.xxhash64(key), key).limit(most).toArrow().sort_by(key)


def by_plays(pairs: DataFrame, users: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.int64]:
    """`different_by_plays` of (user_idx, item_idx, weight), which is collected."""
    found = pairs.select(
        F.col("user_idx").cast("int"), F.col("item_idx").cast("int"), F.col("weight").cast("double")
    ).toArrow()
    (known_users, row), (known_items, column) = (np.unique(found[i].to_numpy(), return_inverse=True) for i in range(2))
    weights = csr_matrix((found["weight"].to_numpy(), (row, column)), (len(known_users), len(known_items)))
    places = [np.where(is_there, at, -1) for at, is_there in (find(users, known_users), find(items, known_items))]
    return different_by_plays(weights, places[0], places[1])
