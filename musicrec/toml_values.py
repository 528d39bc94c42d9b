"""TOML files as nested values: read, laid one over the other, and their keys compared with the known ones."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from musicrec.errors import ConfigError

# What earlier releases called otherwise, or counted in another unit: what to say in its place.
_EARLIER = {
    "als.unobserved_weight": "als.unobserved, which is no weight of a pair but means the same for any number of items",
    "als.alpha": "als.unobserved: weights are counted in their mean, so only what is unobserved has one beside them",
}


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """A TOML file's values.

    Raises
    ------
    ConfigError : no such file, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(path, what, "no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, "TOML", str(error)) from None


def unknown_key(key: str, known: Sequence[str], where: object) -> ConfigError:
    """The error that names the nearest known key, or what took the place of an earlier release's."""
    if key in _EARLIER:
        return ConfigError(where, _EARLIER[key], f"{key}, a key of an earlier release")
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return ConfigError(where, f"a known key (nearest: {near[0]})", f"unknown key {key}")


def check_key(key: str, known: Sequence[str], where: object) -> None:
    """Refuse an unknown dotted key; an entry of a table of weights is a known one.

    Raises
    ------
    ConfigError : it is unknown; the nearest known one is named.
    """
    if key not in known and key.rpartition(".")[0] not in [name for name in known if name.endswith(".weights")]:
        raise unknown_key(key, known, where)


def check_keys(values: Mapping[str, Any], known: Sequence[str], where: object, prefix: str = "") -> None:
    """Refuse unknown keys of nested values, as `check_key` does."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key not in known:
            check_keys(value, known, where, f"{key}.")
        else:
            check_key(key, known, where)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, section by section; where both say something, what is above."""
    found = dict(below)
    for name, value in above.items():
        own = found.get(name)
        found[name] = merged(own, value) if isinstance(own, dict) and isinstance(value, dict) else value
    return found


def toml_value(text: str) -> Any:
    """What a text says as TOML, else the text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def put(values: dict[str, Any], key: Sequence[str], value: Any, where: str) -> None:
    """Set a nested value, in place.

    Raises
    ------
    ConfigError : a part of the key before the last is no section.
    """
    for part in key[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(where, f"a section named {part}", "a value of that name")
    values[key[-1]] = value
