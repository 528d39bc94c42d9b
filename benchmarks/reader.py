"""Windows from parquet to torch tensors: musicrec beside petastorm's own readers and plain pyarrow.

    python -m benchmarks.reader [--sequences 1000000] [--batch-size 512] [--repeats 3] [--json FILE]

All read the same windows of 50 plays, popular items more often than others, without Spark. petastorm_rows is
make_reader on a dataset with petastorm's own schema (a hundredth of the windows: the figure is a rate),
petastorm_batches make_batch_reader on a list column, with one or two workers, whichever is faster. musicrec shuffles
and checks what it reads. pyarrow reads the very same files, one after the other, and copies them to batches in the
order on disk, contiguous and writable as musicrec's are; pyarrow_views leaves the copy out: read-only tensors of whole
blocks. The engines take turns, and a row has the best.
The row `training` is one epoch of a small LSTM on what musicrec reads, with the share of its seconds in which it waited
for a batch. Ends with 1 if an engine's items do not add up to those that were written.
"""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from petastorm import make_reader
from petastorm.codecs import NdarrayCodec, ScalarCodec
from petastorm.etl.dataset_metadata import ROW_GROUPS_PER_FILE_KEY, UNISCHEMA_KEY
from petastorm.unischema import Unischema, UnischemaField
from pyspark.sql.types import IntegerType

from benchmarks.measure import Row, best_of, print_rows, write_json
from musicrec.entry import ended_with
from musicrec.io.packing import CELLS, bucket_folder, pack, plan
from musicrec.io.sequences import Snapshot, SnapshotSource, open_snapshot, read_row_groups
from musicrec.io.snapshot_files import Bucket, Facts, write_facts
from musicrec.logs import make_logger, progress
from musicrec.models.neural.losses import LossParams
from musicrec.models.neural.lstm import LstmModel, LstmParams
from musicrec.models.neural.training import train
from musicrec.models.neural.training_params import TrainingParams

Ints = NDArray[np.int32]

_LENGTH, _ITEMS = 50, 50_000
# The share of the windows that is read row by row, and that is trained on.
_ROWS_SHARE, _TRAINING_SHARE = 100, 100
_ROW_GROUP = 16_384


@dataclass(frozen=True)
class Problem:
    """The windows' folders under `root`, and what each engine's items have to add up to."""

    root: Path
    snapshot: Snapshot
    sums: dict[str, int]
    batch_size: int


@click.command()
@click.option("--sequences", default=1_000_000, show_default=True)
@click.option("--batch-size", default=512, show_default=True)
@click.option("--repeats", default=3, show_default=True, help="Turns of each engine; the row has its best.")
@click.option("--seed", default=20140616, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(sequences: int, batch_size: int, repeats: int, seed: int, json_path: Path | None) -> None:
    """Time the readers on the same windows, and an epoch of training on them."""
    # Of petastorm's old pyarrow API, and of torch's tensors that only look at what pyarrow holds.
    warnings.filterwarnings("ignore", category=FutureWarning, module="petastorm")
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="musicrec-bench-") as folder:
            problem = make_problem(Path(folder), sequences, batch_size, seed)
            sums = {name: sum_of(read(problem)) for name, read in _ENGINES.items()}
            wrong = [name for name, total in sums.items() if total != problem.sums[name]]
            timed = best_of({name: partial(count, read, problem) for name, read in _ENGINES.items()}, repeats)
            rows = [{**row, "items": sums[row["engine"]]} for row in timed]
            rows = [*faster_of_workers(rows), train_on(problem, seed)]
        print_rows(rows, f"windows of {_LENGTH} plays to tensors")
        write_json(rows, json_path)
        if wrong:
            print(f"items that do not add up: {', '.join(wrong)}", file=sys.stderr)
            sys.exit(1)

    ended_with(work)


