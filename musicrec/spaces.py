"""A model's search space from its TOML file, checked against the configuration before anything is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from musicrec.config import Config, known_keys, with_values
from musicrec.errors import ConfigError
from musicrec.pipelines.tuning.space import Range, Space
from musicrec.toml_values import check_key, read_toml, unknown_key


def read_space(path: Path, config: Config, sections: Sequence[str]) -> Space:
    """The space that a file describes: sections and keys as in the configuration, each with a list of values or a
    table `{ low, high, log, step, points }`.

    Parameters
    ----------
    config : whose keys may be named; each value is checked as its own would be.
    sections : which of them decide this model.

    Raises
    ------
    ConfigError : no such file, an unknown key (the nearest known one is named), a key of another section, an empty list
        or range, or a value that the configuration refuses.
    """
    known = list(known_keys())
    dimensions: dict[str, Range | tuple[Any, ...]] = {}
    for key, value in _entries(read_toml(path, "a search space"), known):
        check_key(key, known, path)
        if not any(f"{key}.".startswith(f"{section}.") for section in sections):
            raise ConfigError(f"{path}: {key}", f"a key of {' or '.join(sections)}", "another section's")
        dimensions[key] = _dimension(key, value, path)
    if not dimensions:
        raise ConfigError(path, "a key to try values of", "none")
    space = Space(dimensions)
    for key, own in space.dimensions.items():
        for value in (own.low, own.high) if isinstance(own, Range) else own:
            _check_value(config, key, value, path)
    return space


def check_grid(space: Space, path: Path) -> None:
    """Refuse a space that a grid cannot be made of.

    Raises
    ------
    ConfigError : a range says neither a step nor a number of points.
    """
    try:
        space.grid()
    except ValueError as error:
        raise ConfigError(f"{path}: {error}", "step or points, for a grid", "neither") from None


def _entries(values: Mapping[str, Any], known: Sequence[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each dotted key with what the file says of it."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        is_weights = key in known and key.endswith(".weights")
        is_section = is_weights or any(one.startswith(f"{key}.") for one in known)
        if is_section and isinstance(value, dict):
            yield from _entries(value, known, f"{key}.")
        else:
            yield key, value


def _dimension(key: str, value: Any, path: Path) -> Range | tuple[Any, ...]:
    if isinstance(value, list):
        if not value:
            raise ConfigError(f"{path}: {key}", "at least one value", "an empty list")
        return tuple(value)
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: {key}", "a list of values or a table with low and high", repr(value))
    try:
        return Range.model_validate(value)
    except ValidationError as error:
        # An unknown name first: it is why another one is missing.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        name = ".".join(str(part) for part in first["loc"][:1])
        if first["type"] == "extra_forbidden":
            raise unknown_key(name, list(Range.model_fields), f"{path}: {key}") from None
        found = "nothing" if first["type"] == "missing" else repr(first["input"])
        raise ConfigError(f"{path}: {key}.{name}".rstrip("."), first["msg"], found) from None


def _check_value(config: Config, key: str, value: Any, path: Path) -> None:
    try:
        with_values(config, {key: value}, str(path))
    except ConfigError as error:
        # What is wrong only beside the other current values may be right beside other ones of the space.
        if error.where == f"{path}: {key}":
            raise
