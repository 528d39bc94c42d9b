"""NeuMF on the executors: candidate lists in the order of its scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from safetensors.torch import load, save

from musicrec.errors import NonFiniteError
from musicrec.models.blocks import Ragged, read_lists, write_lists
from musicrec.models.neural.checkpoint import Weights
from musicrec.models.neural.ncf import NAME, NcfModel, NcfParams, ncf_of_weights

# Pairs scored at a time: 16 MB for each layer of 64.
_PAIRS = 1 << 16


def ncf_rerank(spark: SparkSession, weights: Weights, params: NcfParams, lists: DataFrame) -> DataFrame:
    """Each list in the order of the network's scores, over Arrow batches on the executors, on the CPU.

    Parameters
    ----------
    weights : of an `NcfModel` with these `params`.
    lists : DataFrame (user_idx int, items array<int>); a null list is read as an empty one.

    Returns
    -------
    DataFrame (user_idx int, items array<int>, scores array<double>), one row per row of `lists`: best first, equal
    scores by item_idx; scores are logits. Items beyond those that the model was trained with, and all items of a
    listener that it was not trained with, come behind the others in the order given, with a null score.

    Raises
    ------
    NonFiniteError : a weight is NaN or infinite.
    """
    bad = next((name for name, tensor in weights.items() if not bool(torch.isfinite(tensor).all())), None)
    if bad is not None:
        raise NonFiniteError(f"model {NAME}: {bad} holds NaN or infinity after the fit")
    packed = spark.sparkContext.broadcast(save(weights))

    def infer(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)  # a task is one core; more threads would fight over it
        model = ncf_of_weights(load(packed.value), params).eval()
        for batch in batches:
            yield _reranked(model, batch)

    wanted = lists.select(F.col("user_idx").cast("int"), F.col("items").cast("array<int>"))
    return wanted.mapInArrow(infer, "user_idx int, items array<int>, scores array<double>")


def _reranked(model: NcfModel, batch: pa.RecordBatch) -> pa.RecordBatch:
    lists = read_lists(batch["items"])
    users = pc.fill_null(batch["user_idx"], -1).to_numpy(zero_copy_only=False)[lists.rows]
    items = lists.values
    is_known = (users >= 0) & (users < model.n_users) & (items >= 0) & (items < model.n_items)
    scores = np.zeros(len(items))
    scores[is_known] = _scored(model, users[is_known], items[is_known])
    places = np.arange(len(items))
    order = np.lexsort((np.where(is_known, items, places), -scores, ~is_known, lists.rows))
    shown = pa.array(scores[order], pa.float64(), mask=~is_known[order])
    columns = [
        batch["user_idx"],
        write_lists(Ragged(items[order], lists.starts), pa.int32()),
        pa.ListArray.from_arrays(pa.array(lists.starts, pa.int32()), shown),
    ]
    return pa.RecordBatch.from_arrays(columns, ["user_idx", "items", "scores"])


def _scored(model: NcfModel, users: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float64]:
    """The logit of each pair."""
    scores = np.empty(len(users))
    with torch.no_grad():
        for start in range(0, len(users), _PAIRS):
            part = slice(start, start + _PAIRS)
            of_users, of_items = (torch.from_numpy(column[part].astype(np.int64)) for column in (users, items))
            scores[part] = model.scores(of_users, of_items[:, None])[:, 0].numpy()
    return scores
