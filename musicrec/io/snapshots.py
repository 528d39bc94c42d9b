"""Windows as a snapshot of parquet files, by Spark; of an earlier snapshot only what has changed is written.

Pointed at a Delta folder itself petastorm would read files that Delta has removed, so a pinned version is materialised.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.packing import CELLS, CODEC, COLUMNS, Layout, bucket_folder, by_bucket, pack, plan
from musicrec.io.snapshot_files import FACTS, Bucket, Facts, Snapshot, open_snapshot, read_facts, write_facts

_TABLE = "table silver.sequences"


def write_snapshot(
    windows: DataFrame, folder: Path, length: int, version: int, n_items: int, shards: int = 1
) -> Snapshot:
    """Make the folder a snapshot of the windows, in the order of a hash, which no partitioning of them changes.

    Where the folder holds an earlier snapshot, the buckets whose windows are the same keep their files. While files
    change there is no `_snapshot.json`, so a write that was cut short is made anew as a whole.

    Parameters
    ----------
    windows : (user_id, window, items array<int> [length], first_target); read twice.
    version : the Delta version of silver.sequences that they are of.
    n_items : size of the catalogue; item_idx run from 0 to n_items - 1, -1 = padding.
    shards : readers that are to share the snapshot; each gets a row group if there are as many windows.

    Raises
    ------
    InputError : an item outside the catalogue or a window of another length; nothing was written.
    """
    cells = _cells(windows)
    _check(cells, length, n_items)
    before = _usable(folder)
    counts = np.zeros(CELLS, np.int64)
    for cell in cells:
        counts[cell["cell"]] = cell["rows"]
    layout = plan(counts, length, shards, before.layout if before else None)
    facts = Facts(layout, version, n_items, _contents(cells, layout.buckets))

    kept = before.contents if before and before.layout == layout else None
    changed = [bucket for bucket, content in facts.contents.items() if kept is None or kept.get(bucket) != content]
    gone = [bucket for bucket in kept or () if bucket not in facts.contents]
    if changed or gone or kept is None:
        (folder / FACTS).unlink(missing_ok=True)
    if kept is None:
        shutil.rmtree(folder, ignore_errors=True)
    for bucket in gone:
        shutil.rmtree(folder / bucket_folder(bucket))
    if changed:
        _write_buckets(windows, folder, facts, changed)
    if facts != before:
        write_facts(facts, folder)
    return open_snapshot(folder)


def _usable(folder: Path) -> Facts | None:
    """The facts of the snapshot that is there; None where there is none, or its files are not as they say."""
    try:
        open_snapshot(folder)
    except InputError:
        return None
    return read_facts(folder)


def _cells(windows: DataFrame) -> list[Row]:
    """By cell of the hash: the number of windows, three sums over their hashes, and the extremes to be checked."""
    content = F.xxhash64("user_id", "window", "items", F.col("first_target").cast("int"))
    # The xor alone would not see a pair of equal windows; halves are added, since whole hashes would overflow.
    sums = [
        F.bit_xor("content").alias("xor"),
        F.sum(F.col("content").bitwiseAND(0xFFFF_FFFF)).alias("low"),
        F.sum(F.shiftright("content", 32)).alias("high"),
    ]
    extremes = [
        F.max(F.array_max("items")).alias("highest"),
        F.min(F.array_min("items")).alias("lowest"),
        F.max(F.size("items")).alias("longest"),
        F.min(F.size("items")).alias("shortest"),
    ]
    keyed = windows.select(F.pmod(_place(), F.lit(CELLS)).cast("int").alias("cell"), "items", content.alias("content"))
    return keyed.groupBy("cell").agg(F.count("*").alias("rows"), *sums, *extremes).collect()


def _place() -> Column:
    return F.xxhash64("user_id", "window")


def _check(cells: list[Row], length: int, n_items: int) -> None:
    for cell in cells:
        for found in (cell["longest"], cell["shortest"]):
            if found != length:
                raise InputError(_TABLE, f"windows of {length} places", str(found))
    highest = max((cell["highest"] for cell in cells), default=-1)
    lowest = min((cell["lowest"] for cell in cells), default=-1)
    if highest >= n_items:
        raise InputError(_TABLE, f"item_idx below {n_items}", str(highest))
    if lowest < -1:
        raise InputError(_TABLE, "item_idx of 0 or more, or -1 for padding", str(lowest))


def _contents(cells: list[Row], buckets: int) -> dict[int, Bucket]:
    """Rows and digest of each bucket that has any."""
    of_cell: list[Row | None] = [None] * CELLS
    for cell in cells:
        of_cell[cell["cell"]] = cell
    contents = {}
    for bucket, column in enumerate(by_bucket(np.arange(CELLS), buckets).T.tolist()):
        own = [cell for cell in (of_cell[number] for number in column) if cell is not None]
        if own:
            xor = reduce(lambda a, b: a ^ b, (cell["xor"] for cell in own)) % 2**64
            low, high = sum(cell["low"] for cell in own), sum(cell["high"] for cell in own)
            contents[bucket] = Bucket(sum(cell["rows"] for cell in own), f"{xor:016x}-{low:x}-{high % 2**64:x}")
    return contents


def _write_buckets(windows: DataFrame, folder: Path, facts: Facts, changed: list[int]) -> None:
    """Replace the folders of these buckets, a file each."""
    layout: Layout = facts.layout
    rows = {bucket: facts.contents[bucket].rows for bucket in changed}

    def packed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return pack(batches, layout, rows)

    bucket = F.pmod(_place(), F.lit(layout.buckets)).cast("int").alias("bucket")
    keyed = windows.select(bucket, _place().alias("place"), "user_id", "window", "items", "first_target")
    if len(changed) < len(facts.contents):
        keyed = keyed.where(F.col("bucket").isin(changed))
    ordered = keyed.repartition("bucket").sortWithinPartitions("bucket", "place", "user_id", "window")
    blocks = ordered.select("bucket", "items", "first_target").mapInArrow(packed, f"{COLUMNS}, bucket string")
    options: dict[str, str | int] = {
        "partitionOverwriteMode": "dynamic",
        "compression": CODEC,
        # A row group for each row: its size is looked at from the first row on, and one byte is too many.
        "parquet.block.size": 1,
        "parquet.page.size.row.check.min": 1,
        "parquet.enable.dictionary": "false",
        "mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    }
    # The writer wants each bucket's rows together and would sort them by bucket alone, in no order of blocks.
    writer = blocks.sortWithinPartitions("bucket", "block").write.mode("overwrite").options(**options)
    writer.partitionBy("bucket").parquet(str(folder))
