"""What the commands share: where the tables are, and how a grid is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

from musicrec.logs import terminal_width


def with_root(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which lakehouse is read."""
    root = click.option("--root", help="The lakehouse's root, in place of the configuration's.")
    path = click.Path(path_type=Path)
    config = click.option("--config", type=path, default=Path("conf/local.toml"), show_default=True)
    return config(root(command))


def print_grid(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings."""
    grid = Grid(*headings, title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold")
    for row in rows:
        grid.add_row(*row)
    # Square brackets are part of titles, not markup.
    Console(width=terminal_width(150), highlight=False, markup=False).print(grid)


def minutes(duration_ms: int) -> str:
    """A length as one reads it, nothing where it is not known."""
    seconds = round(duration_ms / 1000)
    return f"{seconds // 60}:{seconds % 60:02d}" if seconds else ""
