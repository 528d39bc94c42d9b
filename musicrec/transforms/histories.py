"""Listeners' plays in order as Arrow batches, and the windows cut from them: the part of sequences that is numpy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.padding import PAD_IDX

Ints = NDArray[np.int64]

# Rows held at a time; a longer listener is held whole all the same.
_ROWS = 1 << 18


def whole_histories(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows of sorted batches again, in tables that are cut only between two listeners (column user_idx)."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        held.append(batch)
        rows += batch.num_rows
        if rows < _ROWS:
            continue
        table = pa.Table.from_batches(held)
        users = table["user_idx"].to_numpy()
        # The last listener may go on in the next batch.
        ends = np.flatnonzero(users[1:] != users[:-1])
        if len(ends):
            cut = int(ends[-1]) + 1
            yield table.slice(0, cut)
            held = table.slice(cut).to_batches()
            rows -= cut
    if held:
        yield pa.Table.from_batches(held)


def cut_windows(history: pa.Table, length: int, stride: int, gap_seconds: float) -> pa.RecordBatch:
    """The windows of whole listeners, see `musicrec.transforms.sequences.windows`.

    Parameters
    ----------
    history : (user_id, user_idx, item_idx, micros since 1970), by listener, then in the order of play.
    gap_seconds : a longer pause ends a session; 0 for no sessions.

    Returns
    -------
    (user_id, window, user_idx, session, items, times, length, started_at, ended_at), the last two in microseconds.
    """
    users, micros = history["user_idx"].to_numpy(), history["micros"].to_numpy()
    is_user = np.append(True, users[1:] != users[:-1])
    is_start = is_user.copy()
    if gap_seconds:
        is_start[1:] |= np.diff(micros) > gap_seconds * 1_000_000
    starts = np.flatnonzero(is_start)  # of each session
    sizes = np.diff(np.append(starts, len(users)))
    counts = 1 + -(-np.maximum(sizes - length, 0) // stride)  # windows of each session
    of_session = np.repeat(np.arange(len(starts)), counts)
    step = _within(counts)
    first = starts[of_session] + step * stride
    taken = np.minimum(sizes[of_session] - step * stride, length)
    # Sessions and windows count from 0 within each listener.
    session = np.cumsum(is_start)[starts] - np.cumsum(is_start)[is_user.nonzero()[0]][np.cumsum(is_user)[starts] - 1]
    owner = users[first]
    window = _within(np.diff(np.append(np.flatnonzero(np.append(True, owner[1:] != owner[:-1])), len(owner))))
    items = _padded(history["item_idx"].to_numpy(), first, taken, length)
    times = _padded(np.floor_divide(micros, 1_000_000), first, taken, length)
    columns = {
        "user_id": history["user_id"].combine_chunks().take(pa.array(first)),
        "window": pa.array(window, pa.int32()),
        "user_idx": pa.array(owner, pa.int32()),
        "session": pa.array(session[of_session], pa.int32()),
        "items": _lists(items, pa.int32()),
        "times": _lists(times, pa.int64()),
        "length": pa.array(taken, pa.int32()),
        "started_at": pa.array(micros[first], pa.int64()),
        "ended_at": pa.array(micros[first + taken - 1], pa.int64()),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def newest_plays(windows: pa.Table, stride: int, before: int) -> pa.RecordBatch:
    """(user_idx, items [length]): the last items of each listener before a time, left-padded with -1.

    Parameters
    ----------
    windows : (user_idx, session, items [length], times [length], length) of whole listeners, by listener, then window.
    stride : from one window's start to the next's; what a window shares with the one before counts once.
    before : seconds since 1970.
    """
    users, sessions, taken = (windows[name].to_numpy() for name in ("user_idx", "session", "length"))
    items, times = (_matrix(windows[name], len(users)) for name in ("items", "times"))
    length = items.shape[1]
    goes_on = np.append(False, (users[1:] == users[:-1]) & (sessions[1:] == sessions[:-1]))
    place = np.arange(length)[None, :] - (length - taken)[:, None]  # of each play in its window, below 0 for padding
    kept = (place >= np.where(goes_on, length - stride, 0)[:, None]) & (times < before)
    users, items = np.repeat(users, kept.sum(axis=1)), items[kept]
    ends = np.flatnonzero(np.diff(users, append=-1)) + 1
    taken = np.minimum(np.diff(ends, prepend=0), length)
    columns = [pa.array(users[ends - 1], pa.int32()), _lists(_padded(items, ends - taken, taken, length), pa.int32())]
    return pa.RecordBatch.from_arrays(columns, ["user_idx", "items"])


def _matrix(column: pa.ChunkedArray, rows: int) -> NDArray[np.int64]:
    """A column of equally long lists as [rows × length]."""
    return np.asarray(column.combine_chunks().flatten().to_numpy()).reshape(rows, -1)


def _within(counts: Ints) -> Ints:
    """0 .. count - 1 for each count, end to end."""
    starts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) - np.repeat(starts, counts)


def _padded(values: NDArray[np.int64], first: Ints, taken: Ints, length: int) -> NDArray[np.int64]:
    """[rows × length]: `taken` values from `first` on at each row's end, -1 before them."""
    place = np.arange(length)[None, :] - (length - taken)[:, None]
    found = values[np.clip(first[:, None] + place, 0, len(values) - 1)]
    return np.where(place >= 0, found, PAD_IDX)


def _lists(matrix: NDArray[np.int64], kind: pa.DataType) -> pa.ListArray:
    starts = np.arange(len(matrix) + 1, dtype=np.int32) * matrix.shape[1]
    return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), pa.array(matrix.reshape(-1), kind))
