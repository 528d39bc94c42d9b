"""Listeners with all that is known of them, brought together in one shuffle of packed numbers.

A join would sort and convert every pair as a row of its own; here a row is the bytes of many pairs of one bucket of
listeners, and numpy does the grouping. What the buckets hold follows from user_idx alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.models.blocks import Ragged, find, read_lists

Array = NDArray[Any]

_PACKED_SCHEMA = "slot int, bucket int, kind int, users binary, values binary"

# Numbers that a map task holds before it sends them on: 8 bytes each.
_HELD = 1 << 20

# A task takes its listeners in so many steps, so that it holds a part of them at a time.
_BUCKETS_PER_PARTITION = 16

VECTORS = "vectors"


@dataclass
class Bucket:
    """Some listeners.

    Attributes
    ----------
    user_idx : int32 [listeners], ascending.
    vectors : float32 [listeners × d].
    lists : by name, what is known of each listener: int32 values, ascending and each once; listeners as `user_idx`.
    """

    user_idx: Array
    vectors: Array
    lists: dict[str, Ragged]


def gather(vectors: DataFrame, lists: Mapping[str, DataFrame], partitions: int) -> DataFrame:
    """Packed rows for `read_buckets`, shuffled once.

    Parameters
    ----------
    vectors : DataFrame (user_idx int, vector array<float>), one row per listener.
    lists : by name, DataFrame (user_idx int, values int or array<int>); rows of the same listener add up.
    partitions : of the result; they hold about as many listeners each.
    """
    buckets = partitions * _BUCKETS_PER_PARTITION
    slots = _slots(partitions)

    def packer(kind: int) -> Any:
        def pack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            held = _Held(kind, buckets, slots)
            for batch in batches:
                users = batch.column(0).to_numpy(zero_copy_only=False)
                held.add(users, batch.column(1))
                if held.size >= _HELD:
                    yield held.emptied()
            if held.size:
                yield held.emptied()

        return pack

    user = F.col("user_idx").cast("int").alias("user_idx")
    frames = [vectors.select(user, F.col("vector").cast("array<float>")).where("vector IS NOT NULL")]
    frames += [frame.select(user, frame.columns[1]).dropna() for frame in lists.values()]
    packed = [frame.mapInArrow(packer(kind), _PACKED_SCHEMA) for kind, frame in enumerate(frames)]
    rows = reduce(DataFrame.unionAll, packed)
    return rows.repartition(partitions, "slot").sortWithinPartitions("bucket", "kind")


def read_buckets(batches: Iterable[pa.RecordBatch], names: tuple[str, ...]) -> Iterator[Bucket]:
    """The buckets of a partition, one after the other; `names` as the lists given to `gather`."""
    current, parts = -1, _Parts(len(names) + 1)
    for batch in batches:
        numbers, kinds = batch["bucket"].to_pylist(), batch["kind"].to_pylist()
        users, values = batch["users"], batch["values"]
        for i, number in enumerate(numbers):
            if number != current:
                if parts.users[0]:
                    yield parts.bucket(names)
                current, parts = number, _Parts(len(names) + 1)
            parts.users[kinds[i]].append(np.frombuffer(users[i].as_buffer(), np.int32))
            kind = np.int32 if kinds[i] else np.float32
            parts.values[kinds[i]].append(np.frombuffer(values[i].as_buffer(), kind))
    if parts.users[0]:
        yield parts.bucket(names)


@dataclass
class _Parts:
    """The pieces of a bucket, by kind: 0 the vectors, then the lists."""

    kinds: int
    users: list[list[Array]] = field(init=False)
    values: list[list[Array]] = field(init=False)

    def __post_init__(self) -> None:
        self.users, self.values = [[] for _ in range(self.kinds)], [[] for _ in range(self.kinds)]

    def bucket(self, names: tuple[str, ...]) -> Bucket:
        users = np.concatenate(self.users[0])
        vectors = np.concatenate(self.values[0]).reshape(len(users), -1)
        order = np.argsort(users, kind="stable")
        users = users[order]
        lists = {name: self._lists(kind + 1, users) for kind, name in enumerate(names)}
        return Bucket(users, np.ascontiguousarray(vectors[order]), lists)

    def _lists(self, kind: int, users: Array) -> Ragged:
        if not self.users[kind]:
            return Ragged(np.zeros(0, np.int32), np.zeros(len(users) + 1, np.int64))
        owners, values = np.concatenate(self.users[kind]), np.concatenate(self.values[kind])
        rows, known = find(owners, users)
        # One sort of (row, value) as a single number; values may be negative, so they are lifted to 0 .. 2³² − 1.
        cells = (rows[known].astype(np.int64) << 32) + (values[known].astype(np.int64) + 2**31)
        cells.sort()
        cells = cells[np.diff(cells, prepend=-1) != 0]
        starts = np.searchsorted(cells, np.arange(len(users) + 1, dtype=np.int64) << 32).astype(np.int64)
        return Ragged(((cells & 0xFFFFFFFF) - 2**31).astype(np.int32), starts)


@dataclass
class _Held:
    """Numbers waiting to be packed, a map task's."""

    kind: int
    buckets: int
    slots: list[int]
    users: list[Array] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)
    size: int = 0

    def add(self, users: Array, column: pa.Array) -> None:
        if not len(users):
            return
        if not pa.types.is_list(column.type):
            values = column.to_numpy(zero_copy_only=False).astype(np.int32)
        elif self.kind:
            lists = read_lists(column)
            users, values = users[lists.rows], lists.values.astype(np.int32)
        else:
            values = read_lists(column).values.astype(np.float32).reshape(len(users), -1)
        # Arrow's memory goes back with its batch.
        self.users.append(np.array(users, dtype=np.int32))
        self.values.append(np.array(values))
        self.size += values.size

    def emptied(self) -> pa.RecordBatch:
        """A row for each bucket that has something; nothing is held any more."""
        users, values = np.concatenate(self.users), np.concatenate(self.values)
        self.users, self.values, self.size = [], [], 0
        bucket = users % self.buckets
        small = np.uint16 if self.buckets <= 1 << 16 else np.int32
        order = np.argsort(bucket.astype(small), kind="stable")
        users, values, bucket = users[order], values[order], bucket[order]
        present, starts = np.unique(bucket, return_index=True)
        stops = np.append(starts[1:], len(bucket))
        spans = list(zip(starts.tolist(), stops.tolist(), strict=True))
        columns = [
            pa.array([self.slots[b % len(self.slots)] for b in present.tolist()], pa.int32()),
            pa.array(present, pa.int32()),
            pa.array(np.full(len(present), self.kind), pa.int32()),
            pa.array([users[a:b].tobytes() for a, b in spans], pa.binary()),
            pa.array([values[a:b].tobytes() for a, b in spans], pa.binary()),
        ]
        return pa.RecordBatch.from_arrays(columns, ["slot", "bucket", "kind", "users", "values"])


def _slots(partitions: int) -> list[int]:
    """For each partition a number that Spark's hash partitioning sends there, so that none gets two shares."""
    found: dict[int, int] = {}
    number = 0
    while len(found) < partitions:
        found.setdefault(_spark_hash(number) % partitions, number)
        number += 1
    return [found[p] for p in range(partitions)]


def _spark_hash(number: int) -> int:
    """Spark's hash of an int: Murmur3 (x86, 32 bit) with seed 42, as a signed number."""
    mask = 0xFFFFFFFF

    def rotated(x: int, bits: int) -> int:
        return ((x << bits) | (x >> (32 - bits))) & mask

    k = rotated(number * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask
    h = (rotated(42 ^ k, 13) * 5 + 0xE6546B64) & mask
    h ^= 4
    h = (h ^ (h >> 16)) * 0x85EBCA6B & mask
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & mask
    h ^= h >> 16
    return h - (1 << 32) if h >> 31 else h
