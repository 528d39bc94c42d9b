"""Trials of the two-stage ranker: what it learns from is made once, and each trial's trees rank the same candidates."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from pyspark.sql import DataFrame

from musicrec.errors import InputError, MusicrecError
from musicrec.io.runs import Run
from musicrec.io.study_log import Scores
from musicrec.models.ranker.fit import Examples, RankerModel, fit_ranker
from musicrec.models.ranker.params import RankerParams
from musicrec.pipelines.models_at import models_at
from musicrec.pipelines.ranking import RankerJob, Retrieval, content_vectors, joined, window_examples
from musicrec.pipelines.settings import KNN
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.study import Outcome
from musicrec.pipelines.tuning.validation import Validation, together

# What decides the trees only, not what they are grown from.
_TREES = ("trees", "leaves", "rate", "min_leaf", "column_share", "row_share", "l2", "truncation", "monotone", "threads")


@dataclass(frozen=True)
class Ground:
    """A period's part that trials share.

    Attributes
    ----------
    period : it.
    examples : of the windows before it.
    retrieval, lists : what was known at its beginning, and the candidates' lists, persisted.
    """

    period: Validation
    examples: Examples
    retrieval: Retrieval
    lists: dict[str, DataFrame]


class RankerTrials:
    """Judges trials; what they share is kept from one batch to the next.

    Parameters
    ----------
    run, periods, params : of the study.
    job : of the configuration as it stands.
    """

    def __init__(self, run: Run, periods: Sequence[Validation], job: RankerJob, params: TuneParams) -> None:
        if params.shelf != "discover":
            raise InputError("tune.shelf", "discover, which the ranker is for", params.shelf)
        self._run, self._periods, self._job, self._params = run, periods, job, params
        self._known: dict[str, list[Ground]] = {}

    def judge(self, trials: Sequence[tuple[int, RankerParams]]) -> Iterator[Outcome]:
        """The outcome of each trial; all lists of a period are judged in one pass."""
        seconds: dict[int, float] = {}
        errors: dict[int, str] = {}
        scores: dict[int, list[Scores]] = {number: [] for number, _ in trials}
        for place, period in enumerate(self._periods):
            made: dict[str, DataFrame] = {}
            for number, own in trials:
                began = time.perf_counter()
                try:
                    made[str(number)] = self._lists(place, own)
                except MusicrecError as error:
                    errors[number] = str(error)
                seconds[number] = seconds.get(number, 0.0) + time.perf_counter() - began
            for name, found in (period.score_all(made, self._params) if made else {}).items():
                scores[int(name)].append(found)
        for number, _ in trials:
            failed = number in errors
            own_scores = None if failed else together(scores[number])
            yield Outcome(number, own_scores, errors.get(number, ""), seconds[number])

    def _lists(self, place: int, own: RankerParams) -> DataFrame:
        ground = self._grounds(own)[place]
        job = replace(self._job, params=own)
        model: RankerModel = fit_ranker(ground.examples, job.features, own, self._run.seed)
        return replace(ground.retrieval, job=job).order(ground.lists, model)

    def _grounds(self, own: RankerParams) -> list[Ground]:
        key = json.dumps(own.model_dump(mode="json", exclude=set(_TREES)), sort_keys=True)
        if key not in self._known:
            self._known[key] = [_ground(self._run, replace(self._job, params=own), period) for period in self._periods]
        return self._known[key]


def _ground(run: Run, job: RankerJob, period: Validation) -> Ground:
    params = job.params
    length, parts = timedelta(days=params.window_days), []
    for n in range(params.windows, 0, -1):
        start = period.since - n * length
        part = window_examples(run, job, start, start + length)
        if part is not None:
            parts.append(part)
    if not parts:
        raise InputError("table silver.listens", f"windows before {period.since} with plays before and in them", "none")
    wanted = {*params.retrievers, KNN}
    models = models_at(run, period.data, job.item, job.interaction, job.fits, job.files, wanted)
    models = models.of(period.relevant.select("user_idx"))
    retrieval = Retrieval(period.own, models.neighbours, content_vectors(run, period.data, job.item), job)
    lists = {name: rows.persist() for name, rows in retrieval.lists(models).items()}
    run.log.info("tune: ranker's examples", windows=len(parts), before=str(period.since))
    return Ground(period, joined(parts), retrieval, lists)
