"""The trials of a study as files: Optuna's journal, and each trial's figure of every judged listener."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial

from musicrec.errors import InputError

_NAME = "study"


@dataclass(frozen=True)
class Scores:
    """A figure of each judged listener.

    Attributes
    ----------
    users : user_idx, ascending [listeners].
    values : [listeners].
    """

    users: NDArray[np.int64]
    values: NDArray[np.float64]


class StudyLog:
    """What is known of the study with these facts; a study with other facts has a folder of its own.

    A trial is added once it is finished and never changed, so a run that was killed leaves whole trials only.

    Parameters
    ----------
    root : folder of a model's studies.
    facts : all that decides what the trials are and what they give, as JSON.
    """

    def __init__(self, root: Path, facts: Mapping[str, Any]) -> None:
        text = json.dumps(facts, sort_keys=True)
        self.name = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.others = _others(root, self.name)
        self.folder = root / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "facts.json").exists():
            _write(self.folder / "facts.json", json.dumps(facts, sort_keys=True, indent=1).encode())
        self._study = self._open()

    def _open(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path = self.folder / "journal.log"
        if path.exists():
            _drop_unfinished_line(path)
        # A lock that every file system has: links are not to be had on all of them.
        storage = JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
        try:
            return optuna.load_study(storage=storage, study_name=_NAME)
        except KeyError:  # it is not there yet
            return optuna.create_study(storage=storage, study_name=_NAME, direction="maximize")

    def trials(self) -> dict[int, FrozenTrial]:
        """The finished trials by their number."""
        return {int(trial.user_attrs["number"]): trial for trial in self._study.get_trials(deepcopy=False)}

    def add(self, trial: FrozenTrial, scores: Scores | None) -> None:
        """Keep a finished trial; its number is its user attribute `number`.

        Raises
        ------
        InputError : another process has added that number since.
        """
        number = int(trial.user_attrs["number"])
        if number in self.trials():
            raise InputError(f"study {self.folder}", "one process that adds to it", f"trial {number} of another one")
        if scores is not None:
            part = self.folder / f"scores-{number}.part.npz"
            np.savez(part, users=scores.users, values=scores.values)
            part.replace(self.folder / f"scores-{number}.npz")
        self._study.add_trial(trial)

    def scores(self, number: int) -> Scores:
        """What a trial gave."""
        with np.load(self.folder / f"scores-{number}.npz", allow_pickle=False) as found:
            return Scores(found["users"], found["values"])

    def clear(self) -> None:
        """Forget all trials."""
        facts = (self.folder / "facts.json").read_bytes()
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        _write(self.folder / "facts.json", facts)
        self._study = self._open()

    def differences(self, facts: Mapping[str, Any]) -> tuple[str, list[str]] | None:
        """The newest other study and the names of the facts in which it differs; None where there is no other."""
        if not self.others:
            return None
        newest = max(self.others, key=lambda folder: ((folder / "facts.json").stat().st_mtime, folder.name))
        before = json.loads((newest / "facts.json").read_text(encoding="utf-8"))
        return newest.name, sorted(key for key in {*before, *facts} if before.get(key) != facts.get(key))


def _others(root: Path, name: str) -> list[Path]:
    return [path.parent for path in sorted(root.glob("*/facts.json")) if path.parent.name != name]


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def _drop_unfinished_line(path: Path) -> None:
    """What a killed process began to write: the next line would stand behind it, and neither could be read."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with open(path, "r+b") as file:
            file.truncate(whole)
