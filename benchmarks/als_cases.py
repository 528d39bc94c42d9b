"""The data that ALS's default settings are judged on: what is learned from, on what it is tuned, on what it is tested.

Listening that carries times (the sample, simulated worlds) is cut by time as the nightly's evaluation cuts it: a model
learns from the days before, and is asked for what a listener then plays that they had not played. Weights are those of
the configurations' `confidence = "log"`; where only pairs are known, all are 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.listening import make_day, make_world
from benchmarks.protocols import load_task, parts_by_user
from benchmarks.tasks import Ints, Pairs, Task
from musicrec.transforms.interactions import confidence_of

ROOT = Path(__file__).parent.parent
_FIGURES = {"recall_at_10": "recall_10", "ndcg_at_10": "ndcg_10"}
LISTENERS, LISTENS, TRACKS, DAYS, WEEK = 10_000, 1_000_000, 50_000, 100, 7


@dataclass(frozen=True)
class Lesson:
    """A task and the weights of its training pairs."""

    task: Task
    weights: NDArray[np.float32]

    def judged_on(self, most: int, seed: int) -> Lesson:
        """The same for so many listeners at most, drawn."""
        listeners = np.unique(self.task.wanted.users)
        if self.task.among is not None or len(listeners) <= most:
            return self
        drawn = np.random.default_rng(seed).choice(listeners, most, replace=False)
        wanted = self.task.wanted.where(np.isin(self.task.wanted.users, drawn))
        return Lesson(replace(self.task, wanted=wanted), self.weights)


@dataclass(frozen=True)
class Case:
    """A data set.

    Attributes
    ----------
    name : in the table.
    valid : what settings are chosen on, one or more; test : what is reported.
    """

    name: str
    valid: list[Lesson]
    test: Lesson


@dataclass(frozen=True)
class Plays:
    """Listener, item and day of each play."""

    users: Ints
    items: Ints
    days: Ints

    def lesson(self, first: int, stop: int) -> Lesson:
        """Learn from what lies before the day `first`; find what is new to a listener from it until `stop`."""
        before, after = self.days < first, (self.days >= first) & (self.days < stop)
        learned, plays = np.unique(_cells(self.users[before], self.items[before]), return_counts=True)
        found = np.setdiff1d(_cells(self.users[after], self.items[after]), learned)
        sizes = int(self.users.max()) + 1, int(self.items.max()) + 1
        known = np.isin(found >> 32, learned >> 32)  # who has played nothing has no list
        task = Task(*sizes, _pairs(learned), _pairs(found[known]), _pairs(found[:0]), 10, _FIGURES)
        return Lesson(task, confidence_of(plays.astype(np.float64), "log").astype(np.float32))


def _cells(users: Ints, items: Ints) -> Ints:
    return users << 32 | items


def _pairs(cells: Ints) -> Pairs:
    return Pairs(cells >> 32, cells & (2**32 - 1))


def cases(folder: Path, seed: int) -> dict[str, Callable[[], Case]]:
    """Each data set's name and what reads or makes it; those of published files lie below `folder`."""
    return {
        "sample": _sample,
        "hetrec": lambda: _published("hetrec", "hetrec", folder / "lastfm-hetrec", seed),
        "hetrec80": lambda: eighty_twenty(folder / "lastfm-hetrec", seed),
        "gowalla": lambda: _published("gowalla", "lightgcn", folder / "gowalla", seed),
        "ml-1m": lambda: _published("ml-1m", "ncf", folder / "ml-1m", seed),
        "simulated": lambda: _simulated("simulated", seed, 1),
        "catalogue10": lambda: _simulated("catalogue10", seed, 10),
        "catalogue100": lambda: _simulated("catalogue100", seed, 100),
        "tail10": lambda: with_tail("tail10", _plays(seed, 1), 10, seed),
        "tail100": lambda: with_tail("tail100", _plays(seed, 1), 100, seed),
    }


def _published(name: str, protocol: str, folder: Path, seed: int) -> Case:
    stages = (load_task(protocol, folder, stage, seed) for stage in ("valid", "test"))
    valid, test = (_plain(task if task.among is not None else replace(task, k=10, figures=_FIGURES)) for task in stages)
    return Case(name, [valid], test)


def _plain(task: Task) -> Lesson:
    return Lesson(task, np.ones(len(task.train), np.float32))


