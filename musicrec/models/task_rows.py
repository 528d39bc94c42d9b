"""The rows that the tasks of one fit give back: vectors of both sides, and a report of each task as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.models.blocks import Ragged, write_lists

SCHEMA = "side string, idx int, vector array<float>, bias float, report string"
USERS, ITEMS, _REPORT = "users", "items", "report"

# Rows of one Arrow batch of vectors.
_BATCH = 8192

Floats = NDArray[np.floating[Any]]


def vector_rows(
    side: str, idx: NDArray[np.int32], vectors: Floats, bias: Floats | None = None
) -> Iterator[pa.RecordBatch]:
    """The vectors [n × d] of one side, and where given their biases [n], as rows of SCHEMA, cast to float32."""
    for begin in range(0, len(idx), _BATCH):
        part = np.ascontiguousarray(vectors[begin : begin + _BATCH], dtype=np.float32)
        starts = np.arange(len(part) + 1, dtype=np.int64) * part.shape[1]
        biases = np.zeros(len(part)) if bias is None else bias[begin : begin + _BATCH]
        yield _batch(
            pa.array([side]).take(pa.array(np.zeros(len(part), np.int32))),
            pa.array(idx[begin : begin + _BATCH], pa.int32()),
            write_lists(Ragged(part.ravel(), starts), pa.float32()),
            pa.array(biases.astype(np.float32)),
            pa.nulls(len(part), pa.string()),
        )


def report_row(facts: dict[str, Any]) -> pa.RecordBatch:
    """What a task tells the driver, as one row of SCHEMA; the facts go through JSON."""
    return _batch(
        pa.array([_REPORT]),
        pa.array([0], pa.int32()),
        pa.nulls(1, pa.list_(pa.float32())),
        pa.nulls(1, pa.float32()),
        pa.array([json.dumps(facts)]),
    )


def reports_in(rows: DataFrame) -> list[dict[str, Any]]:
    """The facts of every task, in any order; runs the tasks."""
    return [json.loads(row.report) for row in rows.where(F.col("side") == _REPORT).select("report").collect()]


def users_in(rows: DataFrame) -> DataFrame:
    """The listeners' vectors: DataFrame (user_idx int, vector array<float>)."""
    return rows.where(F.col("side") == USERS).select(F.col("idx").alias("user_idx"), "vector")


def items_in(rows: DataFrame) -> DataFrame:
    """The items' vectors: DataFrame (item_idx int, vector array<float>, bias float)."""
    return rows.where(F.col("side") == ITEMS).select(F.col("idx").alias("item_idx"), "vector", "bias")


def _batch(*columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns), ["side", "idx", "vector", "bias", "report"])
