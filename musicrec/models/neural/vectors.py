"""Next-track models as vectors, so that they end in the one top-N engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from safetensors.torch import load, save

from musicrec.models.blocks import Ragged, read_lists, write_lists
from musicrec.models.embedding import EmbeddingModel, check_finite
from musicrec.models.neural.checkpoint import Weights
from musicrec.models.neural.kinds import model_of_weights
from musicrec.models.neural.next_track import NextTrackParams, vocabulary_of

# Listeners whose windows are run at a time.
_LISTENERS = 1024


def next_track_vectors(
    spark: SparkSession, name: str, weights: Weights, params: NextTrackParams, last_plays: DataFrame
) -> EmbeddingModel:
    """The trained model as vectors; the listeners' are computed on the executors, over Arrow batches, on the CPU.

    Parameters
    ----------
    name : the model's name in tables.
    weights : of a model of these `params`.
    last_plays : (user_idx, items array<int> [length]), the newest plays of each listener, left-padded.

    Returns
    -------
    user vector = the last state [width]; item vector = output embedding [width]; bias = output bias; of the items of
    the vocabulary only.

    Raises
    ------
    NonFiniteError : a vector or bias holds NaN or an infinite value.
    """
    model = model_of_weights(weights, params)
    frame = pd.DataFrame(
        {
            "item_idx": vocabulary_of(weights).astype(np.int32),
            "vector": list(model.item_weights().detach().numpy().astype(np.float32)),
            "bias": model.bias.detach().numpy().astype(np.float32),
        }
    ).sort_values("item_idx")
    items = spark.createDataFrame(frame, "item_idx int, vector array<float>, bias float")
    width = model.item_weights().shape[1]
    packed = spark.sparkContext.broadcast(save(weights))

    def infer(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)  # a task is one core; more threads would fight over it
        worker_model = model_of_weights(load(packed.value), params).eval()
        for batch in batches:
            windows = read_lists(batch["items"]).values.reshape(batch.num_rows, -1)
            with torch.no_grad():
                parts = [worker_model.last_states(part) for part in torch.tensor(windows).split(_LISTENERS)]  # type: ignore[no-untyped-call]
            states = torch.cat(parts).numpy() if parts else np.zeros((0, width), np.float32)
            starts = np.arange(batch.num_rows + 1, dtype=np.int64) * width
            vectors = write_lists(Ragged(states.reshape(-1), starts), pa.float32())
            yield pa.RecordBatch.from_arrays([batch["user_idx"], vectors], ["user_idx", "vector"])

    # Kept, since each pass would load the network anew in every worker; the caller may unpersist.
    users = last_plays.select(F.col("user_idx").cast("int"), "items")
    vectors = users.mapInArrow(infer, "user_idx int, vector array<float>").persist()
    return check_finite(EmbeddingModel(name, vectors, items))
