"""What the nightly prints at its end: its stages, the evaluation, some lists, and where the tables are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import functions as F
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

from musicrec.books import Done
from musicrec.config import Config
from musicrec.io.run_log import OK, UP_TO_DATE
from musicrec.io.tables import Lakehouse
from musicrec.logs import shown_score
from musicrec.schemas import TABLES

_LISTENERS_SHOWN, _ROWS_SHOWN = 3, 10
_WIDTH = 150

# Columns of the evaluation as printed: heading, metric, decimals.
_COLUMNS = (
    ("NDCG", "ndcg", 3),
    ("interval", "ndcg interval", 3),
    ("gain", "ndcg_gain", 3),
    ("interval", "ndcg_gain interval", 3),
    ("recall", "recall", 3),
    ("precision", "precision", 3),
    ("F1", "f1", 3),
    ("MAP", "map", 3),
    ("MRR", "mrr", 3),
    ("hit rate", "hit_rate", 3),
    ("AUC", "auc", 3),
    ("coverage", "coverage", 3),
    ("novelty", "novelty", 2),
    ("diversity", "diversity", 3),
)

Score = tuple[float | None, float | None, float | None]


def print_report(lakehouse: Lakehouse, config: Config, done: Sequence[Done]) -> None:
    """Print everything to standard output."""
    # Square brackets are part of titles and of folders' names, not markup.
    console = Console(width=_WIDTH, highlight=False, soft_wrap=False, markup=False)
    _print_stages(console, done)
    newest = lakehouse.read_or_empty("gold.recommendations").agg(F.max("as_of")).collect()[0][0]
    if lakehouse.exists("gold.evaluation"):
        _print_evaluation(console, lakehouse, newest)
    _print_lists(console, lakehouse, newest)
    _print_where(console, lakehouse)


def _print_stages(console: Console, done: Sequence[Done]) -> None:
    grid = _grid("Stages", "stage")
    for heading in ("rows in", "rows out", "seconds"):
        grid.add_column(heading, justify="right")
    grid.add_column("")
    for step in done:
        stage = step.stage
        note = stage.note if step.status in (OK, UP_TO_DATE) else f"{step.status}: {stage.note}"
        figures = (f"{stage.rows_in:,}", f"{stage.rows_out:,}", f"{step.seconds:.1f}")
        grid.add_row(step.step, *figures, note)
    total = sum(step.seconds for step in done)
    grid.add_row("all", "", "", f"{total:.1f}", "")
    console.print(grid)


def _print_evaluation(console: Console, lakehouse: Lakehouse, day: date) -> None:
    rows = lakehouse.read("gold.evaluation").where(F.col("as_of") == F.lit(day)).collect()
    for shelf in sorted({row.shelf for row in rows}, reverse=True):
        own = [row for row in rows if row.shelf == shelf]
        scores = {(row.model, row.metric, row.k): (row.value, row.low, row.high) for row in own}
        ndcg = {row.model: row.value or 0.0 for row in own if (row.metric, row.k) == ("ndcg", 10)}
        models = sorted({row.model for row in own}, key=lambda model: (-ndcg.get(model, 0.0), model))
        listeners = max((row.listeners for row in own if row.metric == "ndcg"), default=0)
        for k in sorted({row.k for row in own} - {0}):
            tested = f"{listeners:,} listeners, tested from {own[0].split_at:%Y-%m-%d %H:%M} on"
            title = f"Evaluation of {shelf} at {k}: {tested}; 95 % intervals; gain is over popular"
            grid = _grid(title, "model")
            for heading, _, _ in _COLUMNS:
                grid.add_column(heading, justify="right", no_wrap=True)
            for model in models:
                grid.add_row(model, *(_cell(scores, model, metric, k, digits) for _, metric, digits in _COLUMNS))
            console.print(grid)
        console.print(_verdict(scores, models))


def _grid(title: str, *headings: str) -> Grid:
    grid = Grid(title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    for heading in headings:
        grid.add_column(heading, no_wrap=True)
    return grid


def _cell(scores: dict[tuple[str, str, int], Score], model: str, metric: str, k: int, digits: int) -> str:
    name, _, is_interval = metric.partition(" ")
    sign = "+" if name == "ndcg_gain" else ""
    value, low, high = scores.get((model, name, 0 if name == "auc" else k), (None, None, None))
    if is_interval:
        return "" if low is None or high is None else f"{low:{sign}.{digits}f} {high:{sign}.{digits}f}"
    return "" if value is None else f"{value:{sign}.{digits}f}"


def _verdict(scores: dict[tuple[str, str, int], Score], models: Sequence[str]) -> str:
    """By how much the best model beats the most popular, in one line."""
    best = next(model for model in models if model != "popular")
    gain, low, high = scores.get((best, "ndcg_gain", 10), (None, None, None))
    popular = scores.get(("popular", "ndcg", 10), (None, None, None))[0]
    if gain is None or low is None or high is None or not popular:
        return ""
    verb = "beats" if low > 0 else "loses to" if high < 0 else "does not differ surely from"
    return (
        f"  {best} {verb} popular: NDCG@10 {gain:+.4f} (95 % interval {low:+.4f} to {high:+.4f}, paired), "
        f"{gain / popular:+.0%}\n"
    )


def _print_lists(console: Console, lakehouse: Lakehouse, day: date) -> None:
    rows = lakehouse.read_or_empty("gold.recommendations").where(
        (F.col("as_of") == F.lit(day)) & (F.col("shelf") == "discover") & (F.col("rank") <= _ROWS_SHOWN)
    )
    # By hash, so that the shown listeners are any three, and the same three each night.
    users = rows.select("user_id").distinct().orderBy(F.xxhash64("user_id"), "user_id").limit(_LISTENERS_SHOWN)
    for user in users.collect():
        title = f"Listener {user.user_id}: top {_ROWS_SHOWN} of discover, {day}"
        grid = _grid(title, "rank")
        for heading in ("title", "artist", "score", "reason"):
            grid.add_column(heading, justify="right" if heading == "score" else "left")
        for row in rows.where(F.col("user_id") == user.user_id).orderBy("rank").collect():
            grid.add_row(str(row["rank"]), row.title or "", row.artist or "", shown_score(row.score), row.reason)
        console.print(grid)


def _print_where(console: Console, lakehouse: Lakehouse) -> None:
    console.print("Tables", style="bold")
    for name in TABLES:
        if lakehouse.exists(name):
            console.print(f"  {name:<22} {lakehouse.location(name)}", soft_wrap=True)
    table = lakehouse.location("gold.recommendations")
    console.print("\nRead one without Spark", style="bold")
    console.print("  musicrec show USER_ID", soft_wrap=True)
    code = f'from deltalake import DeltaTable; DeltaTable("{table}").to_pandas()'
    console.print(f"  python -c '{code}'", soft_wrap=True)
