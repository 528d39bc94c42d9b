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
from musicrec.pipelines.tuning.period_arrays import list_arrays, list_ndcg, pair_arrays, ragged
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.side_by_side import Arrays, Work, judge_side_by_side
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
        arrays = ((p.judged.user_idx, pair_arrays(p.data.interactions) | list_arrays(p, params.shelf)) for p in periods)
        work = _in_task(run.seed, params.shelf, params.k)
        yield from judge_side_by_side(run.lakehouse.spark, arrays, small, work)
    for number, own in large:
        yield timed(number, partial(_scores, run, periods, own, params))


def _in_task(seed: int, shelf: Shelf, k: int) -> Work[AlsParams]:
    """What fits and judges a trial in a task."""

    def work(a: Arrays, own: AlsParams) -> Array:
        from musicrec.models.als.alone import fit_alone
        from musicrec.ranking.catalogue import arrange
        from musicrec.ranking.engine import Block, Engine, no_lists

        model = fit_alone(a["users"], a["items"], a["weights"].astype(np.float32), own, seed)
        items = len(model.item_idx)
        catalogue = arrange(
            model.item_idx, model.items, np.zeros(items, np.float32), np.full(items, -1, np.int32), "dot", 1.0
        )
        engine = Engine(catalogue, "dot", k, 0, _ITEMS)
        place, is_known = find(a["judged"], model.user_idx)
        heard = Ragged(a["heard"], a["heard_starts"])
        # A listener without a vector has no list; all others are ranked as `top_n` does.
        lists, scores = [heard.values[:0]] * len(place), [np.zeros(0)] * len(place)
        rows = np.flatnonzero(is_known)
        for start in range(0, len(rows), _LISTENERS):
            part = rows[start : start + _LISTENERS]
            known, none = ragged([heard[row] for row in part.tolist()]), no_lists(len(part))
            vectors = model.users[place[part]]
            block = Block(vectors, none, none, known) if shelf == "again" else Block(vectors, known, none)
            found, reached = engine.best(block)
            for at, row in enumerate(part.tolist()):
                lists[row], scores[row] = found[at], reached[at]
        return list_ndcg(a, lists, scores, shelf, k)

    return work


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
