"""Trials of ALS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from musicrec.io.runs import Run
from musicrec.io.study_log import Scores
from musicrec.models.als.alone import bytes_alone
from musicrec.models.als.blocked import why_not_here
from musicrec.models.als.params import AlsParams
from musicrec.models.blocks import Array, Ragged, find
from musicrec.pipelines.fitting import fit_als_model
from musicrec.pipelines.settings import Shelf
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.side_by_side import Lists, Matrix, judge_side_by_side
from musicrec.pipelines.tuning.study import Outcome, timed
from musicrec.pipelines.tuning.validation import Validation, together

# Listeners and items per product, as in `top_n`.
_LISTENERS, _ITEMS = 512, 1024


def judge_als(
    run: Run, periods: Sequence[Validation], trials: Sequence[tuple[int, AlsParams]], params: TuneParams
) -> Iterator[Outcome]:
    """The outcome of each trial: those that fit into a task side by side, then the others one after the other.

    Both ways give the same scores: the engine's vectors and lists have the same bits in one task and in many.
    """
    small = [trial for trial in trials if _fits_a_task(run, periods, trial[1], params)]
    large = [trial for trial in trials if trial not in small]
    run.log.info("tune: als", side_by_side=len(small), one_by_one=len(large))
    if small:
        lists = als_lists(run.seed, params.shelf, params.k)
        yield from judge_side_by_side(run.lakehouse.spark, periods, small, lists, params)
    for number, own in large:
        yield timed(number, partial(_scores, run, periods, own, params))


def als_lists(seed: int, shelf: Shelf, k: int) -> Lists[AlsParams]:
    """What makes a trial's lists in a task."""

    def make(matrix: Matrix, own: AlsParams) -> tuple[Ragged, Ragged]:
        from musicrec.models.als.alone import fit_alone
        from musicrec.ranking.catalogue import arrange
        from musicrec.ranking.engine import Block, Engine, no_lists

        model = fit_alone(matrix.user_idx, matrix.item_idx, matrix.weights, own, seed)
        items, none = len(model.item_idx), no_lists(len(matrix.judged.user_idx))
        plain = np.zeros(items, np.float32), np.full(items, -1, np.int32)
        engine = Engine(arrange(model.item_idx, model.items, *plain, "dot", 1.0), "dot", k, 0, _ITEMS)
        place, is_known = find(matrix.judged.user_idx, model.user_idx)
        rows = np.flatnonzero(is_known)
        # A listener without a vector has no list; all others are ranked as `top_n` does.
        made: list[tuple[Array, Array]] = [(none.values, np.zeros(0))] * len(is_known)
        for start in range(0, len(rows), _LISTENERS):
            part = rows[start : start + _LISTENERS]
            heard = _some(matrix.heard, part)
            vectors, nothing = model.users[place[part]], no_lists(len(part))
            block = Block(vectors, nothing, nothing, heard) if shelf == "again" else Block(vectors, heard, nothing)
            found, scores = engine.best(block)
            for at, row in enumerate(part.tolist()):
                made[row] = found[at], scores[at]
        return _ragged([one[0] for one in made]), _ragged([one[1] for one in made])

    return make


def _fits_a_task(run: Run, periods: Sequence[Validation], own: AlsParams, params: TuneParams) -> bool:
    """Whether our engine would fit it, and a task has room for it."""
    if own.engine == "mllib" or why_not_here(run.lakehouse.spark, own):
        return False
    needed = max(bytes_alone(p.pairs, p.listeners, p.data.n_items, own.rank) for p in periods)
    return needed >> 20 < params.task_memory_mb


def _scores(run: Run, periods: Sequence[Validation], own: AlsParams, params: TuneParams) -> Scores:
    found = []
    for period in periods:
        model = fit_als_model(run, period.data, own)
        try:
            found.append(period.score_model(model, params))
        finally:
            model.release()
    return together(found)


def _some(lists: Ragged, rows: Array) -> Ragged:
    return _ragged([lists[row] for row in rows.tolist()])


def _ragged(lists: Sequence[Array]) -> Ragged:
    starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    return Ragged(np.concatenate(lists) if lists else np.zeros(0, np.int32), starts)
