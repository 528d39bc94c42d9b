"""One study: batches of trials are proposed, judged and kept until there are enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GridSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from musicrec.errors import MusicrecError
from musicrec.io.study_log import Scores, StudyLog
from musicrec.logs import Logger, progress
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.space import Space, Values

State = Literal["complete", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What judging a trial gave: scores, or why it could not be judged."""

    number: int
    scores: Scores | None
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes
    ----------
    number : 0 is the configuration as it stands.
    values : of the keys that the study changes.
    figure : the mean over the judged listeners; None where it failed.
    error : why it failed.
    repeats : the earlier trial with the same values whose figure this is; None where it was judged by itself.
    is_earlier : whether an earlier run had finished it.
    """

    number: int
    values: Values
    figure: float | None
    error: str
    seconds: float
    repeats: int | None
    is_earlier: bool

    @property
    def state(self) -> State:
        """Whether it has a figure."""
        return "failed" if self.figure is None else "complete"


# Numbers with their values → their outcomes, in any order, each as soon as it is known.
Judge = Callable[[Sequence[tuple[int, Values]]], Iterable[Outcome]]


def search(
    study: StudyLog,
    space: Space,
    current: Values,
    params: TuneParams,
    seed: int,
    judge: Judge,
    log: Logger,
    metric: str = "figure",
) -> list[Trial]:
    """All trials of the study, by number: those that are kept, and those still to come, which are judged now.

    Trial 0 is `current`. What trial n is depends on the seed, on n and on the trials before its batch, and on nothing
    else: a study that was interrupted goes on as if it had not been, and a longer one begins like a shorter one. A
    trial with the values of an earlier one is not judged again.
    """
    last = params.trials
    if params.sampler == "grid":
        points = int(np.prod([len(values) for values in space.grid().values()]))
        last = min(last, points)
        if points > last:
            log.warning("tune: the grid has more points than trials", points=points, trials=last)
    earlier = frozenset(study.trials())
    with progress(log, "tune: trials", last + 1) as ticker:
        if done := len([number for number in earlier if number <= last]):
            ticker.skip(done)
        for start in range(0, last + 1, params.batch):
            numbers = range(start, min(start + params.batch, last + 1))
            if all(number in earlier for number in numbers):
                continue
            for outcome in _batch(study, space, current, params, seed, numbers, judge):
                figures = {} if outcome.scores is None else {metric: float(outcome.scores.values.mean())}
                ticker.step(trial=outcome.number, **figures, **({"failed": outcome.error} if outcome.error else {}))
    kept = study.trials()
    return [_read(kept[number], number in earlier) for number in range(last + 1)]


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The first of those with the highest figure; None where all failed."""
    judged = [trial for trial in trials if trial.figure is not None]
    return max(judged, key=lambda trial: (trial.figure or 0.0, -trial.number), default=None)


def _batch(
    study: StudyLog, space: Space, current: Values, params: TuneParams, seed: int, numbers: range, judge: Judge
) -> Iterator[Outcome]:
    """Judge the batch's trials that are not kept yet, and keep them."""
    kept = study.trials()
    before = [kept[number] for number in range(numbers.start)]
    proposed = _propose(before, space, current, params, seed, numbers)
    values = {number: own.user_attrs["values"] for number, own in proposed.items()}
    # The first trial with these values, by the values.
    first: dict[str, int] = {}
    for number, own in [(n, kept[n].user_attrs["values"]) for n in range(numbers.start)] + list(values.items()):
        first.setdefault(_key(own), number)
    new = [(n, own) for n, own in values.items() if first[_key(own)] == n and n not in kept]
    for outcome in judge(new) if new else ():
        study.add(_finished(proposed[outcome.number], outcome), outcome.scores)
        yield outcome
    kept = study.trials()
    for number, own in values.items():
        same = first[_key(own)]
        if number in kept or same == number:
            continue
        failed = kept[same].state != TrialState.COMPLETE
        scores = None if failed else study.scores(same)
        outcome = Outcome(number, scores, kept[same].user_attrs["error"])
        study.add(_finished(proposed[number], outcome, repeats=same), scores)
        yield outcome


def _propose(
    before: Sequence[FrozenTrial], space: Space, current: Values, params: TuneParams, seed: int, numbers: range
) -> dict[int, FrozenTrial]:
    """The batch's trials, from those before it."""
    asker = optuna.create_study(direction="maximize", sampler=_sampler(space, params, seed, 0))
    for trial in before:
        # The current settings are no point of a grid, and may lie outside the space.
        if trial.params and not (params.sampler == "grid" and trial.user_attrs["number"] == 0):
            asker.add_trial(_as_told(trial))
    distributions = space.distributions()
    found = {}
    for number in numbers:
        if number == 0:
            told = space.told(current)
            found[0] = create_trial(
                state=TrialState.COMPLETE,
                value=0.0,
                params=told or {},
                distributions=distributions if told else {},
                user_attrs={"number": 0, "values": current},
            )
            continue
        asker.sampler = _sampler(space, params, seed, number)
        asked = asker.ask(distributions)
        own = asker.get_trials(deepcopy=True)[asked.number]
        own.user_attrs = {"number": number, "values": space.values(asked.params)}
        found[number] = own
    return found


def _as_told(trial: FrozenTrial) -> FrozenTrial:
    """A trial as samplers are told of it: TPE passes over failed ones, and would propose the like again and again."""
    if trial.state != TrialState.FAIL:
        return trial
    return create_trial(
        state=TrialState.PRUNED,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs,
    )


def _sampler(space: Space, params: TuneParams, seed: int, number: int) -> BaseSampler:
    """A sampler that draws the same for this trial whatever was drawn before in this process."""
    if params.sampler == "grid":
        return GridSampler(space.grid(), seed=seed % 2**32)
    own = np.random.SeedSequence([seed, number]).generate_state(1)[0]
    return TPESampler(seed=int(own), multivariate=True, constant_liar=True)


def _finished(proposed: FrozenTrial, outcome: Outcome, repeats: int | None = None) -> FrozenTrial:
    attributes: dict[str, Any] = {"error": outcome.error, "seconds": round(outcome.seconds, 3)}
    if repeats is not None:
        attributes["repeats"] = repeats
    is_judged = outcome.scores is not None
    return create_trial(
        state=TrialState.COMPLETE if is_judged else TrialState.FAIL,
        value=float(outcome.scores.values.mean()) if outcome.scores is not None else None,
        params=proposed.params,
        distributions=proposed.distributions,
        user_attrs={**proposed.user_attrs, **attributes},
        system_attrs={key: value for key, value in proposed.system_attrs.items() if key in ("grid_id", "search_space")},
    )


def _read(trial: FrozenTrial, is_earlier: bool) -> Trial:
    about: Mapping[str, Any] = trial.user_attrs
    figure = trial.value if trial.state == TrialState.COMPLETE else None
    return Trial(
        about["number"], about["values"], figure, about["error"], about["seconds"], about.get("repeats"), is_earlier
    )


def _key(values: Values) -> str:
    return repr(sorted(values.items()))


def timed(number: int, work: Callable[[], Scores]) -> Outcome:
    """The outcome of some work; of errors only those that musicrec explains make a failed trial."""
    began = time.perf_counter()
    try:
        scores = work()
    except MusicrecError as error:
        return Outcome(number, None, str(error), time.perf_counter() - began)
    return Outcome(number, scores, "", time.perf_counter() - began)
