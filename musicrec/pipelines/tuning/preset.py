"""The best trial as a preset: a TOML file that `--preset` puts over the configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def preset_text(values: Mapping[str, Any], comments: Sequence[str]) -> str:
    """The values of dotted keys by section, with comments before them."""
    sections: dict[str, list[str]] = {}
    for key, value in sorted(values.items()):
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(f"{_word(name)} = {_value(value)}")
    blocks = ["\n".join(f"# {line}".rstrip() for line in comments)]
    for section, lines in sorted(sections.items()):
        blocks.append("\n".join([f"[{'.'.join(_word(part) for part in section.split('.'))}]", *lines]))
    return "\n\n".join(blocks) + "\n"


def write_preset(path: Path, text: str) -> None:
    """Put a file in place at once; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _word(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def _value(value: Any) -> str:
    """As TOML writes it: strings, numbers and lists as JSON does."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_word(name)} = {_value(one)}' for name, one in value.items())} }}"
    return json.dumps(value)
