from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pyspark.sql import DataFrame, SparkSession

from musicrec.errors import InputError
from musicrec.io import packing, sequences, snapshots
from musicrec.io.sequences import Snapshot, SnapshotSource, open_snapshot
from musicrec.io.snapshots import write_snapshot

LENGTH = 4
N_ITEMS = 1000


def made(spark: SparkSession, rows: int, partitions: int = 2, changed: tuple[int, ...] = ()) -> DataFrame:
    data = [(f"u{i % 7}", i, [-1, i, i + 1, i + 2], 2 + (i % 2) + (i in changed)) for i in range(rows)]
    schema = "user_id string, window int, items array<int>, first_target int"
    return spark.createDataFrame(data, schema).repartition(partitions)


def of_rows(rows: range) -> list[list[int]]:
    return [[-1, i, i + 1, i + 2, 2 + i % 2] for i in rows]


def write(windows: DataFrame, folder: Path, version: int = 0, shards: int = 1, n_items: int = N_ITEMS) -> Snapshot:
    return write_snapshot(windows, folder, LENGTH, version, n_items, shards)


def all_rows(source: SnapshotSource, epoch: int = 0, start: int = 0) -> np.ndarray:
    batches = list(source.batches(epoch, start))
    for items, first in batches:
        assert items.dtype == first.dtype == torch.int32
        assert items.is_contiguous()
        assert first.is_contiguous()
        assert items.is_pinned() == torch.cuda.is_available()
    assert len(batches) == max(source.steps() - start, 0)
    rows = [np.column_stack([items.numpy(), first.numpy()]) for items, first in batches]
    return np.concatenate([np.empty((0, LENGTH + 1), np.int32), *rows])


