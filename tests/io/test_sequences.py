from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from musicrec.errors import InputError
from musicrec.io.sequences import Snapshot, open_snapshot, read_batches, write_snapshot

LENGTH = 4


def made(spark: SparkSession, rows: int, partitions: int) -> DataFrame:
    data = [(f"u{i % 7}", i, [-1, i, i + 1, i + 2], 2 + i % 2) for i in range(rows)]
    schema = "user_id string, window int, items array<int>, first_target int"
    return spark.createDataFrame(data, schema).repartition(partitions)


def all_rows(snapshot: Snapshot, batch_size: int, seed: int | None = None) -> np.ndarray:
    batches = list(read_batches(snapshot, batch_size, seed))
    assert all(items.dtype == np.int32 and items.flags.c_contiguous for items, _ in batches)
    assert {len(items) for items, _ in batches[:-1]} <= {batch_size}
    return np.concatenate([np.column_stack([items, first]) for items, first in batches])


def test_every_window_comes_once_and_whole(spark: SparkSession, tmp_path: Path) -> None:
    snapshot = write_snapshot(made(spark, 30, 3), tmp_path / "s", LENGTH, version=5)
    assert open_snapshot(tmp_path / "s") == snapshot
    assert (snapshot.rows, snapshot.version) == (30, 5)
    found = all_rows(snapshot, 7)
    expected = [[-1, i, i + 1, i + 2, 2 + i % 2] for i in range(30)]
    assert sorted(found.tolist()) == sorted(expected)


def test_the_order_is_that_of_the_rows_not_of_the_partitions(spark: SparkSession, tmp_path: Path) -> None:
    one = write_snapshot(made(spark, 60, 1), tmp_path / "one", LENGTH, 0)
    other = write_snapshot(made(spark, 60, 5), tmp_path / "other", LENGTH, 0)
    np.testing.assert_array_equal(all_rows(one, 8), all_rows(other, 8))
    np.testing.assert_array_equal(all_rows(one, 8, seed=3), all_rows(other, 8, seed=3))
    assert all_rows(one, 8, seed=3).tolist() != all_rows(one, 8, seed=4).tolist()
    # Not the order in which the windows were made: neighbours on disk are not neighbours in time.
    assert all_rows(one, 8)[:, 1].tolist() != list(range(60))


def test_an_empty_snapshot_has_no_batches(spark: SparkSession, tmp_path: Path) -> None:
    snapshot = write_snapshot(made(spark, 5, 1).where("window < 0"), tmp_path / "s", LENGTH, 0)
    assert list(read_batches(snapshot, 8)) == []


def test_a_folder_without_a_snapshot_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path}.*_snapshot.json"):
        open_snapshot(tmp_path)
