from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from musicrec.transforms import histories
from musicrec.transforms.histories import newest_plays, whole_histories


def batches(users: list[int], size: int) -> list[pa.RecordBatch]:
    columns = {"user_idx": pa.array(users, pa.int32()), "item_idx": pa.array(range(len(users)), pa.int32())}
    table = pa.table(columns)
    return [batch for start in range(0, len(users), size) for batch in table.slice(start, size).to_batches()]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_histories_are_whole_however_the_rows_come(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(histories, "_ROWS", 4)
    users = [1] * 3 + [2] + [3] * 9 + [4] * 2 + [5]
    found = list(whole_histories([*batches(users, size), *batches([], 1)]))
    owners = [set(table["user_idx"].to_pylist()) for table in found]
    assert sum(map(len, owners)) == len(set(users))  # no listener in two tables
    assert pa.concat_tables(found)["item_idx"].to_pylist() == list(range(len(users)))
    if size < 7:
        assert len(found) > 1


def test_the_newest_plays_stand_at_the_end() -> None:
    made = newest_plays(pa.Table.from_batches(batches([7, 7, 7, 8], 4)), 2)
    assert made["user_idx"].to_pylist() == [7, 8]
    np.testing.assert_array_equal(made["items"].to_pylist(), [[1, 2], [-1, 3]])
