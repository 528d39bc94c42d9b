from __future__ import annotations

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


def windows(rows: list[tuple[int, int, list[int], list[int]]]) -> pa.Table:
    """(listener, session, items, seconds), the lists padded with -1."""
    users, sessions, items, times = zip(*rows, strict=True)
    lengths = [sum(item != -1 for item in own) for own in items]
    return pa.table({"user_idx": users, "session": sessions, "items": items, "times": times, "length": lengths})


def test_the_newest_plays_stand_at_the_end_and_count_once() -> None:
    rows = [
        (7, 0, [1, 2, 3], [10, 20, 30]),
        (7, 0, [-1, 3, 4], [-1, 30, 40]),  # goes on from the third play
        (7, 1, [-1, -1, 5], [-1, -1, 90]),
        (8, 0, [-1, 6, 6], [-1, 50, 60]),
    ]
    for before, expected in ((100, [[3, 4, 5], [-1, 6, 6]]), (60, [[2, 3, 4], [-1, -1, 6]])):
        made = newest_plays(windows(rows), stride=2, before=before)
        assert made["user_idx"].to_pylist() == [7, 8]
        assert made["items"].to_pylist() == expected
    assert newest_plays(windows(rows), stride=2, before=10).num_rows == 0
