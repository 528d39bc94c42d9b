"""The scaler of track features as a file, so that what was fitted on one side can be applied on another."""

from __future__ import annotations

from pathlib import Path

import torch

from musicrec.errors import InputError
from musicrec.io.artifacts import load_model, save_model
from musicrec.transforms.feature_scaler import COLUMNS, FeatureScaler, GroupWeights
from musicrec.transforms.feature_text import TermSpace

_ARRAYS = ("medians", "means", "stds")


def save_scaler(folder: Path, scaler: FeatureScaler) -> None:
    """Write the scaler as safetensors and JSON."""
    tensors = {name: torch.from_numpy(getattr(scaler, name)) for name in _ARRAYS}
    tensors |= {"idf": torch.from_numpy(scaler.terms.idf), "components": torch.from_numpy(scaler.terms.components)}
    facts = {"columns": scaler.columns, "terms": scaler.terms.terms, "weights": scaler.weights.model_dump()}
    save_model(folder, tensors, facts)


def load_scaler(folder: Path) -> FeatureScaler:
    """The scaler that `save_scaler` wrote.

    Raises
    ------
    InputError : there is none, or it was fitted on other features than today's.
    """
    tensors, facts = load_model(folder)
    columns = tuple(facts.get("columns", ()))
    if columns != COLUMNS:
        raise InputError(folder, f"a scaler of the features {', '.join(COLUMNS)}", ", ".join(columns) or "none")
    try:
        arrays = {name: tensors[name].numpy() for name in (*_ARRAYS, "idf", "components")}
        weights = GroupWeights.model_validate(facts["weights"])
        terms = TermSpace(tuple(facts["terms"]), arrays["idf"], arrays["components"])
    except (KeyError, ValueError) as error:
        raise InputError(folder, "a whole scaler", f"one without {error}") from error
    return FeatureScaler(columns, arrays["medians"], arrays["means"], arrays["stds"], terms, weights)
