"""Trials side by side: each in a task of its own, on the whole matrix, where that is small enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from musicrec.errors import MusicrecError
from musicrec.io.study_log import Scores
from musicrec.models.blocks import read_lists
from musicrec.models.shared_arrays import SharedArrays
from musicrec.pipelines.tuning.study import Outcome
from musicrec.pipelines.tuning.validation import together

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Settings = TypeVar("Settings")

# A period's arrays and a trial's settings → each judged listener's figure, in a task: it opens no session.
Work = Callable[[Arrays, Settings], Array]

_SCHEMA = "trial int, seconds double, error string, values array<double>"


def judge_side_by_side(
    session: SparkSession,
    periods: Iterable[tuple[Array, Arrays]],
    trials: Sequence[tuple[int, Settings]],
    work: Work[Settings],
) -> Iterator[Outcome]:
    """The outcome of each trial; a period's arrays go to each executor once.

    Parameters
    ----------
    periods : of each the judged listeners and what `work` is given.
    """
    parts: list[list[Scores]] = [[] for _ in trials]
    seconds, errors = [0.0] * len(trials), [""] * len(trials)
    for users, arrays in periods:
        shared = SharedArrays(session, arrays)
        task = _task(shared, [settings for _, settings in trials], work)
        try:
            rows = session.range(0, len(trials), 1, len(trials)).mapInArrow(task, _SCHEMA).toArrow()
        finally:
            shared.destroy()
        values = read_lists(rows["values"].combine_chunks())
        for row, place in enumerate(rows["trial"].to_pylist()):
            seconds[place] += rows["seconds"][row].as_py()
            errors[place] = errors[place] or rows["error"][row].as_py()
            parts[place].append(Scores(users, values[row]))
    for place, (number, _) in enumerate(trials):
        scores = None if errors[place] else together(parts[place])
        yield Outcome(number, scores, errors[place], seconds[place])


def _task(
    shared: SharedArrays, settings: Sequence[Settings], work: Work[Settings]
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def judge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # Copied, since the kernels are compiled for arrays that may be written to, as Spark brings them elsewhere.
        arrays = {name: np.array(array) for name, array in shared.read().items()}
        for batch in batches:
            for trial in batch["id"].to_pylist():
                began, error, values = time.perf_counter(), "", np.zeros(0)
                try:
                    values = work(arrays, settings[trial])
                except MusicrecError as failure:
                    error = str(failure)
                seconds = time.perf_counter() - began
                cells = [pa.array([trial], pa.int32()), pa.array([seconds]), pa.array([error])]
                cells.append(pa.array([values.tolist()], pa.list_(pa.float64())))
                yield pa.RecordBatch.from_arrays(cells, ["trial", "seconds", "error", "values"])

    return judge
