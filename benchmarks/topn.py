"""Top-N lists of all listeners, what they heard left out: musicrec beside MLlib, implicit and the bare matrix product.

    python -m benchmarks.topn --users 36000 --items 50000 --nnz 1700000 --rank 64 --n 50 \
        --engines musicrec,mllib,implicit,sgemm [--repeats 3] [--json FILE]

All use the same factors, fitted by implicit. The Spark engines are timed from factors and interactions as parquet to
lists as parquet, in a session that is up and warm; implicit and sgemm from arrays to arrays in memory. MLlib's
recommendForAllUsers leaves nothing out; sgemm is only `listeners @ items.T` in float32, two thousand listeners at a
time, with no list made of it. With repeats the engines take turns, and a row has the best run. Ends with 1 if
musicrec's lists differ from those that numpy finds by scoring everything.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.sparse import csr_matrix

from benchmarks.measure import Row, benchmark_session, best_of, chosen_engines, print_rows, write_json
from benchmarks.workload import interactions_workload
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.significant import significant
from musicrec.ranking.topn import top_n

Array = NDArray[Any]

# Listeners of the check, and of one bare product; the warm-up takes this share of listeners and items.
_CHECKED, _BATCH, _WARM = 300, 2000, 1 / 8


@dataclass(frozen=True)
class Problem:
    """Factors and what was heard, in memory and as parquet folders under `root` (users, items, pairs)."""

    root: Path
    users: Array
    items: Array
    heard: csr_matrix
    n: int


@click.command()
@click.option("--users", default=36_000, show_default=True)
@click.option("--items", default=50_000, show_default=True)
@click.option("--nnz", default=1_700_000, show_default=True)
@click.option("--rank", default=64, show_default=True)
@click.option("--n", default=50, show_default=True)
@click.option("--engines", default="musicrec,mllib,implicit,sgemm", show_default=True)
@click.option("--repeats", default=3, show_default=True, help="Turns of each engine; the row has its best.")
@click.option("--seed", default=20140616, show_default=True)
@click.option("--driver-memory", default="4g", show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(
    users: int,
    items: int,
    nnz: int,
    rank: int,
    n: int,
    engines: str,
    repeats: int,
    seed: int,
    driver_memory: str,
    json_path: Path | None,
) -> None:
    """Time the engines on one workload and check musicrec's lists."""
    names = chosen_engines(engines, _ENGINES)
    spark = benchmark_session(driver_memory)
    with tempfile.TemporaryDirectory(prefix="musicrec-bench-") as folder:
        problem = make_problem(Path(folder), users, items, nnz, rank, n, seed)
        small = part_of(problem, Path(folder) / "small")
        workload = {"users": users, "items": items, "nnz": nnz, "rank": rank, "n": n}
        rows = [{**row, **workload} for row in time_engines(names, spark, problem, small, repeats)]
        wrong = differing_lists(problem) if "musicrec" in names else []
    for base in ("musicrec", "sgemm"):
        if base in names:
            print_rows(rows, "top-N of all listeners", base)
    write_json(rows, json_path)
    if wrong:
        print(f"musicrec's lists differ from those of all scores: {'; '.join(wrong)}", file=sys.stderr)
        sys.exit(1)


def time_engines(names: list[str], spark: SparkSession, problem: Problem, small: Problem, repeats: int) -> list[Row]:
    """Each engine's best seconds and highest peak of `repeats` runs, after one on the small problem."""
    for name in names:
        _ENGINES[name](spark, small)
    return best_of({name: partial(_ENGINES[name], spark, problem) for name in names}, repeats)


def run_musicrec(spark: SparkSession, problem: Problem) -> None:
    """From parquet to parquet, what was heard left out."""
    tables = {name: spark.read.parquet(str(problem.root / name)) for name in ("users", "items", "pairs")}
    model = EmbeddingModel("factors", tables["users"], tables["items"].withColumn("bias", F.lit(0.0).cast("float")))
    lists = top_n(model, tables["pairs"], problem.n, "discover")
    lists.write.mode("overwrite").parquet(str(problem.root / "lists"))


def run_mllib(spark: SparkSession, problem: Problem) -> None:
    """From parquet to parquet by recommendForAllUsers, which leaves nothing out."""

    def factors(name: str, key: str) -> DataFrame:
        return spark.read.parquet(str(problem.root / name)).select(
            F.col(key).alias("id"), F.col("vector").alias("features")
        )

    users, items = factors("users", "user_idx"), factors("items", "item_idx")
    made_of = ("als", problem.users.shape[1], users._jdf, items._jdf)
    model = spark._jvm.org.apache.spark.ml.recommendation.ALSModel(*made_of)
    model.setUserCol("user_idx").setItemCol("item_idx")
    lists = DataFrame(model.recommendForAllUsers(problem.n), spark)
    lists.write.mode("overwrite").parquet(str(problem.root / "mllib"))


