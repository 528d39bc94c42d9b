"""Studies with a judge whose answer is known; no Spark."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicrec.errors import InputError
from musicrec.evaluation.bootstrap import BootstrapParams
from musicrec.io.study_log import Scores, StudyLog
from musicrec.logs import make_logger
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.space import Range, Space, Values
from musicrec.pipelines.tuning.study import Outcome, Trial, best_of, search
from musicrec.pipelines.tuning.summary import gain_over_current

SPACE = Space({"m.rate": Range(low=1e-3, high=1.0, log=True, points=3), "m.size": (1, 2, 4), "m.kind": ("a", "b")})
CURRENT: Values = {"m.rate": 0.5, "m.size": 1, "m.kind": "a"}
LISTENERS = np.arange(5)


class Judge:
    """A figure with its top at rate .03, size 4, kind b; size 2 fails. Killed before the trial `killed_at`."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.killed_at, self.judged = killed_at, list[int]()

    def __call__(self, trials: Sequence[tuple[int, Values]]) -> Iterator[Outcome]:
        for number, values in trials:
            if number == self.killed_at:
                raise KeyboardInterrupt
            self.judged.append(number)
            if values["m.size"] == 2:
                yield Outcome(number, None, "size 2 cannot be fitted")
                continue
            figure = 1 - abs(np.log10(values["m.rate"] / 0.03)) + values["m.size"] / 4 + (values["m.kind"] == "b")
            yield Outcome(number, Scores(LISTENERS, figure + LISTENERS / 10))


def run(
    folder: Path, judge: Judge, params: TuneParams, seed: int = 3, current: Values = CURRENT, space: Space = SPACE
) -> list[Trial]:
    return search(StudyLog(folder, {"seed": seed}), space, current, params, seed, judge, make_logger("study"))


def said(trials: Sequence[Trial]) -> list[tuple[Any, ...]]:
    return [(t.number, t.values, t.figure, t.error, t.repeats) for t in trials]


def test_a_planted_optimum_is_found(tmp_path: Path) -> None:
    params = TuneParams(trials=40)
    trials = run(tmp_path / "tpe", Judge(), params)
    best = best_of(trials)
    assert best is not None
    assert (best.values["m.size"], best.values["m.kind"]) == (4, "b")
    assert abs(np.log10(best.values["m.rate"] / 0.03)) < 0.15
    # The sampler learns: what it proposes later is better than what it drew at first.
    figures = [t.figure or 0.0 for t in trials]
    assert np.mean(figures[21:]) > np.mean(figures[1:11]) + 0.25
    assert trials[0].values == CURRENT
    gain = gain_over_current(StudyLog(tmp_path / "tpe", {"seed": 3}), trials, BootstrapParams(), 1)
    assert gain is not None
    np.testing.assert_allclose([gain.value, gain.low, gain.high], (best.figure or 0) - (trials[0].figure or 0))


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
@pytest.mark.parametrize("current", [CURRENT, {**CURRENT, "m.rate": 7.0}], ids=["inside", "outside"])
def test_an_interrupted_study_ends_as_an_uninterrupted_one(tmp_path: Path, sampler: Any, current: Values) -> None:
    params = TuneParams(trials=17, sampler=sampler)
    whole = run(tmp_path / "whole", Judge(), params, current=current)
    for kills in ([0], [1, 2, 6], [4], [13, 14]):
        folder, judged = tmp_path / f"killed-{kills[0]}", list[int]()
        for killed_at in kills:
            judge = Judge(killed_at)
            # A trial that repeats another is never judged, so it cannot be killed there.
            if any(t.number == killed_at and t.repeats is not None for t in whole):
                continue
            with pytest.raises(KeyboardInterrupt):
                run(folder, judge, params, current=current)
            judged += judge.judged
        judge = Judge()
        assert said(run(folder, judge, params, current=current)) == said(whole)
        assert sorted(judged + judge.judged) == [t.number for t in whole if t.repeats is None]
    again = Judge()
    assert all(t.is_earlier for t in run(tmp_path / "whole", again, params, current=current))
    assert again.judged == []


