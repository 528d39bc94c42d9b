"""Trials side by side: each in a task of its own, on the whole matrix, where that is small enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.errors import MusicrecError
from musicrec.evaluation.judged import Judged
from musicrec.evaluation.metrics import ItemFacts, measure, metric_columns
from musicrec.io.study_log import Scores
from musicrec.models.blocks import Ragged, find, read_lists
from musicrec.models.shared_arrays import SharedArrays
from musicrec.models.task_pairs import narrow_pairs
from musicrec.pipelines.lists import popularity_score
from musicrec.pipelines.settings import Shelf
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.study import Outcome
from musicrec.pipelines.tuning.validation import Validation, together
from musicrec.ranking.fill import complete_one, in_order

Array = NDArray[Any]
Settings = TypeVar("Settings")

_SCHEMA = "trial int, seconds double, error string, values array<double>"


@dataclass(frozen=True)
class Matrix:
    """A validation period as arrays, in one task.

    Attributes
    ----------
    user_idx, item_idx, weights : the interactions before it, by listener, then item.
    judged : the judged listeners, what they played and how many items there were to rank.
    heard : item_idx that each of them had heard, ascending.
    popular : item_idx, best first.
    facts : of the items.
    """

    user_idx: Array
    item_idx: Array
    weights: Array
    judged: Judged
    heard: Ragged
    popular: Array
    facts: ItemFacts

    def ndcg(self, lists: Ragged, scores: Ragged, shelf: Shelf, k: int) -> Array:
        """NDCG@k of each judged listener's list, filled as `lists.filled_list` fills."""
        if shelf == "discover":
            own = [complete_one(lists[i], scores[i], self.heard[i], self.popular, k)[0] for i in range(len(lists))]
        else:
            own = [lists[i][:k] for i in range(len(lists))]
        starts = np.concatenate([[0], np.cumsum([len(one) for one in own])]).astype(np.int64)
        values = measure(Ragged(np.concatenate(own), starts), self.judged, np.arange(len(own)), self.facts, [k])
        return np.asarray(values[list(metric_columns([k])).index(f"ndcg_{k}")])


# A trial's lists of the judged listeners: items and scores, best first.
Lists = Callable[[Matrix, Settings], tuple[Ragged, Ragged]]


def judge_side_by_side(
    session: SparkSession,
    periods: Sequence[Validation],
    trials: Sequence[tuple[int, Settings]],
    make: Lists[Settings],
    params: TuneParams,
) -> Iterator[Outcome]:
    """The outcome of each trial, each fitted and judged in a task; the matrix goes to each executor once a period.

    Parameters
    ----------
    make : from a period's matrix and a trial's settings to the lists, in a task: it opens no session.
    """
    parts: list[list[tuple[float, str, Array]]] = [[] for _ in trials]
    for period in periods:
        shared = SharedArrays(session, _arrays(period))
        try:
            work = _task(shared, [settings for _, settings in trials], make, params.shelf, params.k)
            rows = session.range(0, len(trials), 1, len(trials)).mapInArrow(work, _SCHEMA).toArrow()
        finally:
            shared.destroy()
        values = read_lists(rows["values"].combine_chunks())
        for row, (trial, seconds, error) in enumerate(
            zip(*(rows[name].to_pylist() for name in ("trial", "seconds", "error")), strict=True)
        ):
            parts[trial].append((seconds, error, values[row]))
    for (number, _), own in zip(trials, parts, strict=True):
        seconds = sum(part[0] for part in own)
        errors = [error for _, error, _ in own if error]
        if errors:
            yield Outcome(number, None, errors[0], seconds)
        else:
            found = [Scores(p.judged.user_idx, part[2]) for p, part in zip(periods, own, strict=True)]
            yield Outcome(number, together(found), "", seconds)


def _task(
    shared: SharedArrays, settings: Sequence[Settings], make: Lists[Settings], shelf: Shelf, k: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def judge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        matrix = _matrix(shared.read())
        for batch in batches:
            for trial in batch["id"].to_pylist():
                began, error, values = time.perf_counter(), "", np.zeros(0)
                try:
                    values = matrix.ndcg(*make(matrix, settings[trial]), shelf, k)
                except MusicrecError as failure:
                    error = str(failure)
                seconds = time.perf_counter() - began
                cells = [pa.array([trial], pa.int32()), pa.array([seconds]), pa.array([error])]
                cells.append(pa.array([values.tolist()], pa.list_(pa.float64())))
                yield pa.RecordBatch.from_arrays(cells, ["trial", "seconds", "error", "values"])

    return judge


def collect_pairs(interactions: DataFrame) -> tuple[Array, Array, Array]:
    """Listeners, items and weights by listener, then item, on the driver: 12 bytes a pair."""
    found = narrow_pairs(interactions).toArrow()
    users, items, weights = (found[name].to_numpy() for name in ("user_idx", "item_idx", "weight"))
    order = np.lexsort((items, users))
    return users[order], items[order], np.asarray(weights, np.float32)[order]


def _arrays(period: Validation) -> dict[str, Array]:
    """What `_matrix` puts together again."""
    users, items, weights = collect_pairs(period.data.interactions)
    heard = period.own.heard.select("user_idx", F.col("heard").cast("array<int>").alias("heard")).toArrow()
    lists = read_lists(heard["heard"].combine_chunks())
    place, is_there = find(period.judged.user_idx, np.sort(heard["user_idx"].to_numpy()))
    order = np.argsort(heard["user_idx"].to_numpy(), kind="stable")
    own = [lists[order[at]] if known else lists.values[:0] for at, known in zip(place, is_there, strict=True)]
    popular = period.data.popular.select("item_idx", popularity_score().alias("score"))
    return {
        "users": users,
        "items": items,
        "weights": weights,
        "judged": period.judged.user_idx.astype(np.int64),
        "relevant": period.judged.relevant.values.astype(np.int32),
        "relevant_starts": period.judged.relevant.starts,
        "candidates": period.judged.candidates.astype(np.int64),
        "heard": np.concatenate([*own, np.zeros(0, np.int32)]).astype(np.int32),
        "heard_starts": np.concatenate([[0], np.cumsum([len(one) for one in own])]).astype(np.int64),
        "popular": in_order(popular),
        "information": period.facts.information,
        "artist": period.facts.artist,
        "is_known": period.facts.is_known,
    }


def _matrix(shared: dict[str, Array]) -> Matrix:
    # Copied, since the kernels are compiled for arrays that may be written to, as Spark brings them elsewhere.
    a = {name: np.array(array) for name, array in shared.items()}
    users, items, weights = a["users"], a["items"], a["weights"]
    judged = Judged(a["judged"], Ragged(a["relevant"], a["relevant_starts"]), a["candidates"])
    facts = ItemFacts(a["information"], a["artist"], a["is_known"])
    return Matrix(users, items, weights, judged, Ragged(a["heard"], a["heard_starts"]), a["popular"], facts)