def run_implicit(spark: SparkSession, problem: Problem) -> None:
    """From arrays to arrays, what was heard left out."""
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=problem.users.shape[1])
    model.user_factors, model.item_factors = problem.users, problem.items
    model.recommend(np.arange(len(problem.users)), problem.heard, N=problem.n, filter_already_liked_items=True)


def run_sgemm(spark: SparkSession, problem: Problem) -> None:
    """All scores in float32, and nothing else."""
    room = np.empty((_BATCH, len(problem.items)), np.float32)
    for start in range(0, len(problem.users), _BATCH):
        part = problem.users[start : start + _BATCH]
        np.matmul(part, problem.items.T, out=room[: len(part)])


_ENGINES: dict[str, Callable[[SparkSession, Problem], None]] = {
    "musicrec": run_musicrec,
    "mllib": run_mllib,
    "implicit": run_implicit,
    "sgemm": run_sgemm,
}


def make_problem(root: Path, users: int, items: int, nnz: int, rank: int, n: int, seed: int) -> Problem:
    """The workload and the factors that a few iterations of implicit's ALS find in it."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    user_idx, item_idx, weight = interactions_workload(users, items, nnz, seed)
    heard = csr_matrix((weight, (user_idx, item_idx)), shape=(users, items))
    fit = AlternatingLeastSquares(factors=rank, regularization=0.05, alpha=2.0, iterations=5, random_state=seed % 2**31)
    with threadpool_limits(1, user_api="blas"):  # as implicit asks for
        fit.fit(heard, show_progress=False)
    return save(Problem(root, np.asarray(fit.user_factors), np.asarray(fit.item_factors), heard, n))


def part_of(problem: Problem, root: Path) -> Problem:
    """The first listeners and items, for the warm-up."""
    users, items = (matrix[: max(1, int(len(matrix) * _WARM))] for matrix in (problem.users, problem.items))
    return save(
        Problem(root, users, items, problem.heard[: len(users), : len(items)].tocsr(), min(problem.n, len(items)))
    )


def save(problem: Problem) -> Problem:
    """Write the problem's parquet folders, two files each; the pairs in no order."""
    for name, key, matrix in (("users", "user_idx", problem.users), ("items", "item_idx", problem.items)):
        starts = pa.array(np.arange(0, matrix.size + 1, matrix.shape[1]), pa.int32())
        vectors = pa.ListArray.from_arrays(starts, pa.array(matrix.ravel(), pa.float32()))
        _write(problem.root / name, pa.table({key: pa.array(np.arange(len(matrix)), pa.int32()), "vector": vectors}))
    pairs = problem.heard.tocoo()
    order = np.random.default_rng(0).permutation(pairs.nnz)
    columns = {"user_idx": pairs.row[order].astype(np.int32), "item_idx": pairs.col[order].astype(np.int32)}
    _write(problem.root / "pairs", pa.table(columns))
    return problem


def _write(folder: Path, table: pa.Table) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    half = -(-table.num_rows // 2)
    for part in range(2):
        pq.write_table(table.slice(part * half, half), folder / f"{part}.parquet")


def differing_lists(problem: Problem) -> list[str]:
    """What is wrong with musicrec's lists: against all scores in float64, rounded, for a sample of listeners."""
    lists = pq.read_table(problem.root / "lists").sort_by("user_idx").to_pydict()
    if lists["user_idx"] != list(range(len(problem.users))):
        return [f"lists of {len(lists['user_idx'])} listeners instead of {len(problem.users)}"]
    wrong = []
    sample = np.linspace(0, len(problem.users) - 1, min(_CHECKED, len(problem.users))).astype(int)
    items = problem.items.astype(np.float64)
    for user in np.unique(sample).tolist():
        scores = significant(items @ problem.users[user].astype(np.float64))
        heard = problem.heard[user].indices
        order = np.lexsort((np.arange(len(scores)), -scores))
        best = order[~np.isin(order, heard)][: problem.n]
        if lists["items"][user] != best.tolist() or lists["scores"][user] != scores[best].tolist():
            wrong.append(f"listener {user}")
    short = sum(len(own) != problem.n for own in lists["items"])
    if short and problem.heard.getnnz(axis=1).max() + problem.n <= len(items):
        wrong.append(f"{short} lists are not of length {problem.n}")
    return wrong


if __name__ == "__main__":
    main()
