"""Time the nightly's stages on a configuration's sources, in a lakehouse of its own that is removed afterwards.

    python -m benchmarks.nightly [--config conf/local.toml] [--json FILE]

Prints, and writes as a list of objects, `night` (first: everything is new; second: nothing is), `stage`, `seconds`,
`rows_in`, `rows_out`; the stage `all` has the whole command's seconds and `peak_mb` of its memory.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from deltalake import DeltaTable
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

ROOT = Path(__file__).parent.parent
Row = dict[str, Any]


@click.command()
@click.option("--config", default="conf/local.toml", show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(config: str, json_path: Path | None) -> None:
    """Run the nightly twice and show where the time goes."""
    with tempfile.TemporaryDirectory(prefix="musicrec-bench-") as folder:
        rows = [row for night in ("first", "second") for row in measure(night, config, Path(folder) / "lakehouse")]
    grid = Grid("night", "stage", title=f"{os.cpu_count()} cores", box=SIMPLE_HEAD)
    for heading in ("seconds", "rows in", "rows out"):
        grid.add_column(heading, justify="right")
    for row in rows:
        counts = (f"{row[name]:,}" if name in row else "" for name in ("rows_in", "rows_out"))
        grid.add_row(row["night"], row["stage"], f"{row['seconds']:.1f}", *counts)
    Console(width=100).print(grid)
    if json_path:
        json_path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measure(night: str, config: str, root: Path) -> list[Row]:
    """Run the nightly once; the stages that ran come from ops.runs."""
    command = [sys.executable, "jobs/nightly.py", "--config", config, "--set", f"lakehouse.root={root}"]
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    runs = DeltaTable(str(root / "ops" / "runs")).to_pyarrow_table().to_pylist()
    newest = max(run["run_id"] for run in runs)
    rows = [
        {
            "night": night,
            "stage": run["job"],
            "seconds": (run["ended_at"] - run["started_at"]).total_seconds(),
            "rows_in": run["rows_in"],
            "rows_out": run["rows_out"],
        }
        for run in sorted(runs, key=lambda run: run["started_at"])
        if run["run_id"] == newest
    ]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return [*rows, {"night": night, "stage": "all", "seconds": seconds, "peak_mb": peak}]


if __name__ == "__main__":
    main()