def eighty_twenty(folder: Path, seed: int) -> Case:
    """HetRec as files in the lightgcn format are made: items with three listeners or more, listeners with
    ten items or more, a fifth of each one's for the test, and an eighth of what is left for validation."""
    task = load_task("hetrec", folder, "test", seed)
    rest = load_task("hetrec", folder, "valid", seed)
    parts = (task.train, task.wanted, rest.wanted)
    pairs = Pairs(*(np.concatenate([getattr(part, side) for part in parts]) for side in ("users", "items")))
    pairs = pairs.where(np.bincount(pairs.items)[pairs.items] >= 3)
    pairs = pairs.where(np.bincount(pairs.users)[pairs.users] >= 10)
    pairs = Pairs(*(np.unique(side, return_inverse=True)[1] for side in (pairs.users, pairs.items)))
    sizes = int(pairs.users.max()) + 1, int(pairs.items.max()) + 1
    of_test = parts_by_user(pairs, (0.8, 0.2), seed) == 1
    kept, test = pairs.where(~of_test), pairs.where(of_test)
    of_valid = parts_by_user(kept, (0.875, 0.125), seed + 1) == 1
    nothing = kept.where(np.zeros(len(kept), np.bool_))
    valid = Task(*sizes, kept.where(~of_valid), kept.where(of_valid), nothing, 10, _FIGURES)
    return Case("hetrec80", [_plain(valid)], _plain(Task(*sizes, kept, test, nothing, 10, _FIGURES)))


def _sample() -> Case:
    """The bundled listening: settings are chosen on 20 and 21 June, and tested on the 22nd."""
    columns = ["listened_at", "user_id", "artist_name", "recording_name"]
    files = sorted((ROOT / "data" / "sample" / "listenbrainz").rglob("*.parquet"))
    rows = pd.concat([pd.read_parquet(file, columns=columns) for file in files]).drop_duplicates()
    named = (rows["artist_name"] + "\n" + rows["recording_name"]).str.lower()
    users, items = (column.factorize(sort=True)[0].astype(np.int64) for column in (rows["user_id"], named))
    plays = Plays(users, items, rows["listened_at"].dt.day.to_numpy().astype(np.int64))
    return Case("sample", [plays.lesson(day, day + 1) for day in (20, 21)], plays.lesson(22, 23))


def _plays(seed: int, times: int) -> Plays:
    """A million listens of `benchmarks.simulate`, from a catalogue so many times as large."""
    world = make_world(LISTENERS, TRACKS * times, DAYS, seed)
    days = [make_day(world, day, LISTENS // DAYS) for day in range(DAYS)]
    users, tracks = (np.concatenate([getattr(day, name) for day in days]) for name in ("user", "track"))
    items = np.unique(tracks, return_inverse=True)[1]  # numbered as an index that grows with what is played
    return Plays(users, items, np.repeat(np.arange(DAYS), LISTENS // DAYS))


def _timed(name: str, plays: Plays) -> Case:
    return Case(name, [plays.lesson(DAYS - 2 * WEEK, DAYS - WEEK)], plays.lesson(DAYS - WEEK, DAYS))


def _simulated(name: str, seed: int, times: int) -> Case:
    return _timed(name, _plays(seed, times))


def with_tail(name: str, plays: Plays, times: int, seed: int) -> Case:
    """So many times as many items, the others each played once by a few listeners before the weeks that are judged.

    Of the added ones a share of k⁻³ / ζ(3) has k listeners, at most 50, drawn by how much they play.
    """
    more = (times - 1) * (int(plays.items.max()) + 1)
    rng = np.random.default_rng([seed, times])
    listeners = np.minimum(rng.zipf(3.0, more), 50)
    items = np.repeat(np.arange(more) + plays.items.max() + 1, listeners)
    early = np.flatnonzero(plays.days < DAYS - 2 * WEEK)
    drawn = plays.users[early[rng.integers(0, len(early), len(items))]]
    days = np.zeros(len(items), np.int64)
    together = (np.concatenate(pair) for pair in ((plays.users, drawn), (plays.items, items), (plays.days, days)))
    return _timed(name, Plays(*together))


def sizes_of(lesson: Lesson) -> Iterator[int]:
    """Listeners, items and pairs that are learned from."""
    train = lesson.task.train
    yield from (len(np.unique(train.users)), len(np.unique(train.items)), len(train))
