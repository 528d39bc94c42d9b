"""Shelves for parts of the day."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.pipelines.training_data import TrainingData
from musicrec.ranking.context import PARTS, ContextParams, context_lists


def shelves_by_part(made: DataFrame, data: TrainingData, params: ContextParams) -> dict[str, DataFrame]:
    """`discover_night` and so on → (user_idx, items, scores) of the listeners who play enough in that part of the day.

    `made` are the lists of `discover`, from which these differ in their order only.
    """
    lists = context_lists(made, data.plays, data.items, params).persist()
    return {f"discover_{name}": lists.where(F.col("part") == part).drop("part") for part, name in enumerate(PARTS)}
