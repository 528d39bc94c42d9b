"""Trials of neighbours over the matrix: the share of a listener's next tracks that are among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.evaluation.next_neighbours import next_in_neighbours, next_plays
from musicrec.io.runs import Run
from musicrec.io.study_log import Scores
from musicrec.models.knn.alone import bytes_alone
from musicrec.models.knn.fit import fit_knn
from musicrec.models.knn.matrix import KnnParams
from musicrec.pipelines.tuning.period_arrays import pair_arrays
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.side_by_side import Arrays, Work, judge_side_by_side
from musicrec.pipelines.tuning.study import Outcome, timed
from musicrec.pipelines.tuning.validation import Validation, together
from musicrec.transforms.interactions import ItemKind, indexed_plays

Array = NDArray[Any]


def judge_knn(
    run: Run,
    item: ItemKind,
    periods: Sequence[Validation],
    trials: Sequence[tuple[int, KnnParams]],
    params: TuneParams,
) -> Iterator[Outcome]:
    """The outcome of each trial: those that fit into a task side by side, then the others one after the other."""
    small = [trial for trial in trials if _fits_a_task(periods, trial[1], params)]
    large = [trial for trial in trials if trial not in small]
    run.log.info("tune: knn", side_by_side=len(small), one_by_one=len(large))
    if small:
        arrays = []
        for period in periods:
            nexts = next_arrays(played_next(run, item, period, period.data.popular))
            arrays.append((np.unique(nexts["next_users"]), pair_arrays(period.data.interactions) | nexts))
        yield from judge_side_by_side(run.lakehouse.spark, arrays, small, _in_task(params.k))
    for number, own in large:
        yield timed(number, partial(_scores, run, item, periods, own, params.k))


def played_next(run: Run, item: ItemKind, period: Validation, items: DataFrame) -> DataFrame:
    """`next_plays` of the period, of the items that neighbours are known of.

    Raises
    ------
    InputError : no one played one of them after another.
    """
    listens = run.lakehouse.read("silver.listens").where(F.col("listened_at") < F.lit(period.until))
    judged = period.plays.select("user_idx").distinct()
    plays = indexed_plays(listens, item).join(judged, "user_idx", "left_semi")
    nexts = next_plays(plays, period.since, period.until, items).persist()
    if nexts.isEmpty():
        expected = f"a listener who plays two known items one after the other before {period.until}"
        raise InputError(f"table silver.listens from {period.since} on", expected, "none")
    return nexts


def next_arrays(nexts: DataFrame) -> dict[str, Array]:
    """The rows of `next_plays` on the driver, by listener: 20 bytes a pair that was played."""
    names = ("user_idx", "last_idx", "next_idx", "plays")
    found = nexts.select(*names).toArrow()
    order = np.lexsort([found[name].to_numpy() for name in reversed(names[:3])])
    told = ("next_users", "next_last", "next_items", "next_plays")
    return {new: found[name].to_numpy()[order] for new, name in zip(told, names, strict=True)}


def share_of_next(a: Arrays, item_idx: Array, neighbours: Sequence[Array], k: int) -> Array:
    """As `next_in_neighbours`, of arrays: each listener's share of next plays among the first k neighbours.

    Parameters
    ----------
    a : of `next_arrays`.
    item_idx : ascending, those with neighbours; neighbours : of each, best first.
    """
    nearest = {int(item): set(own[:k].tolist()) for item, own in zip(item_idx, neighbours, strict=True)}
    pairs = zip(a["next_last"].tolist(), a["next_items"].tolist(), strict=True)
    is_near = np.array([then in nearest.get(last, ()) for last, then in pairs])
    place = np.unique(a["next_users"], return_inverse=True)[1]
    return np.asarray(np.bincount(place, a["next_plays"] * is_near) / np.bincount(place, a["next_plays"]))


def _in_task(k: int) -> Work[KnnParams]:
    def work(a: Arrays, own: KnnParams) -> Array:
        from musicrec.models.knn.alone import neighbours_alone

        items, lists = neighbours_alone(a["users"], a["items"], a["weights"], own)
        return share_of_next(a, items, [lists[row] for row in range(len(lists))], k)

    return work


def _fits_a_task(periods: Sequence[Validation], own: KnnParams, params: TuneParams) -> bool:
    needed = max(bytes_alone(p.pairs, p.data.n_items, own.k) for p in periods)
    return needed >> 20 < params.task_memory_mb


def _scores(run: Run, item: ItemKind, periods: Sequence[Validation], own: KnnParams, k: int) -> Scores:
    found = []
    for period in periods:
        nexts = played_next(run, item, period, period.data.popular)
        lists = fit_knn(period.data.interactions, own).withColumnRenamed("neighbours", "items")
        found.append(share_scores(next_in_neighbours(nexts, lists, [k]), k))
        nexts.unpersist()
    return together(found)


def share_scores(shares: DataFrame, k: int) -> Scores:
    """What `next_in_neighbours` gives, on the driver."""
    rows = shares.select("user_idx", f"share_at_{k}").toArrow().sort_by("user_idx")
    return Scores(rows["user_idx"].to_numpy().astype(np.int64), rows[f"share_at_{k}"].to_numpy())