@pytest.fixture
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight windows a bucket or more, and spans of 40, so that a few rows cross all edges."""
    monkeypatch.setattr(packing, "_BUCKET_ROWS", 8)
    monkeypatch.setattr(packing, "_FEW_ROWS", 8)
    monkeypatch.setattr(sequences, "_SHUFFLE_ROWS", 40)


def files_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """By bucket's folder: inode, time of the last change and content of its file."""
    found = {}
    for path in sorted(folder.glob("*/*.parquet")):
        assert path.parent.name not in found
        found[path.parent.name] = (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
    return found


def test_every_window_comes_once_and_whole(spark: SparkSession, tmp_path: Path) -> None:
    snapshot = write(made(spark, 30, 3), tmp_path / "s", version=5)
    assert open_snapshot(tmp_path / "s") == snapshot
    assert (snapshot.rows, snapshot.version, snapshot.n_items, snapshot.length) == (30, 5, N_ITEMS, LENGTH)
    source = SnapshotSource(snapshot, 7, None)
    assert source.steps() == 5
    assert {len(items) for items, _ in list(source.batches(0))[:-1]} == {7}
    assert sorted(all_rows(source).tolist()) == of_rows(range(30))


def test_the_order_is_that_of_the_rows_not_of_the_partitions(
    spark: SparkSession, tmp_path: Path, small_buckets: None
) -> None:
    one = write(made(spark, 100, 1), tmp_path / "one")
    other = write(made(spark, 100, 5), tmp_path / "other")
    assert [block.rows for block in one.blocks] == [block.rows for block in other.blocks]
    assert len(one.blocks) > 4
    np.testing.assert_array_equal(all_rows(SnapshotSource(one, 8, None)), all_rows(SnapshotSource(other, 8, None)))
    shuffled = [all_rows(SnapshotSource(one, 8, seed), epoch).tolist() for seed, epoch in ((3, 0), (4, 0), (3, 1))]
    assert shuffled[0] == all_rows(SnapshotSource(other, 8, 3)).tolist()
    assert shuffled[0] not in shuffled[1:]
    # Not the order in which the windows were made: neighbours on disk are not neighbours in time.
    assert all_rows(SnapshotSource(one, 8, None))[:, 1].tolist() != list(range(100))


def test_an_empty_snapshot_has_no_batches(spark: SparkSession, tmp_path: Path) -> None:
    snapshot = write(made(spark, 5).where("window < 0"), tmp_path / "s")
    for world in (1, 2):
        source = SnapshotSource(snapshot, 8, 1, world - 1, world)
        assert source.steps() == 0
        assert list(source.batches(0)) == []


def test_a_folder_without_a_snapshot_is_named(tmp_path: Path) -> None:
    for facts in (None, "{", '{"format": 1}', "[]"):
        if facts is not None:
            (tmp_path / "_snapshot.json").write_text(facts)
        with pytest.raises(InputError, match=f"{tmp_path}.*_snapshot.json"):
            open_snapshot(tmp_path)


def test_only_buckets_that_changed_are_written(spark: SparkSession, tmp_path: Path, small_buckets: None) -> None:
    write(made(spark, 100), tmp_path / "s", version=1)
    before = files_of(tmp_path / "s")
    facts = (tmp_path / "s" / "_snapshot.json").stat()

    write(made(spark, 100, 3), tmp_path / "s", version=1)
    assert files_of(tmp_path / "s") == before
    assert (tmp_path / "s" / "_snapshot.json").stat() == facts

    snapshot = write(made(spark, 101, changed=(50,)), tmp_path / "s", version=2)
    after = files_of(tmp_path / "s")
    different = [name for name in before if after[name] != before[name]]
    assert 1 <= len(different) <= 2
    assert after.keys() == before.keys()
    assert (snapshot.rows, snapshot.version) == (101, 2)
    expected = of_rows(range(101))
    expected[50][-1] += 1
    assert sorted(all_rows(SnapshotSource(snapshot, 8, None)).tolist()) == sorted(expected)
    # Written in parts or as a whole, the order is the same.
    anew = write(made(spark, 100), tmp_path / "s", version=3)
    whole = write(made(spark, 100), tmp_path / "t", version=3)
    np.testing.assert_array_equal(all_rows(SnapshotSource(anew, 8, 1)), all_rows(SnapshotSource(whole, 8, 1)))


def test_a_bucket_that_became_empty_is_removed(spark: SparkSession, tmp_path: Path, small_buckets: None) -> None:
    write(made(spark, 64), tmp_path / "s")
    before = files_of(tmp_path / "s")
    snapshot = write(made(spark, 64).where("window < 3"), tmp_path / "s")
    assert len(files_of(tmp_path / "s")) <= 3 < len(before)
    assert sorted(all_rows(SnapshotSource(snapshot, 8, None)).tolist()) == of_rows(range(3))
    assert write(made(spark, 64).where("window < 0"), tmp_path / "s").rows == 0
    assert files_of(tmp_path / "s") == {}


def test_buckets_stay_until_rows_grew_fourfold(spark: SparkSession, tmp_path: Path, small_buckets: None) -> None:
    def buckets() -> int:
        return int(json.loads((tmp_path / "s" / "_snapshot.json").read_text())["layout"]["buckets"])

    for rows, expected in ((32, 4), (128, 4), (129, 16)):
        snapshot = write(made(spark, rows), tmp_path / "s")
        assert buckets() == expected
        assert sorted(all_rows(SnapshotSource(snapshot, 8, None)).tolist()) == of_rows(range(rows))


@pytest.mark.parametrize("harm", ["cut short", "file lost", "file of other rows"])
def test_a_snapshot_that_is_not_whole_is_written_anew(
    spark: SparkSession, tmp_path: Path, small_buckets: None, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    folder = tmp_path / "s"
    write(made(spark, 100), folder, version=1)
    some = next(folder.glob("*/*.parquet"))
    if harm == "cut short":
        with monkeypatch.context() as patch:
            patch.setattr(snapshots, "write_facts", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                write(made(spark, 120), folder, version=2)
    elif harm == "file lost":
        some.unlink()
    else:
        pq.write_table(pq.read_table(some, partitioning=None).slice(0, 0), some)
    with pytest.raises(InputError, match=f"{folder}.*found"):
        open_snapshot(folder)
    before = files_of(folder)
    snapshot = write(made(spark, 100), folder, version=1)
    assert not {file[:2] for file in before.values()} & {file[:2] for file in files_of(folder).values()}
    assert sorted(all_rows(SnapshotSource(snapshot, 8, None)).tolist()) == of_rows(range(100))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[0, 1, 2, 3]], "item_idx below 3, found 3"),
        ([[0, 1, 2, -2]], "or -1 for padding, found -2"),
        ([[0, 1, 2]], "windows of 4 places, found 3"),
    ],
)
def test_bad_windows_are_not_written(spark: SparkSession, tmp_path: Path, rows: list[list[int]], expected: str) -> None:
    snapshot = write(made(spark, 5), tmp_path / "s")
    before = files_of(tmp_path / "s")
    schema = "user_id string, window int, items array<int>, first_target int"
    bad = spark.createDataFrame([("u", n, items, 1) for n, items in enumerate(rows)], schema)
    with pytest.raises(InputError, match=f"^table silver.sequences: expected .*{expected}$"):
        write(bad, tmp_path / "s", n_items=3)
    assert files_of(tmp_path / "s") == before
    assert open_snapshot(tmp_path / "s") == snapshot


