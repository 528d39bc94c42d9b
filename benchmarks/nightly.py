"""Time the nightly's stages, on a configuration's sources or on synthetic listening of any size.

    python -m benchmarks.nightly [--config conf/local.toml] [--json FILE]
    python -m benchmarks.nightly --listens 10000000 [--listeners N] [--tracks N] [--nights 1] [--limit SECONDS]
        [--work FOLDER] [--json FILE]

Without `--listens`: the configuration's sources twice; the second night finds nothing new. With it: a first night on a
full dump of so many listens, then the night after an increment of a hundredth of them. Prints the stages and their sum,
and with `--limit` whether each night's sum is below it, which the exit code says too. Writes one object a night:
`engine`, `night`, `seconds` of the whole command, `peak_mb` of its process tree, `listens`, `listeners`, `tracks` (null
for a configuration's own sources), `recordings` (that were played), `stages` (seconds by name), `sum` of them and
`rows` (out, by name).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from deltalake import DeltaTable
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

from benchmarks.measure import measured, write_json
from benchmarks.simulate import simulate

ROOT = Path(__file__).parent.parent
Row = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """What is taken in on each night, by its name, and how much it is (None: whatever the configuration names)."""

    nights: tuple[tuple[str, tuple[str, ...]], ...]
    listens: int | None = None
    listeners: int | None = None
    tracks: int | None = None


@click.command()
@click.option("--config", help="conf/local.toml by default, conf/large.toml with --listens.")
@click.option("--listens", type=click.IntRange(min=100), help="Simulate so many.")
@click.option("--listeners", type=click.IntRange(min=1), help="A hundredth of the listens by default.")
@click.option("--tracks", type=click.IntRange(min=100), help="A fiftieth of the listens by default.")
@click.option("--seed", default=1, show_default=True)
@click.option("--nights", "count", default=2, show_default=True, type=click.IntRange(1, 2), help="The first, or both.")
@click.option("--limit", type=click.FloatRange(min=0, min_open=True), help="Seconds that a night's stages may take.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the configuration.")
@click.option("--work", type=click.Path(path_type=Path), help="Keep the data and the tables here.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(
    config: str | None,
    listens: int | None,
    listeners: int | None,
    tracks: int | None,
    seed: int,
    count: int,
    limit: float | None,
    overrides: tuple[str, ...],
    work: Path | None,
    json_path: Path | None,
) -> None:
    """Run the nightly twice, or once, and show where the time goes."""
    with tempfile.TemporaryDirectory(prefix="musicrec-bench-") as temporary:
        folder = work or Path(temporary)
        if listens:
            listeners, tracks = listeners or max(listens // 100, 10), tracks or max(listens // 50, 100)
            workload = simulated(folder / "data", listens, listeners, tracks, seed)
        else:
            workload = Workload((("first", ()), ("second", ())))
        chosen = config or ("conf/large.toml" if listens else "conf/local.toml")
        rows = list(nights(workload, chosen, overrides, folder / "lakehouse", count))
    show(rows)
    write_json(rows, json_path)
    if limit is not None and not are_below(rows, limit):
        sys.exit(1)


def simulated(folder: Path, listens: int, listeners: int, tracks: int, seed: int) -> Workload:
    """A full dump, and one increment for the second night; data that is there already is taken as it is."""
    if not folder.exists():
        simulate(folder, listens, listeners, tracks, 1, seed)
    full, increment = (folder / "listenbrainz" / f"synthetic-{n}" for n in ("full-dump-1", "incremental-dump-2"))
    catalogue = f"sources.tracks={folder / 'synthetic_tracks.csv'}"
    first = ("first", (f"sources.listens={full}", catalogue))
    return Workload(
        (first, ("increment", (f"sources.listens={full},{increment}", catalogue))), listens, listeners, tracks
    )


def nights(
    workload: Workload, config: str, overrides: Sequence[str], root: Path, count: int | None = None
) -> Iterator[Row]:
    """Run the first `count` nights, each in a process of its own; its stages come from ops.runs."""
    for night, sources in workload.nights[:count]:
        settings = [f"lakehouse.root={root}", *sources, *overrides]
        command = [sys.executable, "jobs/nightly.py", "--config", config]
        command += [part for setting in settings for part in ("--set", setting)]

        def run(command: list[str] = command) -> None:
            done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
            if done.returncode:
                sys.exit(done.returncode)

        _, seconds, peak_mb = measured(f"nightly, {night} night", run)
        runs = DeltaTable(str(root / "ops" / "runs")).to_pyarrow_table().to_pylist()
        newest = max(run["run_id"] for run in runs)
        stages = sorted((r for r in runs if r["run_id"] == newest), key=lambda r: r["started_at"])
        taken = {r["job"]: (r["ended_at"] - r["started_at"]).total_seconds() for r in stages}
        recordings = DeltaTable(str(root / "silver" / "recordings")).to_pyarrow_dataset().count_rows()
        yield {
            "engine": "musicrec",
            "night": night,
            "seconds": seconds,
            "peak_mb": peak_mb,
            "listens": workload.listens,
            "listeners": workload.listeners,
            "tracks": workload.tracks,
            "recordings": recordings,
            "stages": taken,
            "sum": sum(taken.values()),
            "rows": {r["job"]: r["rows_out"] for r in stages},
        }


def show(rows: Sequence[Row]) -> None:
    """Print a column a night."""
    grid = Grid("stage", title="Seconds by stage", box=SIMPLE_HEAD)
    for row in rows:
        grid.add_column(f"{row['night']} night", justify="right")
        grid.add_column("rows out", justify="right")
    stages = list(dict.fromkeys(stage for row in rows for stage in row["stages"]))
    for stage in stages:
        cells = [(row["stages"].get(stage), row["rows"].get(stage)) for row in rows]
        grid.add_row(stage, *(text for s, n in cells for text in ("" if s is None else f"{s:.1f}", f"{n or 0:,}")))
    grid.add_row("sum", *(text for row in rows for text in (f"{row['sum']:.1f}", "")))
    grid.add_row("whole command", *(text for row in rows for text in (f"{row['seconds']:.1f}", "")))
    grid.add_row("peak MB", *(text for row in rows for text in (f"{row['peak_mb']:,.0f}", "")))
    grid.add_row("recordings", *(text for row in rows for text in ("", f"{row['recordings']:,}")))
    Console(width=100).print(grid)


def are_below(rows: Sequence[Row], limit: float) -> bool:
    """Print how each night's sum stands to the limit; whether all are below it."""
    for row in rows:
        verdict = "below" if row["sum"] < limit else "NOT below"
        click.echo(f"{row['night']} night: {row['sum']:.1f} s, {verdict} {limit:g} s")
    return all(row["sum"] < limit for row in rows)


if __name__ == "__main__":
    main()
