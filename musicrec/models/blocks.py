"""Listeners in blocks: what travels between Spark's columns and numpy, and the sparse blocks that a fit passes over.

A block is a row of a DataFrame, so Spark keeps, spills and moves it; its numbers are the bytes of a scipy CSR matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.sparse import csr_matrix

Array = NDArray[Any]

BLOCK_SCHEMA = "block int, part int, users binary, starts binary, items binary, weights binary"

# Entries a block holds at most (a single longer listener excepted): 12 bytes each, so 12 MB a block.
BLOCK_ENTRIES = 1 << 20

# Rows of a matrix that one task adds up.
_CHUNK_ROWS = 16_384


@dataclass(frozen=True)
class Ragged:
    """Lists of unequal length laid end to end: list i is `values[starts[i]:starts[i + 1]]`."""

    values: Array
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def rows(self) -> NDArray[np.int64]:
        """The list that each value belongs to [len(values)]."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.starts))

    def __getitem__(self, i: int) -> Array:
        return self.values[self.starts[i] : self.starts[i + 1]]

    def part(self, start: int, stop: int) -> Ragged:
        """The lists start .. stop - 1."""
        starts = self.starts[start : stop + 1]
        return Ragged(self.values[starts[0] : starts[-1]], starts - starts[0])


def read_lists(column: pa.Array) -> Ragged:
    """An Arrow list column; a null list is read as an empty one."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(column.flatten().to_numpy(zero_copy_only=False), starts)


def read_vectors(column: pa.Array) -> NDArray[np.float32]:
    """An Arrow list column of n equally long vectors as a matrix [n × d]."""
    lists = read_lists(column)
    return np.asarray(lists.values, dtype=np.float32).reshape(len(lists), -1 if len(lists.values) else 0)


def write_lists(lists: Ragged, kind: pa.DataType) -> pa.ListArray:
    """The lists as an Arrow list column of `kind`."""
    return pa.ListArray.from_arrays(pa.array(lists.starts, pa.int32()), pa.array(lists.values, kind))


@dataclass(frozen=True)
class ListenerBlock:
    """Some listeners' rows of the listener × item matrix.

    Attributes
    ----------
    user_idx : the listeners, ascending [rows].
    matrix : their weights [rows × width], float64.
    """

    user_idx: NDArray[np.int32]
    matrix: csr_matrix


def listener_blocks(interactions: DataFrame, blocks: int) -> DataFrame:
    """The listener × item matrix as CSR blocks of whole listeners, a row of BLOCK_SCHEMA each.

    Which listeners share a block and in which order they stand follows from `user_idx` and `blocks` alone, so a sum
    over blocks in the order (block, part) has the same bits however the interactions are partitioned.

    Parameters
    ----------
    interactions : DataFrame (user_idx int, item_idx int, weight double), one row per pair.
    blocks : Spark partitions of the result.
    """
    pairs = interactions.select(
        F.col("user_idx").cast("int"), F.col("item_idx").cast("int"), F.col("weight").cast("double")
    )
    grouped = pairs.repartition(blocks, "user_idx").sortWithinPartitions("user_idx", "item_idx")
    tagged = grouped.withColumn("block", F.spark_partition_id())
    return tagged.mapInArrow(_cut_blocks, BLOCK_SCHEMA)


def read_blocks(batch: pa.RecordBatch, width: int) -> Iterator[tuple[int, int, ListenerBlock]]:
    """Each row of BLOCK_SCHEMA as (block, part, ListenerBlock)."""
    for row in batch.to_pylist():
        users = np.frombuffer(row["users"], dtype=np.int32)
        starts = np.frombuffer(row["starts"], dtype=np.int32)
        items = np.frombuffer(row["items"], dtype=np.int32)
        weights = np.frombuffer(row["weights"], dtype=np.float64)
        matrix = csr_matrix((weights, items, starts), shape=(len(users), width), copy=False)
        yield row["block"], row["part"], ListenerBlock(users, matrix)


def sum_over_blocks(
    blocks: DataFrame, make: Callable[[ListenerBlock], Array], width: int, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Σ make(block), added up on the executors a range of rows at a time; only the sum comes to the driver.

    Parameters
    ----------
    blocks : rows of BLOCK_SCHEMA.
    make : a block's matrix of `shape`; it is sent to the executors.
    width : columns of the listener × item matrix.
    shape : rows and columns of the sum.
    """
    rows, columns = shape

    def pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for block, part, listeners in read_blocks(batch, width):
                matrix = make(listeners)
                for chunk, start in enumerate(range(0, rows, _CHUNK_ROWS)):
                    cells = np.ascontiguousarray(matrix[start : start + _CHUNK_ROWS], dtype=np.float64).tobytes()
                    row = [pa.array([value], pa.int32()) for value in (chunk, block, part)]
                    row.append(pa.array([cells], pa.binary()))
                    yield pa.RecordBatch.from_arrays(row, ["chunk", "block", "part", "cells"])

    split = blocks.mapInArrow(pieces, "chunk int, block int, part int, cells binary")
    ordered = split.repartition(-(-rows // _CHUNK_ROWS), "chunk").sortWithinPartitions("chunk", "block", "part")
    added = ordered.mapInArrow(_add_pieces, "chunk int, cells binary").toArrow().sort_by("chunk")
    return np.frombuffer(b"".join(added["cells"].to_pylist()), dtype=np.float64).reshape(rows, columns)


def _add_pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The sum of each chunk's cells, one after the other as they stand."""

    def row(chunk: int, total: NDArray[np.float64]) -> pa.RecordBatch:
        columns = [pa.array([chunk], pa.int32()), pa.array([total.tobytes()], pa.binary())]
        return pa.RecordBatch.from_arrays(columns, ["chunk", "cells"])

    current, total = -1, np.zeros(0)
    for batch in batches:
        for piece in batch.to_pylist():
            cells = np.frombuffer(piece["cells"], dtype=np.float64)
            if piece["chunk"] == current:
                total = total + cells
                continue
            if current >= 0:
                yield row(current, total)
            current, total = piece["chunk"], cells
    if current >= 0:
        yield row(current, total)


def _cut_blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Blocks of about BLOCK_ENTRIES from one partition's pairs, cut only between two listeners."""
    held: list[tuple[Array, Array, Array]] = []
    block, part = 0, 0
    for batch in batches:
        if not batch.num_rows:
            continue
        block = batch["block"][0].as_py()
        held.append((batch["user_idx"].to_numpy(), batch["item_idx"].to_numpy(), batch["weight"].to_numpy()))
        if sum(len(users) for users, _, _ in held) <= BLOCK_ENTRIES:
            continue
        users, items, weights = (np.concatenate(column) for column in zip(*held, strict=True))
        # The last listener may go on in the next batch.
        cut = int(np.searchsorted(users, users[-1]))
        if cut:
            yield _block_row(block, part, users[:cut], items[:cut], weights[:cut])
            part += 1
        held = [(users[cut:], items[cut:], weights[cut:])]
    if held:
        users, items, weights = (np.concatenate(column) for column in zip(*held, strict=True))
        yield _block_row(block, part, users, items, weights)


def _block_row(block: int, part: int, users: Array, items: Array, weights: Array) -> pa.RecordBatch:
    listeners, first = np.unique(users, return_index=True)
    starts = np.append(first, len(users)).astype(np.int32)
    cells: list[Array] = [listeners.astype(np.int32), starts, items.astype(np.int32), weights.astype(np.float64)]
    columns = [pa.array([block], pa.int32()), pa.array([part], pa.int32())]
    columns += [pa.array([cell.tobytes()], pa.binary()) for cell in cells]
    return pa.RecordBatch.from_arrays(columns, ["block", "part", "users", "starts", "items", "weights"])
