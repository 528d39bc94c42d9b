"""Lists for parts of the day against the same lists without: on real radio and on planted habits.

    python -m benchmarks.context [--listeners 400] [--tracks 1500] [--days 28] [--json FILE]

`stations`: the bundled sample with whole stations as its listeners, since there a listener is a station in one part of
the day. `planted`: `benchmarks.habits_world`, where most tracks belong to a part of the day. The last day is the test,
everything before it trains ALS and the affinities. Judged is each listener in each part of the day in which they
played at least 20 times before: relevant is what they played in that part of the test day, on `discover` new to them,
on `again` not. A listener's figure is the mean over their parts; the gain's interval is paired over listeners.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.habits_world import write_habits
from benchmarks.measure import benchmark_session, print_rows, write_json
from musicrec.entry import ended_with
from musicrec.evaluation.bootstrap import interval, resampled_means
from musicrec.models.als.fit import AlsParams, fit_als
from musicrec.ranking.context import PARTS, ContextParams, context_lists
from musicrec.ranking.topn import Shelf, top_n
from musicrec.transforms.interactions import heard_items

ROOT = Path(__file__).parent.parent
Row = dict[str, object]
_DEPTH, _K = 100, 10
_ALS = {
    "stations": AlsParams(rank=64, iterations=8),
    "planted": AlsParams(rank=64, iterations=8),
}
# (strength, smoothing); the first is the default.
_VARIANTS = ((1.0, 10.0), (0.5, 10.0), (1.0, 50.0), (2.0, 10.0))


@dataclass(frozen=True)
class Listening:
    """Plays of the days before the last, and of the last one: (user_idx, item_idx, artist_idx, listened_at)."""

    before: pd.DataFrame
    test: pd.DataFrame


def read_listening(folder: Path, *, users_a_listener: int = 1) -> Listening:
    """The dumps below a folder; `users_a_listener` neighbouring user ids are one listener."""
    columns = ["user_id", "artist_name", "recording_name", "listened_at"]
    rows = pd.concat([pd.read_parquet(path, columns=columns) for path in sorted(folder.rglob("*.parquet"))])
    rows = rows[(rows["artist_name"] != "") & (rows["recording_name"] != "")]
    title = rows["artist_name"] + "\n" + rows["recording_name"]
    plays = pd.DataFrame(
        {
            "user_idx": pd.factorize(rows["user_id"] // users_a_listener, sort=True)[0].astype(np.int32),
            "item_idx": pd.factorize(title, sort=True)[0].astype(np.int32),
            "artist_idx": pd.factorize(rows["artist_name"], sort=True)[0].astype(np.int32),
            "listened_at": rows["listened_at"],
        }
    )
    last = plays["listened_at"].max().normalize()
    is_before = plays["listened_at"] < last
    return Listening(plays[is_before], plays[~is_before])


def judge(session: SparkSession, name: str, data: Listening, shelf: Shelf) -> list[Row]:
    """A row for the plain list and for each variant."""
    plays = session.createDataFrame(data.before).persist()
    items = plays.select("item_idx", "artist_idx").distinct()
    pairs = plays.groupBy("user_idx", "item_idx").agg(
        F.count("*").alias("plays"), F.max("listened_at").alias("last_listened_at")
    )
    pairs = pairs.withColumn("weight", F.round(F.log1p("plays"), 9)).persist()
    lists = top_n(fit_als(pairs, _ALS[name], 1), heard_items(pairs), _DEPTH, shelf).persist()
    relevant = relevant_in_parts(data, shelf)
    plain = {row.user_idx: np.array(row["items"]) for row in lists.collect()}
    made = {"without": {key: plain[key[0]] for key in relevant}}
    for strength, smoothing in _VARIANTS:
        params = ContextParams(strength=strength, smoothing=smoothing)
        made[f"strength {strength}, smoothing {smoothing:g}"] = collected(context_lists(lists, plays, items, params))
    judged = sorted(key for key in relevant if all(key in lists for lists in made.values()))
    scores = {
        variant: by_listener([(key[0], ndcg(lists[key], relevant[key])) for key in judged])
        for variant, lists in made.items()
    }
    table = np.column_stack(list(scores.values()))
    means = resampled_means(table - table[:, :1], 2000, 1)
    low, high = interval(means, 0.95)
    return [
        {
            "engine": variant,
            "data": name,
            "shelf": shelf,
            "listeners": len(table),
            "parts": len(judged),
            "ndcg_10": float(table[:, v].mean()),
            "gain": float((table[:, v] - table[:, 0]).mean()),
            "low": float(low[v]),
            "high": float(high[v]),
        }
        for v, variant in enumerate(scores)
    ]


def relevant_in_parts(data: Listening, shelf: Shelf) -> dict[tuple[int, int], set[int]]:
    """What each listener played in each part of the test day, by (user_idx, part); new to them, or for `again` not."""
    heard = set(zip(data.before["user_idx"], data.before["item_idx"], strict=True))
    found: dict[tuple[int, int], set[int]] = {}
    known = set(data.before["user_idx"].unique())
    part = data.test["listened_at"].dt.hour // (24 // len(PARTS))
    for user, item, at in zip(data.test["user_idx"], data.test["item_idx"], part, strict=True):
        if user in known and ((user, item) in heard) == (shelf == "again"):
            found.setdefault((int(user), int(at)), set()).add(int(item))
    return found


def collected(lists: DataFrame) -> dict[tuple[int, int], NDArray[np.int64]]:
    """The lists by (user_idx, part)."""
    return {(row.user_idx, row.part): np.array(row["items"]) for row in lists.collect()}


def ndcg(items: NDArray[np.int64], relevant: set[int]) -> float:
    """At 10; Järvelin and Kekäläinen 2002."""
    discount = 1 / np.log2(np.arange(2, _K + 2))
    hits = np.array([item in relevant for item in items[:_K]], dtype=float)
    return float(hits @ discount[: len(hits)] / discount[: min(len(relevant), _K)].sum())


def by_listener(scores: list[tuple[int, float]]) -> NDArray[np.float64]:
    """The mean of each listener's parts, listeners in order."""
    table = pd.DataFrame(scores, columns=["user", "score"])
    return table.groupby("user", sort=True)["score"].mean().to_numpy()


@click.command()
@click.option("--listeners", default=400, show_default=True)
@click.option("--tracks", default=1500, show_default=True)
@click.option("--days", default=28, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(listeners: int, tracks: int, days: int, json_path: Path | None) -> None:
    """Measure lists for parts of the day."""

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_habits(Path(folder) / "planted", listeners, tracks, days, 1)
            sets = {
                "stations": read_listening(ROOT / "data" / "sample" / "listenbrainz", users_a_listener=10),
                "planted": read_listening(Path(folder) / "planted"),
            }
        session = benchmark_session()
        shelves: tuple[Shelf, ...] = ("discover", "again")
        rows = [row for name, data in sets.items() for shelf in shelves for row in judge(session, name, data, shelf)]
        session.stop()
        write_json(rows, json_path)
        print_rows(rows, "NDCG@10 in a part of the day, with its gain over the same list without context")

    ended_with(work)


if __name__ == "__main__":
    main()