def test_a_longer_study_begins_like_a_shorter_one_and_another_seed_differs(tmp_path: Path) -> None:
    short = run(tmp_path / "a", Judge(), TuneParams(trials=9))
    assert said(run(tmp_path / "a", Judge(), TuneParams(trials=20)))[:10] == said(short)
    assert said(run(tmp_path / "b", Judge(), TuneParams(trials=20))) == said(
        run(tmp_path / "a", Judge(), TuneParams(trials=20))
    )
    other = run(tmp_path / "c", Judge(), TuneParams(trials=9), seed=4)
    assert [t.values for t in other[1:]] != [t.values for t in short[1:]]


def test_a_grid_covers_exactly_its_points(tmp_path: Path) -> None:
    judge = Judge()
    current = {**CURRENT, "m.rate": 1.0}
    trials = run(tmp_path, judge, TuneParams(trials=100, sampler="grid", batch=5), current=current)
    points = list(itertools.product(["a", "b"], [0.001, 0.03162, 1.0], [1, 2, 4]))
    assert len(trials) == 1 + len(points)
    found = [tuple(value for _, value in sorted(t.values.items())) for t in trials[1:]]
    assert sorted(found) == sorted(points)
    # The current values are a point too, and not judged twice.
    assert len(judge.judged) == len(points)
    repeated = [t for t in trials if t.repeats is not None]
    assert [(t.values, t.repeats, t.figure) for t in repeated] == [(current, 0, trials[0].figure)]


def test_a_trial_that_fails_is_kept_and_the_study_goes_on(tmp_path: Path) -> None:
    trials = run(tmp_path, Judge(), TuneParams(trials=12))
    failed = [t for t in trials if t.state == "failed"]
    assert failed
    assert {t.error for t in failed} == {"size 2 cannot be fitted"}
    assert {t.values["m.size"] for t in failed} == {2}
    assert {t.values["m.size"] for t in trials if t.state == "complete"} <= {1, 4}
    alone = run(tmp_path / "none", Judge(), TuneParams(trials=3), current={**CURRENT, "m.size": 2},
                space=Space({"m.rate": SPACE.dimensions["m.rate"], "m.size": (2,), "m.kind": ("a",)}))  # fmt: skip
    assert best_of(alone) is None


def test_what_a_killed_process_began_to_write_is_dropped(tmp_path: Path) -> None:
    whole = run(tmp_path, Judge(), TuneParams(trials=6))
    journal = StudyLog(tmp_path, {"seed": 3}).folder / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 7
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    judge = Judge()
    assert said(run(tmp_path, judge, TuneParams(trials=6))) == said(whole)
    assert len(judge.judged) == 1


def test_studies_with_other_facts_are_kept_apart_and_told(tmp_path: Path) -> None:
    facts = {"seed": 1, "tables": {"silver.listens": 3}}
    first = StudyLog(tmp_path, facts)
    search(first, SPACE, CURRENT, TuneParams(trials=1), 1, Judge(), make_logger("study"))
    later = {**facts, "tables": {"silver.listens": 4}}
    second = StudyLog(tmp_path, later)
    assert second.trials() == {}
    assert second.differences(later) == (first.name, ["tables"])
    assert first.differences(facts) is None
    assert len(StudyLog(tmp_path, facts).trials()) == 2
    first.clear()
    assert StudyLog(tmp_path, facts).trials() == {}


def test_two_processes_cannot_add_the_same_trial(tmp_path: Path) -> None:
    class Both(Judge):
        def __call__(self, trials: Sequence[tuple[int, Values]]) -> Iterator[Outcome]:
            run(tmp_path, Judge(), TuneParams(trials=3))
            yield from super().__call__(trials)

    with pytest.raises(InputError, match="one process that adds to it, found trial 0"):
        run(tmp_path, Both(), TuneParams(trials=3))


@pytest.mark.parametrize(
    ("own", "numbers"),
    [
        (Range(low=2, high=8, step=3), [2, 5, 8]),
        (Range(low=1, high=3), [1, 2, 3]),
        (Range(low=0.0, high=1.0, points=3), [0.0, 0.5, 1.0]),
        (Range(low=1, high=100, log=True, points=3), [1, 10, 100]),
        (Range(low=0.0, high=1.0, step=0.25), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (Range(low=0.0, high=1.0), None),
    ],
)
def test_points_of_a_range(own: Range, numbers: list[float] | None) -> None:
    assert own.grid() == numbers
    assert all(own.holds(number) for number in numbers or ())
    assert not own.holds(own.high + 1)
    assert not own.holds("a")
