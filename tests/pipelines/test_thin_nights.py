"""Nights with too little to work on: what cannot work is skipped and says why, lists are made of what there is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from musicrec.entry import run_steps
from musicrec.io.tables import Lakehouse
from musicrec.report import print_report
from musicrec.steps import NIGHTLY
from tests.catalogues import write_catalogue
from tests.conftest import ROOT
from tests.dumps import listen, write_spark_dump

SMALL = (
    "recommend.n=3",
    "recommend.depth=20",
    "als.rank=4",
    "als.iterations=2",
    "pca.components=3",
    "lstm.model.dim=4",
    "lstm.training.epochs=1",
    "sequences.length=6",
    "sequences.stride=5",
    "ranker.trees=3",
    "evaluate.bootstrap.resamples=1000",
)
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Night:
    lakehouse: Lakehouse
    overrides: tuple[str, ...]

    def run(self, *more: str, steps: tuple[str, ...] = NIGHTLY, **told: Any) -> None:
        overrides = (*self.overrides, *more)
        run_steps(steps, ROOT / "conf" / "local.toml", told.pop("as_of", None), overrides, False, print_report, **told)

    def rows(self, table: str) -> Rows:
        return DeltaTable(self.lakehouse.location(table)).to_pyarrow_table().to_pylist()

    def ends(self) -> dict[str, tuple[str, str | None]]:
        """Each job's last status and why."""
        runs = sorted(self.rows("ops.runs"), key=lambda row: row["started_at"])
        return {row["job"]: (row["status"], row["error"]) for row in runs}

    def lists(self) -> dict[tuple[str, str], Rows]:
        """By shelf and listener, in order."""
        found: dict[tuple[str, str], Rows] = defaultdict(list)
        for row in sorted(self.rows("gold.recommendations"), key=lambda row: row["rank"]):
            found[row["shelf"], row["user_id"]].append(row)
        return found


def make_night(
    spark: SparkSession, base: Path, listens: Rows, tracks: Rows | None = None, end: str = "2021-08-08"
) -> Night:
    write_spark_dump(base / "dumps" / "full-dump-1", listens, end=end)
    if tracks:
        write_catalogue(base / "tracks", "spotify_songs", tracks)
    root = base / "lakehouse"
    places = (f"lakehouse.root={root}", f"sources.listens={base / 'dumps'}")
    catalogue = f"sources.tracks={base / 'tracks' if tracks else ''}"
    return Night(Lakehouse(spark, str(root)), (*places, catalogue, *SMALL))


ONE = [listen(1, "2021-08-07 12:00:00")]
CASES = {
    "one listener, one track": (ONE, None),
    "one listener, one track, twice": ([*ONE, listen(1, "2021-08-06 12:00:00")], None),
    "two with the same track": ([*ONE, listen(2, "2021-08-07 12:00:00")], None),
    "one listener, three tracks": (
        [listen(1, f"2021-08-0{d} 12:00:00", t) for d, t in ((5, "A"), (6, "B"), (7, "C"))],
        None,
    ),
    "two, a listen each": (
        [listen(1, "2021-08-06 12:00:00", "A"), listen(2, "2021-08-07 12:00:00", "B", artist_name="Other")],
        None,
    ),
    "one artist": (
        [listen(u, f"2021-08-0{d} 12:0{u}:00", f"S{(u + d) % 4}") for u in (1, 2, 3) for d in (4, 5, 6, 7)],
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_explore(spark: SparkSession, tmp_path: Path, name: str, capsys) -> None:
    rows, tracks = CASES[name]
    night = make_night(spark, tmp_path, rows, tracks)
    night.run()
    out = capsys.readouterr()
    with open("/tmp/h/steps/explore.txt", "a") as f:
        print("=====", name, file=f)
        for k, v in night.ends().items():
            print(k, v, file=f)
        for k, v in night.lists().items():
            print(k, [(r["title"], round(r["score"], 4), r["model"], r["reason"]) for r in v], file=f)
        print(out.out[:3000], file=f)
        print([l for l in out.err.splitlines() if "[warn" in l or "error" in l], file=f)
