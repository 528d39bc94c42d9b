"""All metrics at once against pyspark.ml's RankingEvaluator, which is called metric by metric.

    python -m benchmarks.metrics [--listeners 100000] [--length 200] [--json FILE]

Both read the same two parquet tables of array columns: (model, user_idx, items) and (user_idx, relevant, candidates).
Engines, each from parquet to the means of the metrics that both have:

- musicrec: `evaluate_lists`, all means in one pass. It does more than is compared: 9 metrics at each cut-off, auc,
  coverage.
- musicrec_table: `summarise`, the nightly's whole table: all means, coverage, bootstrap intervals of NDCG.
- mllib: a RankingEvaluator a metric and cut-off, each on the joined and cast tables as they are.
- mllib_kept: the same with the joined table kept in memory from the first metric on.

Each engine runs three times on a tenth of the listeners first, for the JVM compiles what it has seen often; then they
take turns, and a row has the best run.

Fails if a mean differs by more than 1e-9.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.evaluation import RankingEvaluator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.measure import Row, benchmark_session, best_of, chosen_engines, print_rows, write_json
from musicrec.evaluation.metrics import ItemFacts, metric_columns
from musicrec.evaluation.one_pass import evaluate_lists
from musicrec.evaluation.summary import EvaluationParams, summarise

KS = (10, 50)
MODEL = "model"
# Ours → MLlib's name; its meanAveragePrecision is ours at the list's length.
SHARED = {
    "precision": "precisionAtK",
    "recall": "recallAtK",
    "ndcg": "ndcgAtK",
    "map": "meanAveragePrecisionAtK",
}
Means = dict[str, float]


@click.command()
@click.option("--listeners", default=100_000, show_default=True)
@click.option("--length", default=200, show_default=True, help="Items in a list.")
@click.option("--items", default=50_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--engines", default="musicrec,musicrec_table,mllib,mllib_kept", show_default=True)
@click.option("--repeats", default=3, show_default=True, help="Turns of each engine; the row has its best.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(
    listeners: int, length: int, items: int, seed: int, engines: str, repeats: int, json_path: Path | None
) -> None:
    """Time each engine on lists of Zipf items; exit with 1 if the means differ."""
    session = benchmark_session()
    all_engines: dict[str, Callable[[SparkSession, Path, int], Means]] = {
        "musicrec": _ours,
        "musicrec_table": _our_table,
        "mllib": lambda spark, folder, width: _mllib(spark, folder, width, keep=False),
        "mllib_kept": lambda spark, folder, width: _mllib(spark, folder, width, keep=True),
    }
    means: dict[str, Means] = {}
    with tempfile.TemporaryDirectory(prefix="musicrec-bench-") as temporary:
        small, large = Path(temporary) / "small", Path(temporary) / "large"
        write_lists(small, max(100, listeners // 10), length, items, seed)
        write_lists(large, listeners, length, items, seed)
        names = chosen_engines(engines, all_engines)
        for name in names:
            for _ in range(3):
                all_engines[name](session, small, length)

        def measure(name: str) -> Row:
            means[name] = all_engines[name](session, large, length)
            return {"listeners": listeners, "length": length, "items": items, "metrics": len(means[name])}

        rows = best_of({name: partial(measure, name) for name in names}, repeats)
    session.stop()
    write_json(rows, json_path)
    print_rows(rows, f"{len(_shared_columns(length))} metrics of {listeners * length:,} rows of lists", "musicrec")
    worst = largest_difference(means)
    print(f"largest difference of a mean: {worst:.1e}")
    if worst > 1e-9:
        sys.exit(1)


def write_lists(folder: Path, listeners: int, length: int, items: int, seed: int) -> None:
    """Lists of distinct Zipf items, and 1 to 60 relevant ones a listener, about a third of them in the list.

    Writes lists.parquet (model, user_idx, items), relevant.parquet (user_idx, relevant, candidates) and items.parquet
    (item_idx, plays, artist_idx).
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    plays = np.maximum(1, 1e6 / (np.arange(items) + 10)).astype(np.int64)
    shares = np.cumsum(plays) / plays.sum()
    lists, relevant = [], []
    for _ in range(listeners):
        listed = _first_distinct(np.searchsorted(shares, rng.random(4 * length)), length, items)
        wanted = rng.integers(1, 61)
        hits = rng.choice(listed, min(length, (wanted + 2) // 3), replace=False)
        more = np.searchsorted(shares, rng.random(wanted - len(hits)))
        lists.append(listed.astype(np.int32))
        relevant.append(np.unique(np.concatenate([hits, more])).astype(np.int32))
    users = pa.array(np.arange(listeners), pa.int32())
    tables = {
        "lists": {"model": pa.array([MODEL] * listeners), "user_idx": users, "items": _column(lists)},
        "relevant": {
            "user_idx": users,
            "relevant": _column(relevant),
            "candidates": pa.array(np.full(listeners, items), pa.int64()),
        },
        "items": {
            "item_idx": pa.array(np.arange(items), pa.int32()),
            "plays": pa.array(plays),
            "artist_idx": pa.array(rng.integers(0, items // 8, items), pa.int32()),
        },
    }
    for name, columns in tables.items():
        # A few row groups, so that a task of Spark's reads no more than its share.
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=max(1, listeners // 16))


def largest_difference(means: dict[str, Means]) -> float:
    """Between any engine's mean and the first engine's of the same metric."""
    first = next(iter(means.values()))
    return max(abs(value - first[name]) for found in means.values() for name, value in found.items())


def _column(lists: list[np.ndarray]) -> pa.ListArray:
    starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])])
    return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), pa.array(np.concatenate(lists), pa.int32()))