def make_problem(root: Path, sequences: int, batch_size: int, seed: int) -> Problem:
    """Write the windows as a snapshot, as a list column, and a part with petastorm's schema."""
    rng = np.random.default_rng(seed)
    items = (rng.zipf(1.2, size=(sequences, _LENGTH)) % _ITEMS).astype(np.int32)
    part = items[: -(-sequences // _ROWS_SHARE)]
    write_snapshot_files(root / "snapshot", items)
    starts = pa.array(np.arange(0, items.size + 1, _LENGTH, dtype=np.int32))
    lists = pa.ListArray.from_arrays(starts, pa.array(items.ravel()))
    ones = pa.array(np.ones(sequences, np.int32))
    pq.write_table(pa.table({"items": lists, "first_target": ones}), root / "lists.parquet", row_group_size=_ROW_GROUP)
    write_petastorm(root / "rows", part)
    sums = dict.fromkeys(_ENGINES, int(items.sum(dtype=np.int64)))
    sums["petastorm_rows"] = int(part.sum(dtype=np.int64))
    return Problem(root, open_snapshot(root / "snapshot"), sums, batch_size)


def write_snapshot_files(folder: Path, items: Ints, n_items: int = _ITEMS, shards: int = 1) -> None:
    """The windows as musicrec's snapshot, as many in a bucket as in any other, for so many readers."""
    layout = plan(np.bincount(np.arange(len(items)) % CELLS, minlength=CELLS), _LENGTH, shards)
    buckets = np.arange(len(items)) * layout.buckets // len(items)
    rows = dict(enumerate(np.bincount(buckets).tolist()))
    starts = pa.array(np.arange(0, items.size + 1, _LENGTH, dtype=np.int32))
    lists = pa.ListArray.from_arrays(starts, pa.array(items.ravel()))
    columns = [pa.array(buckets, pa.int32()), lists, pa.array(np.ones(len(items), np.int32))]
    windows = pa.RecordBatch.from_arrays(columns, ["bucket", "items", "first_target"])
    by_bucket: dict[str, list[pa.RecordBatch]] = {}
    for block in pack([windows], layout, rows):
        by_bucket.setdefault(block.column("bucket")[0].as_py(), []).append(block)
    for bucket, blocks in by_bucket.items():
        place = folder / bucket_folder(int(bucket))
        place.mkdir(parents=True)
        table = pa.Table.from_batches(blocks).drop(["bucket"])
        pq.write_table(table, place / "0.parquet", row_group_size=1, compression="lz4", use_dictionary=False)
    contents = {bucket: Bucket(count, "") for bucket, count in rows.items()}
    write_facts(Facts(layout, 0, n_items, contents), folder)


def write_petastorm(folder: Path, items: Ints) -> None:
    """The windows as petastorm's materialize_dataset leaves them."""
    fields = [
        UnischemaField("items", np.int32, (_LENGTH,), NdarrayCodec(), False),
        UnischemaField("first_target", np.int32, (), ScalarCodec(IntegerType()), False),
    ]
    schema = Unischema("Windows", fields)
    encoded = [bytes(fields[0].codec.encode(fields[0], row)) for row in items]
    table = pa.table({"items": pa.array(encoded, pa.binary()), "first_target": pa.array([1] * len(items), pa.int32())})
    folder.mkdir()
    pq.write_table(table, folder / "0.parquet", row_group_size=1024)
    facts = {
        UNISCHEMA_KEY: pickle.dumps(schema),
        ROW_GROUPS_PER_FILE_KEY: json.dumps({"0.parquet": -(-len(items) // 1024)}).encode(),
    }
    pq.write_metadata(table.schema.with_metadata(facts), folder / "_common_metadata")


def read_petastorm_rows(problem: Problem) -> Iterator[torch.Tensor]:
    """Row by row, stacked to batches."""
    reader = make_reader(f"file://{problem.root / 'rows'}", workers_count=2, num_epochs=1, shuffle_row_groups=False)

    waiting = []
    try:
        # It may end before its last row groups; asked again, it gives them.
        for row in chain(reader, reader):
            waiting.append(row.items)
            if len(waiting) == problem.batch_size:
                yield torch.from_numpy(np.stack(waiting))
                waiting = []
        if waiting:
            yield torch.from_numpy(np.stack(waiting))
    finally:
        reader.stop()
        reader.join()


def read_petastorm_batches(problem: Problem, workers: int) -> Iterator[torch.Tensor]:
    """A row group at a time from a list column."""
    file = problem.root / "lists.parquet"
    for group in read_row_groups([str(file)], pq.read_metadata(file).num_row_groups, workers):
        yield torch.from_numpy(np.ascontiguousarray(group.items, np.int32))


def read_musicrec(problem: Problem) -> Iterator[torch.Tensor]:
    """Shuffled batches of the snapshot."""
    for items, _ in SnapshotSource(problem.snapshot, problem.batch_size, seed=1).batches(0):
        yield items


def read_pyarrow_views(problem: Problem) -> Iterator[torch.Tensor]:
    """The snapshot's blocks as they are: a view of what pyarrow has read."""
    for file in dict.fromkeys(block.file for block in problem.snapshot.blocks):
        table = pq.ParquetFile(file).read(columns=["items", "first_target"])
        for row in range(table.num_rows):
            items, _ = (np.frombuffer(table[name][row].as_buffer(), "<i4") for name in ("items", "first_target"))
            yield torch.from_numpy(items).view(-1, _LENGTH)


def read_pyarrow(problem: Problem) -> Iterator[torch.Tensor]:
    """The snapshot's blocks, copied to batches; the last of a block may be smaller."""
    for block in read_pyarrow_views(problem):
        for at in range(0, len(block), problem.batch_size):
            yield block[at : at + problem.batch_size].clone()


def count(read: Callable[[Problem], Iterator[torch.Tensor]], problem: Problem) -> Row:
    """Read to the end, and say how many windows a second that was."""
    began, sequences = time.perf_counter(), 0
    for items in read(problem):
        assert items.dtype == torch.int32
        assert items.is_contiguous()
        sequences += len(items)
    return {"sequences": sequences, "sequences_per_s": sequences / (time.perf_counter() - began)}


def sum_of(batches: Iterator[torch.Tensor]) -> int:
    """The sum of all items."""
    return sum(int(items.numpy().sum(dtype=np.int64)) for items in batches)


_ENGINES: dict[str, Callable[[Problem], Iterator[torch.Tensor]]] = {
    "petastorm_rows": read_petastorm_rows,
    "petastorm_batches": partial(read_petastorm_batches, workers=1),
    "petastorm_batches_2": partial(read_petastorm_batches, workers=2),
    "musicrec": read_musicrec,
    "pyarrow": read_pyarrow,
    "pyarrow_views": read_pyarrow_views,
}


def faster_of_workers(rows: list[Row]) -> list[Row]:
    """The rows, with one of petastorm_batches: the faster number of workers."""
    seconds = {row["engine"]: row["seconds"] for row in rows}
    slower = max("petastorm_batches", "petastorm_batches_2", key=lambda name: seconds[name])
    kept = [row for row in rows if row["engine"] != slower]
    return [{**row, "engine": row["engine"].removesuffix("_2")} for row in kept]


def train_on(problem: Problem, seed: int) -> Row:
    """One epoch of a small LSTM on a part of the windows."""
    folder = problem.root / "training"
    rng = np.random.default_rng(seed)
    sequences = -(-problem.snapshot.rows // _TRAINING_SHARE)
    write_snapshot_files(folder, (rng.zipf(1.2, size=(sequences, _LENGTH)) % _ITEMS).astype(np.int32))
    source = SnapshotSource(open_snapshot(folder), problem.batch_size, seed)
    params = TrainingParams(epochs=1, batch_size=problem.batch_size)
    torch.manual_seed(seed)
    model = LstmModel(_ITEMS, LstmParams(dim=32, loss=LossParams(negatives=256)))
    with progress(make_logger("reader"), "training", source.steps()) as ticker:
        (epoch,) = train(model, source, params, ticker).history
    speed = {"seconds": epoch.seconds, "sequences": sequences, "sequences_per_s": sequences / epoch.seconds}
    return {"engine": "training", **speed, "wait_share": epoch.waited}


if __name__ == "__main__":
    main()
