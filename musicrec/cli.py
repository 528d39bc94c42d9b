"""The `musicrec` command: what an app or a person asks of the tables, without Spark."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import click
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

from musicrec.config import load_config
from musicrec.entry import ended_with, parse_day
from musicrec.errors import InputError, TableMissingError
from musicrec.logs import terminal_width


@click.group()
def main() -> None:
    """A nightly batch music recommender on Spark, Delta Lake and PyTorch."""


@main.command()
@click.argument("user_id")
@click.option("--config", type=click.Path(path_type=Path), default=Path("conf/local.toml"), show_default=True)
@click.option("--root", help="The lakehouse's root, in place of the configuration's.")
@click.option("--shelf", type=click.Choice(["discover", "again"]), default="discover", show_default=True)
@click.option("--as-of", help="Day, YYYY-MM-DD; the newest by default.")
@click.option("-n", type=click.IntRange(min=1), default=20, show_default=True, help="At most this many.")
def show(user_id: str, config: Path, root: str | None, shelf: str, as_of: str | None, n: int) -> None:
    """Print the list of the listener USER_ID."""

    def work() -> None:
        location = f"{root or load_config(config).lakehouse.root}/gold/recommendations"
        rows, day = read_recommendations(location, user_id, shelf, as_of)
        title = f"Listener {user_id}, {shelf}, {day}"
        grid = Grid("rank", title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold")
        for heading in ("title", "artist", "score", "model", "reason"):
            grid.add_column(heading)
        for row in rows[:n]:
            score = f"{row['score']:.4f}"
            grid.add_row(str(row["rank"]), row["title"] or "", row["artist"], score, row["model"], row["reason"])
        Console(width=terminal_width(150), highlight=False).print(grid)

    ended_with(work)


def read_recommendations(
    location: str, user_id: str, shelf: str, as_of: str | None = None
) -> tuple[list[dict[str, Any]], str]:
    """A listener's list, best first, and its day.

    Raises
    ------
    InputError : no such table, day or listener.
    """
    try:
        table = DeltaTable(location)
    except TableNotFoundError:
        raise TableMissingError("gold.recommendations", location, "jobs/nightly.py") from None
    days = sorted({str(day) for day in table.to_pyarrow_table(columns=["as_of"])["as_of"].unique().to_pylist()})
    wanted = str(parse_day(as_of)) if as_of else (days[-1] if days else "")
    if wanted not in days:
        raise InputError(f"table gold.recommendations at {location}", f"rows of {wanted or 'any day'}", f"days {days}")
    wanted_rows = [("as_of", "=", date.fromisoformat(wanted)), ("user_id", "=", user_id), ("shelf", "=", shelf)]
    rows = table.to_pyarrow_table(filters=wanted_rows)
    if rows.num_rows == 0:
        raise InputError(
            f"table gold.recommendations at {location}", f"shelf {shelf} of listener {user_id} on {wanted}", "no rows"
        )
    return rows.take(pc.sort_indices(rows["rank"])).to_pylist(), wanted
