"""The `musicrec` command: what an app or a person asks of the tables, without Spark."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import Any

import click
import pyarrow.compute as pc
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

from musicrec.cli.playlist import playlist
from musicrec.cli.similar import similar
from musicrec.config import load_config
from musicrec.entry import ended_with, parse_day
from musicrec.errors import InputError
from musicrec.io.delta_rows import open_table
from musicrec.logs import shown_score, terminal_width
from musicrec.pipelines.fold_in import ListenerLists, read_plays


@click.group()
def main() -> None:
    """A nightly batch music recommender on Spark, Delta Lake and PyTorch."""


main.add_command(playlist)
main.add_command(similar)


@main.command()
@click.argument("user_id")
@click.option("--config", type=click.Path(path_type=Path), default=Path("conf/local.toml"), show_default=True)
@click.option("--root", help="The lakehouse's root, in place of the configuration's.")
@click.option("--shelf", default="discover", show_default=True, help="discover, again or another that is published.")
@click.option("--as-of", help="Day, YYYY-MM-DD; the newest by default.")
@click.option("-n", type=click.IntRange(min=1), default=20, show_default=True, help="At most this many.")
def show(user_id: str, config: Path, root: str | None, shelf: str, as_of: str | None, n: int) -> None:
    """Print the list of the listener USER_ID."""

    def work() -> None:
        rows, day = read_recommendations(root or load_config(config).lakehouse.root, user_id, shelf, as_of)
        title = f"Listener {user_id}, {shelf}, {day}"
        grid = Grid("rank", title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold")
        for heading in ("title", "artist", "score", "model", "reason"):
            grid.add_column(heading)
        for row in rows[:n]:
            score = shown_score(row["score"])
            grid.add_row(str(row["rank"]), row["title"] or "", row["artist"], score, row["model"], row["reason"])
        Console(width=terminal_width(150), highlight=False, markup=False).print(grid)

    ended_with(work)


@main.command("fold-in")
@click.argument("items", nargs=-1, metavar="[ITEM_ID[:PLAYS]]...")
@click.option("--user", help="A listener whose plays silver.interactions has, in place of items.")
@click.option("--config", type=click.Path(path_type=Path), default=Path("conf/local.toml"), show_default=True)
@click.option("--root", help="The lakehouse's root, in place of the configuration's.")
@click.option("-n", type=click.IntRange(min=1), default=20, show_default=True, help="At most this many.")
def fold_in(items: tuple[str, ...], user: str | None, config: Path, root: str | None, n: int) -> None:
    """Print a list for a listener who played the items, without training: ALS's vector for these plays, scored now.

    An ITEM_ID is one of silver.item_index, with colons or without (h:1f..., m:a,b), or an MBID in any of its forms.
    """

    def work() -> None:
        if bool(items) == bool(user):
            raise InputError("musicrec fold-in", "items or --user", "both" if items else "neither")
        settings = load_config(config)
        where, kind = root or settings.lakehouse.root, settings.recommend.item
        began = time.perf_counter()
        lists = ListenerLists(where, kind, settings.interactions.confidence)
        plays = read_plays(where, kind, user) if user else lists.plays_of(items)
        loaded = time.perf_counter()
        offers = lists.recommend(plays, n)
        took = f"loaded in {loaded - began:.2f} s, answered in {(time.perf_counter() - loaded) * 1000:.1f} ms"
        grid = Grid("rank", title=f"Folded in: {len(plays)} items, {took}", box=SIMPLE_HEAD, title_justify="left")
        for heading in ("title", "artist", "score", "item"):
            grid.add_column(heading)
        for offer in offers:
            grid.add_row(str(offer.rank), offer.title or "", offer.artist, shown_score(offer.score), offer.item)
        Console(width=terminal_width(150), highlight=False, markup=False).print(grid)

    ended_with(work)


def read_recommendations(
    root: str, user_id: str, shelf: str, as_of: str | None = None
) -> tuple[list[dict[str, Any]], str]:
    """A listener's list, best first, and its day.

    Raises
    ------
    InputError : no such table, day, listener or shelf.
    """
    table, location = open_table(root, "gold.recommendations"), f"{root}/gold/recommendations"
    days = sorted({str(day) for day in table.to_pyarrow_table(columns=["as_of"])["as_of"].unique().to_pylist()})
    wanted = str(parse_day(as_of)) if as_of else (days[-1] if days else "")
    if wanted not in days:
        raise InputError(f"table gold.recommendations at {location}", f"rows of {wanted or 'any day'}", f"days {days}")
    own = [("as_of", "=", date.fromisoformat(wanted)), ("user_id", "=", user_id)]
    rows = table.to_pyarrow_table(filters=[*own, ("shelf", "=", shelf)])
    if rows.num_rows == 0:
        shelves = sorted(set(table.to_pyarrow_table(columns=["shelf"], filters=own)["shelf"].to_pylist()))
        expected = f"shelf {shelf} of listener {user_id} on {wanted}"
        found = f"the shelves {', '.join(shelves)}" if shelves else "no rows"
        raise InputError(f"table gold.recommendations at {location}", expected, found)
    return rows.take(pc.sort_indices(rows["rank"])).to_pylist(), wanted
