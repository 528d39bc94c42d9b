"""All of an evaluation from one reading of the lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.core.broadcast import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.evaluation.judged import Ints, Judged, judged_lists, read_judged
from musicrec.evaluation.metrics import Floats, ItemFacts, measure, metric_columns
from musicrec.evaluation.totals import PASS_SCHEMA, Sums, Totals, collect_totals, totals_row
from musicrec.models.blocks import Ragged, read_lists

# Relevant items of all listeners that are sent to every task (4 bytes each, and 24 a listener), so that no list has to
# move; where there are more, the lists are joined with them.
SENT_ITEMS = 1 << 25


@dataclass(frozen=True)
class Evaluated:
    """What one reading of the lists gave.

    Attributes
    ----------
    models : ascending; none where no one was judged.
    totals : of each model.
    kept : [listeners, models, columns asked for], judged listeners in the order of user_idx.
    """

    models: list[str]
    totals: list[Totals]
    kept: NDArray[np.float64]


def evaluate_lists(
    lists: DataFrame,
    relevant: DataFrame,
    facts: ItemFacts,
    ks: Sequence[int],
    kept: Sequence[str],
    models: Sequence[str] | None = None,
    sent_items: int = SENT_ITEMS,
) -> Evaluated:
    """Measure every list and add up, reading the lists once. Runs at once.

    Parameters
    ----------
    lists, relevant : as of `metrics.listener_metrics`.
    facts : of the catalogue.
    ks : the cut-offs, ascending, each once.
    kept : names of `metric_columns(ks)` whose values come to the driver for each listener.
    models : the models to judge, with or without lists; those of `lists` where not given.
    sent_items : the most relevant items that are collected and sent to every task.

    Raises
    ------
    InputError : a model has two lists for a listener.
    """
    size = relevant.agg(F.sum(F.size("relevant")).alias("items")).first()
    if size is None or not size["items"]:
        return Evaluated([], [], np.zeros((0, 0, len(kept))))
    context = relevant.sparkSession.sparkContext
    shared = context.broadcast(facts)
    sent: Broadcast[Judged] | None = None
    judged = Judged.collect(relevant) if size["items"] <= sent_items else None
    if judged is None:
        rows = judged_lists(lists, relevant, models).mapInArrow(_joined_pass(shared, ks, kept), PASS_SCHEMA)
    else:
        sent = context.broadcast(judged)
        chosen = lists if models is None else lists.where(F.col("model").isin(*models))
        chosen = chosen.select("model", "user_idx", F.col("items").cast("array<int>"))
        rows = chosen.mapInArrow(_sent_pass(shared, sent, ks, kept), PASS_SCHEMA)
    rows = rows.persist()
    try:
        totals = collect_totals(rows, ks)
        names = sorted(totals if models is None else set(models))
        found = _Kept.collect(rows, names)
    finally:
        rows.unpersist()
        shared.destroy()
        if sent is not None:
            sent.destroy()
    if judged is not None:
        found = _add_absent(totals, found, names, judged, facts, ks, kept)
    return Evaluated(names, [totals[name] for name in names], found.by_listener(len(names)))


@dataclass(frozen=True)
class _Kept:
    """Values of listeners' lists: parallel arrays, the model as its place among the names, values [rows, columns]."""

    users: Ints
    groups: Ints
    values: Floats

    @classmethod
    def collect(cls, rows: DataFrame, names: Sequence[str]) -> _Kept:
        group = F.array_position(F.array(*(F.lit(name) for name in names)), F.col("model")) - 1
        of_listeners = rows.where(F.col("kept").isNotNull())
        found = of_listeners.select(F.col("user_idx").cast("long"), group.alias("group"), "kept").toArrow()
        values = read_lists(found["kept"].combine_chunks()).values.reshape(len(found), -1)
        return cls(found["user_idx"].to_numpy(), found["group"].to_numpy(), values)

    def plus(self, users: Ints, group: int, values: Floats) -> _Kept:
        """With further listeners of one model."""
        groups = np.concatenate([self.groups, np.full(len(users), group)])
        return _Kept(
            np.concatenate([self.users, users]), groups, np.vstack([self.values.reshape(-1, values.shape[1]), values])
        )

    def by_listener(self, models: int) -> Floats:
        """[listeners, models, columns], listeners in the order of user_idx; each is there for each model."""
        order = np.lexsort((self.groups, self.users))
        users, groups = self.users[order], self.groups[order]
        if (users[1:] == users[:-1])[groups[1:] == groups[:-1]].any():
            raise InputError("the lists to judge", "at most one for a model and listener", "more")
        values: Floats = self.values[order].reshape(-1, models, self.values.shape[1])
        return values