def _first_distinct(drawn: np.ndarray, length: int, items: int) -> np.ndarray:
    """`length` items in the order in which they were drawn first; the least popular ones fill up."""
    drawn = np.concatenate([drawn, np.arange(items - 1, items - 1 - length, -1)])
    _, first = np.unique(drawn, return_index=True)
    return drawn[np.sort(first)[:length]]


def _read(session: SparkSession, folder: Path, name: str) -> DataFrame:
    return session.read.parquet(str(folder / f"{name}.parquet"))


def _shared_columns(length: int) -> dict[str, tuple[str, int]]:
    """Our column → MLlib's metric and k."""
    # MLlib's meanAveragePrecision divides by all relevant items, ours by no more than k: the same while |R| ≤ length.
    columns = {f"{ours}_{k}": (theirs, k) for ours, theirs in SHARED.items() for k in (*KS, length)}
    return columns | {f"map_{length}": ("meanAveragePrecision", 0)}


def _ours(session: SparkSession, folder: Path, length: int) -> Means:
    lists, relevant, items = (_read(session, folder, name) for name in ("lists", "relevant", "items"))
    ks = (*KS, length)
    found = evaluate_lists(lists, relevant, ItemFacts.collect(items), ks, ["ndcg_10"], [MODEL])
    means = {name: found.totals[0].mean(place) for place, name in enumerate(metric_columns(ks))}
    return {name: means[name] or 0.0 for name in _shared_columns(length)}


def _our_table(session: SparkSession, folder: Path, length: int) -> Means:
    lists, relevant, items = (_read(session, folder, name) for name in ("lists", "relevant", "items"))
    params = EvaluationParams(ks=(*KS, length), baseline=MODEL)
    rows = summarise(lists, relevant, items, params, 1, models=[MODEL]).collect()
    scores = {f"{row['metric']}_{row['k']}": row["value"] for row in rows}
    return {name: scores[name] for name in _shared_columns(length)}


def _mllib(session: SparkSession, folder: Path, length: int, keep: bool) -> Means:
    joined = _read(session, folder, "lists").join(_read(session, folder, "relevant"), "user_idx")
    rows = joined.select(
        F.col("items").cast("array<double>").alias("prediction"), F.col("relevant").cast("array<double>").alias("label")
    )
    if keep:
        rows = rows.persist()
    means = {}
    for name, (metric, k) in _shared_columns(length).items():
        evaluator = RankingEvaluator(metricName=metric, **({"k": k} if k else {}))
        means[name] = evaluator.evaluate(rows)
    rows.unpersist()
    return means


if __name__ == "__main__":
    main()
