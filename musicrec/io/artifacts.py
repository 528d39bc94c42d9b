"""Model files: weights as safetensors, everything else as JSON beside them; never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from musicrec.errors import InputError

_WEIGHTS, _FACTS = "weights.safetensors", "model.json"


def save_model(folder: Path, weights: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write weights and facts; each file is put in place whole, so a reader never sees half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / (_WEIGHTS + ".part")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, partial)
    partial.replace(folder / _WEIGHTS)
    save_facts(folder, facts)


def save_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the facts of a model that has no weights beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / (_FACTS + ".part")
    partial.write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
    partial.replace(folder / _FACTS)


def load_facts(folder: Path) -> dict[str, Any]:
    """What `save_facts` wrote.

    Raises
    ------
    InputError : the file is missing or is not JSON.
    """
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(folder, f"a saved model ({_FACTS})", str(error)) from error
    return dict(facts)


def load_model(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights and facts that `save_model` wrote.

    Raises
    ------
    InputError : a file is missing or is not what it should be.
    """
    try:
        weights = load_file(folder / _WEIGHTS)
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    except (FileNotFoundError, SafetensorError, json.JSONDecodeError) as error:
        raise InputError(folder, f"a saved model ({_WEIGHTS}, {_FACTS})", str(error)) from error
    return weights, facts