def _add_absent(
    totals: dict[str, Totals],
    found: _Kept,
    names: Sequence[str],
    judged: Judged,
    facts: ItemFacts,
    ks: Sequence[int],
    kept: Sequence[str],
) -> _Kept:
    """Add to `totals` and `found` the judged listeners that a model has no list for: theirs is an empty one."""
    for group, name in enumerate(names):
        absent = np.flatnonzero(np.isin(judged.user_idx, found.users[found.groups == group], invert=True))
        nothing = Ragged(np.zeros(0, np.int32), np.zeros(len(absent) + 1, np.int64))
        values = measure(nothing, judged, absent, facts, ks)
        sums = Sums(facts, ks)
        sums.add(pa.array([name] * len(absent), pa.string()), nothing, values)
        for _, added in sums.totals():
            totals[name] = totals[name].plus(added) if name in totals else added
        found = found.plus(judged.user_idx[absent], group, values[_places(ks, kept)].T)
    return found


def _joined_pass(
    facts: Broadcast[ItemFacts], ks: Sequence[int], kept: Sequence[str]
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """Of `judged_lists`."""

    def passed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        sums = Sums(facts.value, ks)
        for batch in batches:
            lists, judged = read_judged(batch)
            yield _add(sums, batch, lists, judged, np.arange(len(lists)), _places(ks, kept))
        for model, totals in sums.totals():
            yield totals_row(model, totals)

    return passed


def _sent_pass(
    facts: Broadcast[ItemFacts], judged: Broadcast[Judged], ks: Sequence[int], kept: Sequence[str]
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """Of lists as they are, whosever; those of listeners who are not judged are passed over."""

    def passed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        sums = Sums(facts.value, ks)
        for batch in batches:
            places, is_judged = judged.value.places(batch["user_idx"].to_numpy().astype(np.int64))
            own = batch if is_judged.all() else batch.filter(pa.array(is_judged))
            yield _add(sums, own, read_lists(own["items"]), judged.value, places[is_judged], _places(ks, kept))
        for model, totals in sums.totals():
            yield totals_row(model, totals)

    return passed


def _places(ks: Sequence[int], kept: Sequence[str]) -> list[int]:
    columns = list(metric_columns(ks))
    return [columns.index(name) for name in kept]


def _add(
    sums: Sums, batch: pa.RecordBatch, lists: Ragged, judged: Judged, rows: Ints, places: list[int]
) -> pa.RecordBatch:
    """Measure a batch's lists; returns its rows of PASS_SCHEMA."""
    values = measure(lists, judged, rows, sums.facts, sums.ks)
    sums.add(batch["model"], lists, values)
    starts = np.arange(0, len(places) * (len(lists) + 1), len(places), dtype=np.int32)
    of_listener = pa.ListArray.from_arrays(starts, pa.array(values[places].T.ravel()))
    nothing = [pa.nulls(len(lists), kind) for kind in (pa.list_(pa.int64()), pa.binary())]
    columns = [batch["model"], batch["user_idx"], of_listener, *nothing]
    return pa.RecordBatch.from_arrays(columns, names=["model", "user_idx", "kept", "totals", "shown"])
