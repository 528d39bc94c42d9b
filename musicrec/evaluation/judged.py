"""Who is judged, on what, and which lists are theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.models.blocks import Ragged, find, read_lists

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """Judged listeners.

    Attributes
    ----------
    user_idx : [listeners], ascending where collected.
    relevant : item_idx that are relevant for each, each once.
    candidates : [listeners] how many items there were to rank.
    """

    user_idx: Ints
    relevant: Ragged
    candidates: Ints

    @classmethod
    def collect(cls, relevant: DataFrame) -> Judged:
        """From DataFrame (user_idx, relevant array<int>, candidates), a row a listener."""
        rows = relevant.select(
            F.col("user_idx").cast("long"), F.col("relevant").cast("array<int>"), F.col("candidates").cast("long")
        )
        found = rows.toArrow().sort_by("user_idx").combine_chunks()
        return cls(
            found["user_idx"].to_numpy(), read_lists(found["relevant"].combine_chunks()), found["candidates"].to_numpy()
        )

    def places(self, user_idx: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Each listener's place here, and whether there is one (else the place means nothing)."""
        return find(user_idx, self.user_idx)


def judged_lists(lists: DataFrame, relevant: DataFrame, models: Sequence[str] | None) -> DataFrame:
    """A row for each model and judged listener: DataFrame (model, user_idx, relevant, candidates, items).

    Parameters are those of `listener_metrics`; items is empty where the model has no list for the listener.
    """
    judged = relevant.select("user_idx", F.col("relevant").cast("array<int>"), F.col("candidates").cast("long"))
    if models is None:
        judged = judged.crossJoin(F.broadcast(lists.select("model").distinct()))
    else:
        judged = judged.withColumn("model", F.explode(F.array(*(F.lit(name) for name in models))))
    listed = lists.select("model", "user_idx", F.col("items").cast("array<int>"))
    # The relevant items are the smaller side: hashed, so that no list is sorted.
    joined = listed.join(judged.hint("shuffle_hash"), ["model", "user_idx"], how="right")
    items_or_none = F.coalesce(F.col("items"), F.array().cast("array<int>")).alias("items")
    return joined.select("model", "user_idx", "relevant", "candidates", items_or_none)


def read_judged(batch: pa.RecordBatch) -> tuple[Ragged, Judged]:
    """A batch of `judged_lists`: the lists, and the listener of each."""
    users, candidates = (batch[name].to_numpy(zero_copy_only=False) for name in ("user_idx", "candidates"))
    return read_lists(batch["items"]), Judged(users, read_lists(batch["relevant"]), candidates)
