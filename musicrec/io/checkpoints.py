"""Checkpoints of a training run: a folder each, of safetensors and JSON, in which the newest counts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicrec.io.artifacts import load_model, save_model

_PREFIX = "checkpoint-"


@dataclass(frozen=True)
class FolderStore:
    """The checkpoints under one folder. A new one is put in place whole, then the older ones are removed.

    Attributes
    ----------
    folder : of this run alone.
    """

    folder: Path

    def save(self, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
        """Keep a checkpoint. Killed at any point, the folder still holds a whole one, if it held one before."""
        older = self._found()
        number = int(older[-1].name.removeprefix(_PREFIX)) + 1 if older else 0
        partial = self.folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        save_model(partial, tensors, facts)
        partial.rename(self.folder / f"{_PREFIX}{number:08d}")
        for folder in older:
            shutil.rmtree(folder)

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The newest checkpoint; None where there is none.

        Raises
        ------
        InputError : a file of it is missing or damaged.
        """
        found = self._found()
        return load_model(found[-1]) if found else None

    def clear(self) -> None:
        """Forget the run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob(f"{_PREFIX}*"))
