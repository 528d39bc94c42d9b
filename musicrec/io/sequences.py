"""Snapshots of windows as parquet, and the petastorm reader that streams them to the trainer.

A snapshot is plain parquet beside a JSON of its facts, so that a trainer needs neither Spark nor Delta. Pointed at a
Delta folder itself petastorm would read files that Delta has removed, so a pinned version is materialised.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from petastorm import make_batch_reader
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError

# petastorm 0.13 still calls pyarrow's old dataset API, which warns at each file; the pins keep that API.
warnings.filterwarnings("ignore", category=FutureWarning, module="petastorm")

IntArray = npt.NDArray[np.int32]

# Rows in a row group: large enough to stream, small enough that every reader of a small snapshot gets some.
_ROW_GROUP_ROWS = 4096
# Windows that are shuffled together in each epoch; rows are in hash order on disk already.
_SHUFFLE_ROWS = 65_536


@dataclass(frozen=True)
class Snapshot:
    """Where a snapshot is and what it holds.

    Attributes
    ----------
    folder : of the parquet files.
    length : places in a window.
    rows : windows.
    version : the Delta version of silver.sequences that it was made from.
    """

    folder: str
    length: int
    rows: int
    version: int


def write_snapshot(windows: DataFrame, folder: Path, length: int, version: int) -> Snapshot:
    """Write windows (user_id, window, items [length], first_target) in the order of a hash, replacing the folder.

    `items` becomes one binary column of little-endian int32: petastorm reads that four times faster than a list.
    """
    digest = F.xxhash64("user_id", "window")
    # Sorted by range, so the files in the order of their names are one sequence, however many there are.
    ordered = windows.select(digest.alias("digest"), "user_id", "window", "items", "first_target")
    ordered = ordered.orderBy("digest", "user_id", "window").select("items", F.col("first_target").cast("int"))
    packed = ordered.mapInArrow(_pack, "items binary, first_target int")
    # Few rows a batch in memory, whatever parquet would choose by bytes.
    packed.write.mode("overwrite").option("parquet.block.row.count.limit", _ROW_GROUP_ROWS).parquet(str(folder))
    rows = sum(pq.ParquetFile(file).metadata.num_rows for file in sorted(folder.glob("*.parquet")))
    snapshot = Snapshot(str(folder), length, rows, version)
    (folder / "_snapshot.json").write_text(json.dumps(asdict(snapshot), indent=1), encoding="utf-8")
    return snapshot


def open_snapshot(folder: Path) -> Snapshot:
    """The snapshot that was written to `folder`.

    Raises
    ------
    InputError : the folder holds none.
    """
    facts = folder / "_snapshot.json"
    if not facts.is_file():
        raise InputError(folder, "a snapshot with _snapshot.json", "none")
    return Snapshot(**{**json.loads(facts.read_text(encoding="utf-8")), "folder": str(folder)})


def read_batches(
    snapshot: Snapshot, batch_size: int, shuffle_seed: int | None = None
) -> Iterator[tuple[IntArray, IntArray]]:
    """One pass over the snapshot: (items int32 [batch, length], first_target int32 [batch]).

    With `shuffle_seed` the rows are shuffled within blocks of 65,536; the order depends on nothing else. The last
    batch may be smaller. An empty snapshot gives no batch.
    """
    if snapshot.rows == 0:
        return
    rng = None if shuffle_seed is None else np.random.default_rng(shuffle_seed)
    for items, first_target in _blocks(snapshot, _SHUFFLE_ROWS):
        order = np.arange(len(items)) if rng is None else rng.permutation(len(items))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield items[rows], first_target[rows]


def _blocks(snapshot: Snapshot, rows: int) -> Iterator[tuple[IntArray, IntArray]]:
    """The snapshot in blocks of `rows` rows, so that shuffling and batches do not depend on the row groups."""
    parts: list[tuple[IntArray, IntArray]] = []
    held = 0
    for part in _row_groups(snapshot):
        parts.append(part)
        held += len(part[0])
        while held >= rows:
            items, first = _joined(parts)
            yield items[:rows], first[:rows]
            parts, held = [(items[rows:], first[rows:])], held - rows
    if held:
        yield _joined(parts)


def _joined(parts: list[tuple[IntArray, IntArray]]) -> tuple[IntArray, IntArray]:
    return np.concatenate([items for items, _ in parts]), np.concatenate([first for _, first in parts])


def _row_groups(snapshot: Snapshot) -> Iterator[tuple[IntArray, IntArray]]:
    # One worker: with more, row groups come in the order they happen to finish.
    reader = make_batch_reader(
        Path(snapshot.folder).absolute().as_uri(),
        schema_fields=["items", "first_target"],
        reader_pool_type="thread",
        workers_count=1,
        shuffle_row_groups=False,
        num_epochs=1,
    )
    try:
        for group in reader:
            items = np.frombuffer(b"".join(group.items), dtype="<i4").reshape(-1, snapshot.length)
            yield items.astype(np.int32), np.asarray(group.first_target, dtype=np.int32)
    finally:
        # Not `with reader:`, whose end prints a line about a cache that is not used here.
        reader.stop()
        reader.join()


def _pack(batches: Iterable[Any]) -> Iterable[Any]:
    import pyarrow as pa

    for batch in batches:
        items = batch.column("items")
        flat = items.flatten().to_numpy(zero_copy_only=False).astype("<i4")
        rows = flat.reshape(batch.num_rows, -1) if batch.num_rows else flat.reshape(0, 1)
        packed = pa.array([row.tobytes() for row in rows], pa.binary())
        yield pa.RecordBatch.from_arrays([packed, batch.column("first_target")], ["items", "first_target"])
