"""Fit implicit ALS: musicrec beside MLlib and implicit.

    python -m benchmarks.als --users 36000 --items 50000 --nnz 1700000 --rank 64 --iterations 10 \
        --engines musicrec,mllib,implicit [--repeats 3] [--warm] [--json FILE]

Every engine is timed from the interactions as parquet to the factors as parquet, in a session that is up and warm (each
fits a small matrix first). All have the same confidence 1 + 2 w; musicrec and implicit the same penalty, and the column
`loss` is computed here, for every engine alike, by the formula of that objective. MLlib scales its penalty by the
number of interactions; its one is set so that all penalties together are as large. `--warm` adds what two iterations
from earlier factors reach after 1 % more pairs, beside ten cold ones. Ends with 1 if musicrec's loss is not the one
that it reports, or worse than implicit's, or worse warm than cold.

The large run: --users 5000000 --items 200000 --nnz 50000000 --rank 32 --driver-memory 2g --engines musicrec
"""

from __future__ import annotations

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

from benchmarks.measure import (
    Row,
    benchmark_session,
    best_of,
    chosen_engines,
    measured,
    print_rows,
    process_peaks,
    write_json,
)
from benchmarks.workload import write_workload_apart
from musicrec.logs import make_logger
from musicrec.models.als.fit import AlsParams, fit_als
from musicrec.models.als.scale import Scale
from musicrec.models.collective import Collective
from musicrec.models.embedding import collect_items

ALPHA, PENALTY = 2.0, 5.0
_WARM_UP = (3600, 5000, 100_000)
# Pairs up to which the loss is computed again here; beyond, the one that musicrec reports stands.
_CHECKED_PAIRS = 20_000_000
# How far a reported loss may be from the formula's, and above the peer's: float32 and other random beginnings.
_SAME, _NO_WORSE = 1e-3, 1.002


@dataclass(frozen=True)
class Problem:
    """Interactions as parquet in `root`/pairs, and their scale; every engine writes `root`/NAME-users and -items."""

    root: Path
    scale: Scale
    users: int
    items: int
    rank: int
    iterations: int

    @property
    def params(self) -> AlsParams:
        """Musicrec's settings of the common objective; its own is that times `unit`."""
        full = AlsParams(unobserved=1.0).unobserved_weight(self.scale)
        return AlsParams(
            engine="blocked",
            rank=self.rank,
            iterations=self.iterations,
            warm_iterations=2,
            regularization=PENALTY,
            regularization_exponent=0,
            unobserved=self.unit / full,
        )

    @property
    def unit(self) -> float:
        """The weight of an unobserved pair, in mean weights of an interaction."""
        return 1 / (ALPHA * self.scale.mean_weight)

    def pairs(self) -> csr_matrix:
        """The weights [users × items]."""
        table = pq.read_table(self.root / "pairs")
        entries = table["weight"].to_numpy(), (table["user_idx"].to_numpy(), table["item_idx"].to_numpy())
        return csr_matrix(entries, shape=(self.users, self.items))


