"""Windows packed into blocks, and how many blocks and buckets a snapshot has. Needs no Spark.

A parquet row, alone in its row group, is a block of many windows: readers pay for each row and each row group, so a
list column with a window a row is read ten times slower.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[Any]

# lz4: half of the disk of none, and three times as fast to read as snappy or zstd.
CODEC = "lz4_raw"
# A block's place (see `block_number`), its windows, and their int32 values, little-endian, one after the other.
COLUMNS = "block int, rows int, items binary, first_target binary"

# Hashes fall into so many cells, and a bucket is a whole number of them: one pass finds the digests whatever the number
# of buckets turns out to be.
CELLS = 8192
# Windows in a bucket at least, where there are as many.
_BUCKET_ROWS = 16_384
# A block has at most so many windows and numbers: a few MB, which stay in the cache while they are copied.
_BLOCK_ROWS, _BLOCK_NUMBERS = 32_768, 1 << 22
# With so many windows a bucket the readers get two buckets each, if need be.
_FEW_ROWS = 256
# Buckets stay as they are until there are so many times as many windows.
_GROWTH = 4
_BLOCKS = 1 << 16


@dataclass(frozen=True)
class Layout:
    """Into how many buckets and blocks windows are put.

    Attributes
    ----------
    length : places in a window.
    buckets : a power of two.
    block_rows : windows in a block at most.
    planned_rows : windows for which this was chosen.
    """

    length: int
    buckets: int
    block_rows: int
    planned_rows: int


def plan(counts: Ints, length: int, shards: int, before: Layout | None = None) -> Layout:
    """The layout of windows: `before` where it still fits, so that only changed buckets need be written.

    Parameters
    ----------
    counts : windows in each cell, [CELLS].
    shards : readers that share the row groups; there will be one for each if there are as many windows.
    """
    rows = int(counts.sum())
    least = _power_of_two(2 * shards) if rows >= 2 * shards * _FEW_ROWS else 1
    if before and _still_fits(before, counts, length, shards, least):
        return before
    buckets = min(max(1 << (max(rows // _BUCKET_ROWS, 1).bit_length() - 1), least), CELLS)
    block_rows = max(min(_BLOCK_ROWS, _BLOCK_NUMBERS // length), 1)
    if _row_groups(counts, buckets, block_rows) < min(shards, rows):
        # The buckets together have at least rows / block_rows blocks.
        block_rows = max(rows // shards, 1)
    return Layout(length, buckets, block_rows, rows)


def by_bucket(of_cells: Ints, buckets: int) -> Ints:
    """[CELLS // buckets, buckets]: the cells' values, a column for each bucket; cell c is in bucket c % buckets."""
    return of_cells.reshape(-1, buckets)


def block_sizes(rows: int, block_rows: int) -> list[int]:
    """Windows in each block of a bucket: as few blocks as can be, as equal as can be."""
    blocks = -(-rows // block_rows)
    return [(rows * (number + 1)) // blocks - (rows * number) // blocks for number in range(blocks)]


def block_number(bucket: int, place: int) -> int:
    """The number of the block at a place in its bucket, unlike that of any other block."""
    return bucket * _BLOCKS + place


def bucket_folder(bucket: int) -> str:
    """Name of a bucket's folder."""
    return f"bucket={bucket:05d}"


def pack(batches: Iterable[pa.RecordBatch], layout: Layout, rows: Mapping[int, int]) -> Iterator[pa.RecordBatch]:
    """Blocks, a row each, of windows in the order of their buckets.

    Parameters
    ----------
    batches : (bucket int, items list<int32> [length], first_target int), a bucket's windows one after the other.
    rows : windows of each bucket.

    Yields
    ------
    (block, rows, items, first_target, bucket string), one row in each batch.
    """
    bucket, sizes, held = -1, list[int](), list[tuple[Ints, Ints]]()
    missing = place = 0
    for batch in batches:
        buckets = batch.column("bucket").to_numpy(zero_copy_only=False)
        items = batch.column("items").flatten().to_numpy(zero_copy_only=False).astype("<i4", copy=False)
        items = items.reshape(len(buckets), layout.length)
        first = batch.column("first_target").to_numpy(zero_copy_only=False).astype("<i4", copy=False)
        at = 0
        while at < len(buckets):
            if not missing:
                if buckets[at] != bucket:
                    bucket, place = int(buckets[at]), 0
                    sizes = block_sizes(rows[bucket], layout.block_rows)
                missing = sizes[place]
            end = min(at + missing, len(buckets))
            held.append((items[at:end], first[at:end]))
            missing, at = missing - (end - at), end
            if not missing:
                yield _block(block_number(bucket, place), bucket, held)
                held, place = [], place + 1


def _block(number: int, bucket: int, held: list[tuple[Ints, Ints]]) -> pa.RecordBatch:
    items, first = (np.concatenate(parts) for parts in zip(*held, strict=True))
    values = {
        "block": pa.array([number], pa.int32()),
        "rows": pa.array([len(first)], pa.int32()),
        "items": pa.array([items.tobytes()], pa.binary()),
        "first_target": pa.array([first.tobytes()], pa.binary()),
        "bucket": pa.array([f"{bucket:05d}"]),
    }
    return pa.RecordBatch.from_pydict(values)


def _still_fits(layout: Layout, counts: Ints, length: int, shards: int, least: int) -> bool:
    rows = int(counts.sum())
    if layout.length != length or layout.buckets < least or rows > _GROWTH * layout.planned_rows:
        return False
    return _row_groups(counts, layout.buckets, layout.block_rows) >= min(shards, rows)


def _row_groups(counts: Ints, buckets: int, block_rows: int) -> int:
    of_buckets = by_bucket(counts, buckets).sum(0)
    return int((-(-of_buckets // block_rows)).sum())


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
