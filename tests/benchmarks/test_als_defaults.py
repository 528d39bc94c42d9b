from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.als_cases import LISTENERS, Case, Plays, cases, with_tail
from benchmarks.als_defaults import judge, per_pair, row_of
from benchmarks.listening import make_day, make_world
from benchmarks.tasks import Task
from musicrec.errors import InputError
from musicrec.models.als.params import AlsParams

PARAMS = AlsParams(rank=16, iterations=8)


@pytest.fixture(scope="module")
def plays() -> Plays:
    """A small world of habits: a tenth of the listeners and tracks of the command's, over as many days."""
    world = make_world(LISTENERS // 20, 2000, 100, 1)
    days = [make_day(world, day, 800) for day in range(100)]
    users, items = (np.concatenate([getattr(day, name) for day in days]) for name in ("user", "track"))
    return Plays(users, items, np.repeat(np.arange(100), 800))


def test_a_long_tail_keeps_the_accuracy_that_a_weight_of_each_pair_loses(plays: Plays) -> None:
    plain, grown = (with_tail("tail", plays, times, 1).test for times in (1, 5))
    before, after = (judge(lesson, PARAMS, 1) for lesson in (plain, grown))
    assert before > 0.1
    assert after > 0.9 * before
    assert judge(grown, per_pair(grown, 16), 1) < 0.5 * before


def test_a_task_cut_by_time_learns_from_before_and_asks_for_what_is_new(plays: Plays) -> None:
    task = plays.lesson(90, 95).task
    heard = {(user, item) for user, item, day in zip(plays.users, plays.items, plays.days, strict=True) if day < 90}
    after = {(u, i) for u, i, day in zip(plays.users, plays.items, plays.days, strict=True) if 90 <= day < 95}
    known = {user for user, _ in heard}
    assert set(zip(task.train.users, task.train.items, strict=True)) == heard
    assert set(zip(task.wanted.users, task.wanted.items, strict=True)) == {c for c in after - heard if c[0] in known}


def test_a_row_has_the_default_beside_the_tuned_and_the_peers(plays: Plays) -> None:
    case = Case("tiny", [plays.lesson(86, 93)], plays.lesson(93, 100))
    row = row_of(case, PARAMS, 3, 1)
    assert row["default"] == pytest.approx(judge(case.test, PARAMS, 1))
    assert row["share"] == pytest.approx(row["default"] / row["tuned"])
    assert 0 < row["implicit"] < 1
    assert row["pairs"] == len(case.test.task.train)


def test_the_sample_is_there_and_what_is_not_is_named(tmp_path: Path) -> None:
    known = cases(tmp_path, 1)
    sample = known["sample"]()
    assert [_listeners(lesson.task) for lesson in [*sample.valid, sample.test]] == [100, 100, 100]
    assert not set(map(tuple, _cells(sample.test.task.train))) & set(map(tuple, _cells(sample.test.task.wanted)))
    with pytest.raises(InputError, match="a folder with the files of hetrec"):
        known["hetrec80"]()


def _listeners(task: Task) -> int:
    return len(np.unique(task.train.users))


def _cells(pairs: object) -> np.ndarray:
    return np.column_stack([pairs.users, pairs.items])  # type: ignore[attr-defined]
