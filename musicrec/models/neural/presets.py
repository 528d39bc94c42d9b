"""Named settings of the LSTM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Embedding of 50, two LSTM layers of 100, a softmax over all items from weights of its own, 60 epochs: the next-track
# network of the tutorials (Keras' defaults otherwise: Adam at 1e-3, batches of 32, nothing that regularises).
PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "paper": {
        "model": {"dim": 50, "hidden": (100, 100), "tied": False, "dropout": 0.0, "loss": {"negatives": 0}},
        "training": {
            "epochs": 60,
            "patience": 60,
            "batch_size": 32,
            "max_windows": 0,
            "learning_rate": 1e-3,
            "weight_decay": 0.0,
            "clip_norm": 0.0,
        },
    },
}


def with_preset(values: Any) -> Any:
    """The settings with what their `preset` says where they say nothing themselves.

    Raises
    ------
    ValueError : there is no such preset.
    """
    if not isinstance(values, Mapping) or not values.get("preset"):
        return values
    name = values["preset"]
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {name}")
    filled = dict(values)
    for section, defaults in PRESETS[name].items():
        given = values.get(section, {})
        filled[section] = {**defaults, **given} if isinstance(given, Mapping) else given
    return filled