@pytest.mark.parametrize("seed", [None, 11])
@pytest.mark.parametrize(("rank", "world"), [(0, 1), (0, 2), (1, 2), (2, 3)])
def test_from_any_batch_on_the_rest_is_the_same(
    spark: SparkSession, tmp_path: Path, small_buckets: None, seed: int | None, rank: int, world: int
) -> None:
    snapshot = write(made(spark, 150), tmp_path / "s", shards=world)
    source = SnapshotSource(snapshot, 6, seed, rank, world, prefetch=False)
    whole = list(source.batches(2))
    assert len(whole) == source.steps()
    for start in range(source.steps() + 2):
        rest = list(source.batches(2, start))
        assert len(rest) == max(len(whole) - start, 0)
        for found, expected in zip(rest, whole[start:], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(("rows", "world"), [(150, 2), (150, 3), (5, 5), (40, 4)])
def test_trainers_together_see_every_window_once_in_as_many_steps(
    spark: SparkSession, tmp_path: Path, rows: int, world: int
) -> None:
    snapshot = write(made(spark, rows), tmp_path / "s", shards=world)
    assert len(snapshot.blocks) >= world
    sources = [SnapshotSource(snapshot, 4 * world, 1, rank, world) for rank in range(world)]
    assert len({source.steps() for source in sources}) == 1
    passes = [all_rows(source) for source in sources]
    seen = np.concatenate([rows[rows[:, -1] < LENGTH] for rows in passes])
    assert sorted(seen.tolist()) == of_rows(range(rows))
    assert sum(len(rows) for rows in passes) - len(seen) < sources[0].steps() * world


def test_what_trainers_cannot_share_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    snapshot = write(made(spark, 1), tmp_path / "s", shards=3)
    with pytest.raises(InputError, match=f"{tmp_path}/s: expected a row group for each of 3 trainers, found 1"):
        SnapshotSource(snapshot, 6, 1, 0, 3)
    with pytest.raises(InputError, match="multiple of the 3 trainers, found 7"):
        SnapshotSource(snapshot, 7, 1, 0, 3)


def test_no_thread_is_left_when_reading_stops_early(spark: SparkSession, tmp_path: Path, small_buckets: None) -> None:
    snapshot = write(made(spark, 150), tmp_path / "s")
    before = set(threading.enumerate())
    batches = cast(Generator[Any, None, None], SnapshotSource(snapshot, 2, 1).batches(0))
    next(batches)
    assert set(threading.enumerate()) - before
    batches.close()
    left = set(threading.enumerate()) - before
    until = time.monotonic() + 5
    while left and time.monotonic() < until:
        time.sleep(0.01)
        left = {thread for thread in left if thread.is_alive()}
    assert not left


@pytest.mark.parametrize("prefetch", [True, False])
def test_what_goes_wrong_in_the_thread_is_raised(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefetch: bool
) -> None:
    snapshot = write(made(spark, 30), tmp_path / "s")

    def broken(*_: Any) -> Iterator[Any]:
        raise ZeroDivisionError

    monkeypatch.setattr(sequences, "read_row_groups", broken)
    with pytest.raises(ZeroDivisionError):
        list(SnapshotSource(snapshot, 4, 1, prefetch=prefetch).batches(0))


def test_an_item_outside_the_catalogue_names_the_folder(spark: SparkSession, tmp_path: Path) -> None:
    write(made(spark, 30), tmp_path / "s")
    facts = tmp_path / "s" / "_snapshot.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "n_items": 31}))
    source = SnapshotSource(open_snapshot(tmp_path / "s"), 4, 1)
    with pytest.raises(InputError, match=f"{tmp_path}/s: expected item_idx below 31.* found 31$"):
        list(source.batches(0))


def test_files_that_changed_since_are_named(
    spark: SparkSession, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    snapshot = write(made(spark, 30), tmp_path / "s")
    (file,) = (tmp_path / "s").glob("*/*.parquet")
    table = pq.read_table(file, partitioning=None)
    source = SnapshotSource(snapshot, 4, 1)
    short = pa.array([table["first_target"][0].as_py()[:-4]], pa.binary())
    pq.write_table(table.set_column(3, "first_target", short), file)
    with pytest.raises(InputError, match=f"{file}: expected 30 windows of 4 places"):
        list(source.batches(0))
    file.unlink()
    with pytest.raises(InputError, match=f"{tmp_path}/s: expected parquet files"):
        list(source.batches(0))


@pytest.mark.parametrize(("early", "is_whole"), [(1, True), (2, False)])
def test_a_reader_that_ends_before_its_last_row_groups_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, early: int, is_whole: bool
) -> None:
    class Reader:
        given = ended = 0

        def __next__(self) -> int:
            if self.given == 2 and self.ended < early:
                self.ended += 1
                raise StopIteration
            self.given += 1
            return self.given

        def stop(self) -> None: ...

        def join(self) -> None: ...

    monkeypatch.setattr(sequences, "make_batch_reader", lambda *_, **__: Reader())
    groups = sequences.read_row_groups(["/folder/bucket=00000/0.parquet"], 3, 1)
    if is_whole:
        assert list(groups) == [1, 2, 3]
    else:
        with pytest.raises(InputError, match=r"^/folder: expected 3 row groups, found 2$"):
            list(groups)


def test_a_trainer_needs_no_spark() -> None:
    code = "import sys; sys.modules['pyspark'] = None; import musicrec.io.sequences"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
