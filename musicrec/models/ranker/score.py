"""The ranker on the executors: listeners' candidates with their features, and in the order of its scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.models.blocks import Ragged, read_lists, write_lists
from musicrec.models.ranker.facts import HOURS, WEEKDAYS, TrackFacts, shaped
from musicrec.models.ranker.features import Listeners, candidate_features
from musicrec.models.ranker.fit import RankerModel
from musicrec.models.shared_arrays import SharedArrays
from musicrec.models.significant import significant

Array = NDArray[Any]

LISTS_SCHEMA = "user_idx int, items array<int>, scores array<double>"
EXAMPLES_SCHEMA = "user_idx int, items array<int>, labels array<int>, features array<float>"
# Listeners whose features are in memory at a time: some 300 candidates of 60 features each.
_LISTENERS = 128
_DAY = 86_400.0


def ranker_rows(
    lists: Mapping[str, DataFrame], heard: DataFrame, habits: DataFrame, until: float, relevant: DataFrame | None = None
) -> DataFrame:
    """All that the features of a listener are made of in one row, for the listeners of `heard`.

    Parameters
    ----------
    lists : each retriever's DataFrame (user_idx, items array<int>, scores array<double>), best first.
    heard : DataFrame (user_idx, heard, plays, last), as `heard_items` gives it.
    habits : DataFrame (user_idx, hours, weekdays), as `listener_facts` gives it.
    until : the time, in seconds; ages are counted from it.
    relevant : DataFrame (user_idx, relevant array<int>); where given, others are left out.
    """
    ages = F.transform("last", lambda last: (F.lit(until) - last.cast("double")) / _DAY)
    own = heard.select("user_idx", F.struct("heard", "plays", ages.alias("ages")).alias("own"))
    parts = [own, habits.select("user_idx", F.struct("hours", "weekdays").alias("habits"))]
    if relevant is not None:
        parts.append(relevant.select("user_idx", F.struct("relevant").alias("judged")))
    parts += [
        made.select("user_idx", F.struct("items", "scores").alias(f"list_{name}")) for name, made in lists.items()
    ]
    whole = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts)
    columns = [name for name in whole.columns if name != "user_idx"]
    rows = whole.groupBy("user_idx").agg(*(F.first(name, ignorenulls=True).alias(name) for name in columns))
    rows = rows.where(F.col("own").isNotNull())
    return rows if relevant is None else rows.where(F.col("judged").isNotNull())


def ranked_lists(rows: DataFrame, tracks: TrackFacts, model: RankerModel, depth: int) -> DataFrame:
    """Each listener's candidates in the order of the model's scores, over Arrow batches on the executors.

    Scores are rounded to 30 significant bits and ranked, best first, then by item_idx.

    Parameters
    ----------
    rows : of `ranker_rows`, with the lists of the model's retrievers.
    depth : length of the lists.

    Returns
    -------
    DataFrame (user_idx int, items array<int>, scores array<double>), one row per row of `rows`.
    """
    shared = SharedArrays(rows.sparkSession, tracks.flat())
    text = rows.sparkSession.sparkContext.broadcast(model.text)
    names, most, retrievers = model.features, model.candidates, model.retrievers

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        facts, trees = shaped(shared.read()), lightgbm.Booster(model_str=text.value)
        for part in _parts(batches):
            found, features = candidate_features(_listeners(part, retrievers), facts, most, names)
            yield _ranked(part["user_idx"], found, predicted(trees, features), depth)

    return rows.mapInArrow(rank, LISTS_SCHEMA)


def predicted(trees: lightgbm.Booster, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The score of each row, to 30 significant bits."""
    if not len(features):
        return np.zeros(0)
    return significant(np.asarray(trees.predict(features, num_threads=1)))


def example_rows(
    rows: DataFrame, tracks: TrackFacts, retrievers: Sequence[str], candidates: int, names: Sequence[str]
) -> DataFrame:
    """What the ranker learns from: DataFrame (user_idx, items, labels array<int>, features array<float>).

    A row is a listener; `features` holds its candidates' rows one after the other.

    Parameters
    ----------
    rows : of `ranker_rows`, with `relevant`.
    """
    shared = SharedArrays(rows.sparkSession, tracks.flat())

    def label(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        facts = shaped(shared.read())
        for part in _parts(batches):
            found, features = candidate_features(_listeners(part, retrievers), facts, candidates, names)
            relevant = read_lists(part["judged"].field("relevant"))
            labels = np.isin(_keys(found), _keys(relevant)).astype(np.int32)
            wide = Ragged(features.ravel(), found.starts * len(names))
            columns = [
                part["user_idx"],
                write_lists(found, pa.int32()),
                write_lists(Ragged(labels, found.starts), pa.int32()),
                write_lists(wide, pa.float32()),
            ]
            yield pa.RecordBatch.from_arrays(columns, ["user_idx", "items", "labels", "features"])

    return rows.mapInArrow(label, EXAMPLES_SCHEMA)


def _parts(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, _LISTENERS):
            yield batch.slice(start, _LISTENERS)


def _keys(lists: Ragged) -> Array:
    return np.asarray((lists.rows << 32) | lists.values.astype(np.int64))


def _listeners(part: pa.RecordBatch, retrievers: Sequence[str]) -> Listeners:
    own, habits = part["own"], part["habits"]
    heard, plays, ages = (read_lists(_field(own, name)) for name in ("heard", "plays", "ages"))
    lists = {
        name: (read_lists(_field(part[f"list_{name}"], "items")), read_lists(_field(part[f"list_{name}"], "scores")))
        for name in retrievers
    }
    oldest = np.zeros(len(heard))
    np.maximum.at(oldest, ages.rows, ages.values)
    return Listeners(
        lists,
        heard,
        plays,
        ages,
        oldest,
        read_lists(_field(habits, "hours")).values.reshape(-1, HOURS),
        read_lists(_field(habits, "weekdays")).values.reshape(-1, WEEKDAYS),
    )


def _field(column: pa.StructArray, name: str) -> pa.Array:
    """A struct's field, null where the struct is."""
    return pc.struct_field(column, name)


def _ranked(users: pa.Array, found: Ragged, scores: Array, depth: int) -> pa.RecordBatch:
    rows = found.rows
    order = np.lexsort((found.values, -scores, rows))
    order = order[np.arange(len(rows)) - found.starts[rows] < depth]
    starts = np.searchsorted(rows[order], np.arange(len(found) + 1)).astype(np.int64)
    lists = [
        write_lists(Ragged(found.values[order], starts), pa.int32()),
        write_lists(Ragged(scores[order], starts), pa.float64()),
    ]
    return pa.RecordBatch.from_arrays([users, *lists], ["user_idx", "items", "scores"])