@click.command()
@click.option("--users", default=36_000, show_default=True)
@click.option("--items", default=50_000, show_default=True)
@click.option("--nnz", default=1_700_000, show_default=True)
@click.option("--rank", default=64, show_default=True)
@click.option("--iterations", default=10, show_default=True)
@click.option("--engines", default="musicrec,mllib,implicit", show_default=True)
@click.option("--repeats", default=2, show_default=True, help="Turns of each engine; the row has its best.")
@click.option("--warm", is_flag=True, help="Also start from earlier factors after 1 % more pairs.")
@click.option("--seed", default=20140616, show_default=True)
@click.option("--driver-memory", default="4g", show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(
    users: int,
    items: int,
    nnz: int,
    rank: int,
    iterations: int,
    engines: str,
    repeats: int,
    warm: bool,
    seed: int,
    driver_memory: str,
    json_path: Path | None,
) -> None:
    """Time the engines on one workload and compare their losses."""
    names = chosen_engines(engines, _ENGINES)
    with tempfile.TemporaryDirectory(prefix="musicrec-bench-") as folder:
        problem = make_problem(Path(folder) / "all", users, items, nnz, rank, iterations, seed)
        small = make_problem(Path(folder) / "small", *_WARM_UP, rank, 1, seed)
        spark = benchmark_session(driver_memory)
        rows = time_engines(names, spark, problem, small, repeats, seed)
        if "musicrec" in names:
            print("peak of each process, MB:", process_peaks(), file=sys.stderr)
        wrong = add_losses(rows, problem, nnz)
        if warm:
            added, worse = warm_rows(spark, problem, seed)
            rows, wrong = rows + added, wrong + worse
    workload = {"users": users, "items": items, "nnz": nnz, "rank": rank, "iterations": iterations}
    rows = [{**workload, **row} for row in rows]
    print_rows([{"engine": row["engine"], **row} for row in rows], "implicit ALS", "musicrec")
    write_json(rows, json_path)
    if wrong:
        print("; ".join(wrong), file=sys.stderr)
        sys.exit(1)


def make_problem(root: Path, users: int, items: int, nnz: int, rank: int, iterations: int, seed: int) -> Problem:
    """Write the pairs, in no order."""
    write_workload_apart(root / "pairs", users, items, nnz, seed)
    return Problem(root, _scale_of(root / "pairs"), users, items, rank, iterations)


def _scale_of(pairs: Path) -> Scale:
    """A column at a time, since there may be fifty million rows."""
    items = np.bincount(pq.read_table(pairs, columns=["item_idx"])["item_idx"].to_numpy())
    listeners = np.count_nonzero(np.bincount(pq.read_table(pairs, columns=["user_idx"])["user_idx"].to_numpy()))
    weights = pq.read_table(pairs, columns=["weight"])["weight"].to_numpy().astype(np.float32)
    return Scale.of(Collective(0, 1, None), weights, items, int(listeners))


def time_engines(
    names: list[str], spark: SparkSession, problem: Problem, small: Problem, repeats: int, seed: int
) -> list[Row]:
    """Each engine's best of `repeats` runs, after one on the small problem."""
    for name in names:
        _ENGINES[name](spark, small, seed)
    return best_of({name: partial(_ENGINES[name], spark, problem, seed) for name in names}, repeats)


def run_musicrec(spark: SparkSession, problem: Problem, seed: int) -> Row:
    """Blocked ALS; its figures are what the fit reports."""
    log = make_logger("benchmark") if problem.users > 1_000_000 else None
    model = fit_als(spark.read.parquet(str(problem.root / "pairs")), problem.params, seed, log=log)
    _save(problem, "musicrec", model.user_vectors, model.item_vectors)
    model.release()
    figures = model.figures
    each = (figures["seconds_listeners"] + figures["seconds_items"]) / figures["iterations"]
    return {"reported_loss": figures["loss"] / problem.unit, "seconds_per_iteration": each}


def run_mllib(spark: SparkSession, problem: Problem, seed: int) -> Row:
    """MLlib's ALS with its own penalty, all of them together as large."""
    from pyspark.ml.recommendation import ALS

    pairs = spark.read.parquet(str(problem.root / "pairs"))
    each = PENALTY * (problem.users + problem.items) / (2 * pairs.count())
    engine = ALS(
        rank=problem.rank,
        maxIter=problem.iterations,
        regParam=each,
        alpha=ALPHA,
        implicitPrefs=True,
        userCol="user_idx",
        itemCol="item_idx",
        ratingCol="weight",
        seed=seed,
    )
    model = engine.fit(pairs)
    renamed = {"id": "user_idx", "features": "vector"}
    users = model.userFactors.withColumnsRenamed(renamed)
    items = model.itemFactors.withColumnsRenamed({**renamed, "id": "item_idx"})
    _save(problem, "mllib", users, items)
    return {}


def run_implicit(spark: SparkSession, problem: Problem, seed: int) -> Row:
    """The native library, with as many threads as Spark has tasks."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    confidence = problem.pairs()
    confidence.data = 1 + ALPHA * confidence.data
    with threadpool_limits(1, user_api="blas"):  # as implicit asks for
        fit = AlternatingLeastSquares(
            factors=problem.rank,
            regularization=PENALTY,
            iterations=problem.iterations,
            num_threads=spark.sparkContext.defaultParallelism,
            random_state=seed % 2**31,
        )
        fit.fit(confidence, show_progress=False)
    for side, key, vectors in (("users", "user_idx", fit.user_factors), ("items", "item_idx", fit.item_factors)):
        starts = pa.array(np.arange(0, vectors.size + 1, vectors.shape[1]), pa.int32())
        lists = pa.ListArray.from_arrays(starts, pa.array(vectors.ravel(), pa.float32()))
        table = pa.table({key: pa.array(np.arange(len(vectors)), pa.int32()), "vector": lists})
        pq.write_table(table, problem.root / f"implicit-{side}")
    return {}


_ENGINES: dict[str, Callable[[SparkSession, Problem, int], Row]] = {
    "musicrec": run_musicrec,
    "mllib": run_mllib,
    "implicit": run_implicit,
}


def _save(problem: Problem, name: str, users: DataFrame, items: DataFrame) -> None:
    for side, vectors in (("users", users), ("items", items)):
        # Hardly a number comes twice in vectors: a dictionary of them is built and thrown away.
        writer = vectors.write.mode("overwrite").option("parquet.enable.dictionary", "false")
        writer.parquet(str(problem.root / f"{name}-{side}"))


def add_losses(rows: list[Row], problem: Problem, nnz: int) -> list[str]:
    """Put the loss of the common objective into the rows; what is wrong with it."""
    if nnz > _CHECKED_PAIRS:
        for row in rows:
            row["loss"] = row.pop("reported_loss", None)
        return []
    pairs, wrong = problem.pairs(), []
    for row in rows:
        row["loss"] = loss_of(problem, row["engine"], pairs)
        reported = row.pop("reported_loss", row["loss"])
        if abs(reported / row["loss"] - 1) > _SAME:
            wrong.append(f"{row['engine']} reports a loss of {reported:,.0f}, the formula gives {row['loss']:,.0f}")
    losses = {row["engine"]: row["loss"] for row in rows}
    if {"musicrec", "implicit"} <= set(losses) and losses["musicrec"] > losses["implicit"] * _NO_WORSE:
        wrong.append(f"musicrec's loss {losses['musicrec']:,.0f} is above implicit's {losses['implicit']:,.0f}")
    return wrong


def loss_of(problem: Problem, name: str, pairs: csr_matrix) -> float:
    """Σ_played c (1 − s)² + Σ_others s² + λ (Σ |x|² + Σ |y|²), from the parquet that the engine wrote."""
    x, y = (_matrix(problem.root / f"{name}-{side}", key, size) for side, key, size in _sides(problem))
    gram = y.T @ y
    total = PENALTY * ((x**2).sum() + (y**2).sum()) + np.einsum("ui,ij,uj->", x, gram, x, optimize=True)
    for start in range(0, len(x), 4096):
        part = pairs[start : start + 4096].tocoo()
        scores = np.einsum("ij,ij->i", x[start + part.row], y[part.col])
        total += ((1 + ALPHA * part.data) * (1 - scores) ** 2 - scores**2).sum()
    return float(total)


def _sides(problem: Problem) -> list[tuple[str, str, int]]:
    return [("users", "user_idx", problem.users), ("items", "item_idx", problem.items)]


def _matrix(path: Path, key: str, size: int) -> NDArray[Any]:
    table = pq.read_table(path)
    found = np.asarray(table["vector"].combine_chunks().flatten().to_numpy()).reshape(table.num_rows, -1)
    whole = np.zeros((size, found.shape[1]))
    whole[table[key].to_numpy()] = found
    return whole


def warm_rows(spark: SparkSession, problem: Problem, seed: int) -> tuple[list[Row], list[str]]:
    """Two iterations from the factors of 99 % of the pairs, beside ten from random ones, on all pairs."""
    pairs = spark.read.parquet(str(problem.root / "pairs"))
    before = fit_als(pairs.where(F.pmod(F.xxhash64("user_idx", "item_idx"), F.lit(100)) > 0), problem.params, seed)
    start = collect_items(before.item_vectors)
    before.release()
    rows = []
    for name, begin in (("musicrec cold", None), ("musicrec warm", start)):
        model, seconds, peak = measured(name, partial(fit_als, pairs, problem.params, seed, begin))
        rows.append({"engine": name, "seconds": seconds, "peak_mb": peak, "loss": model.figures["loss"] / problem.unit})
        rows[-1]["iterations"] = int(model.figures["iterations"])
        model.release()
    cold, warm = (row["loss"] for row in rows)
    worse = [f"warm, the loss is {warm:,.0f}, cold {cold:,.0f}"] if warm > cold * _NO_WORSE else []
    return rows, worse


if __name__ == "__main__":
    main()
