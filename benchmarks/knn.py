"""Nearest neighbours of all items over the sparse matrix: musicrec beside implicit.

    python -m benchmarks.knn --users 36000 --items 50000 --nnz 1700000 --k 100 --weighting none \
        --engines musicrec,implicit [--repeats 3] [--json FILE]

Timed from interactions as parquet to lists as parquet, musicrec in a session that is up and warm, implicit with as many
threads as the session has cores. implicit counts an item among its own neighbours and writes its lists as it has them,
unordered; musicrec leaves the item out and orders. With repeats the engines take turns, and a row has the engine's best
run. Ends with 1 if musicrec's lists of a sample of items differ from those of the sparse product by scipy, or its
scores from implicit's.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from scipy.sparse import csr_matrix, diags

from benchmarks.measure import Row, benchmark_session, best_of, chosen_engines, print_rows, write_json
from benchmarks.workload import interactions_workload
from musicrec.models.knn.fit import fit_knn
from musicrec.models.knn.matrix import KnnParams
from musicrec.models.significant import significant

Array = NDArray[Any]

_CORES = 2
# Listeners and items of the warm-up; items that are checked.
_WARM, _CHECKED = 5000, 1000
_WEIGHTINGS = {
    "none": KnnParams(weighting="none"),
    "tfidf": KnnParams(weighting="tfidf"),
    "bm25": KnnParams(weighting="bm25", normalize=False),
}


@dataclass(frozen=True)
class Problem:
    """Interactions [listeners × items], in `root`/pairs.parquet too; each engine writes to `root`/ENGINE."""

    root: Path
    matrix: csr_matrix
    params: KnnParams


@click.command()
@click.option("--users", default=36_000, show_default=True)
@click.option("--items", default=50_000, show_default=True)
@click.option("--nnz", default=1_700_000, show_default=True)
@click.option("--k", default=100, show_default=True)
@click.option("--weighting", type=click.Choice(list(_WEIGHTINGS)), default="none", show_default=True)
@click.option("--engines", default="musicrec,implicit", show_default=True)
@click.option("--repeats", default=3, show_default=True, help="Turns of each engine; the row has its best.")
@click.option("--seed", default=20140616, show_default=True)
@click.option("--driver-memory", default="4g", show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(
    users: int,
    items: int,
    nnz: int,
    k: int,
    weighting: str,
    engines: str,
    repeats: int,
    seed: int,
    driver_memory: str,
    json_path: Path | None,
) -> None:
    """Time the engines on one workload and check musicrec's lists."""
    names = chosen_engines(engines, _ENGINES)
    warnings.filterwarnings("ignore", message="Method expects CSR input")
    spark = benchmark_session(driver_memory, _CORES)
    with tempfile.TemporaryDirectory(prefix="musicrec-bench-") as folder:
        params = _WEIGHTINGS[weighting].model_copy(update={"k": k})
        problem = make_problem(Path(folder) / "all", users, items, nnz, params, seed)
        small = make_problem(Path(folder) / "small", _WARM, _WARM, 20 * _WARM, params, seed)
        workload = {"users": users, "items": items, "nnz": nnz, "k": k, "weighting": weighting}
        rows = [{**row, **workload} for row in time_engines(names, spark, problem, small, repeats)]
        wrong = differing(problem, names, seed)
    print_rows(rows, "nearest neighbours of all items", "musicrec" if "musicrec" in names else None)
    write_json(rows, json_path)
    if wrong:
        print(f"musicrec's neighbours differ: {'; '.join(wrong)}", file=sys.stderr)
        sys.exit(1)


def make_problem(root: Path, users: int, items: int, nnz: int, params: KnnParams, seed: int) -> Problem:
    """A workload, written as one parquet file."""
    user_idx, item_idx, weight = interactions_workload(users, items, nnz, seed)
    weights = weight.astype(np.float64)
    root.mkdir(parents=True)
    cells = {"user_idx": user_idx, "item_idx": item_idx, "weight": weights}
    pq.write_table(pa.table(cells), root / "pairs.parquet", row_group_size=1 << 18)
    # Items that nobody played are in no matrix: they would change the number of rows that idf is made of.
    _, item_idx = np.unique(item_idx, return_inverse=True)
    return Problem(root, csr_matrix((weights, (user_idx, item_idx))), params)


def time_engines(names: list[str], spark: SparkSession, problem: Problem, small: Problem, repeats: int) -> list[Row]:
    """Each engine's best seconds and highest peak of `repeats` runs, after one on the small problem."""
    for name in names:
        _ENGINES[name](spark, small)
    return best_of({name: partial(_ENGINES[name], spark, problem) for name in names}, repeats)


def run_musicrec(spark: SparkSession, problem: Problem) -> None:
    """From parquet to parquet."""
    pairs = spark.read.parquet(str(problem.root / "pairs.parquet"))
    # Scores hardly repeat: a dictionary of them is built in vain.
    lists = fit_knn(pairs, problem.params).write.mode("overwrite").option("parquet.enable.dictionary", "false")
    lists.parquet(str(problem.root / "musicrec"))


def run_implicit(spark: SparkSession, problem: Problem) -> None:
    """From parquet to parquet."""
    pairs = pq.read_table(problem.root / "pairs.parquet")
    names, columns = np.unique(pairs["item_idx"].to_numpy(), return_inverse=True)
    matrix = csr_matrix((pairs["weight"].to_numpy(), (pairs["user_idx"].to_numpy(), columns)))
    found = implicit_neighbours(matrix, problem.params)
    starts = pa.array(found.indptr, pa.int32())
    lists = {
        "item_idx": pa.array(names, pa.int32()),
        "neighbours": pa.ListArray.from_arrays(starts, pa.array(names[found.indices], pa.int32())),
        "scores": pa.ListArray.from_arrays(starts, pa.array(found.data)),
    }
    pq.write_table(pa.table(lists), problem.root / "implicit.parquet")


def implicit_neighbours(matrix: csr_matrix, params: KnnParams) -> csr_matrix:
    """implicit's similarities, the item itself among them."""
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

    kinds = {"none": CosineRecommender, "tfidf": TFIDFRecommender, "bm25": BM25Recommender}
    model = kinds[params.weighting](K=params.k, num_threads=_CORES)
    model.fit(matrix, show_progress=False)
    return model.similarity


_ENGINES = {"musicrec": run_musicrec, "implicit": run_implicit}


def differing(problem: Problem, names: list[str], seed: int) -> list[str]:
    """What is wrong with musicrec's lists of a sample of items, the most played among them."""
    if "musicrec" not in names:
        return []
    found = pq.read_table(problem.root / "musicrec").sort_by("item_idx").to_pydict()
    columns = {item: column for column, item in enumerate(found["item_idx"])}
    played = problem.matrix.getnnz(axis=0)
    rng = np.random.default_rng(seed)
    sample = np.union1d(np.argsort(-played)[:100], rng.permutation(len(played))[:_CHECKED])
    wrong = [] if len(columns) == len(played) else [f"{len(columns)} lists, not {len(played)}"]
    peer = implicit_neighbours(problem.matrix, problem.params) if "implicit" in names else None
    for item, scores in zip(sample, _exact_scores(problem, sample), strict=True):
        scores[item] = 0.0
        rounded = significant(scores)
        order = np.lexsort((np.arange(len(scores)), -rounded))
        order = order[scores[order] > 0][: problem.params.k]
        own = [columns[other] for other in found["neighbours"][item]]
        own_scores = np.array(found["scores"][item])
        # A score half-way between two roundings may fall on either side, so a place counts by its score.
        right = len(own) == len(order) and np.allclose(own_scores, scores[order], atol=1.01e-6, rtol=0)
        if not right or not np.allclose(scores[own], own_scores, atol=1.01e-6, rtol=0):
            wrong.append(f"item {found['item_idx'][item]}: not the best by the sparse product")
        if peer is not None:
            others = np.sort(peer[item].data[peer[item].indices != item])[::-1]
            size = min(len(others), len(own_scores))
            if not np.allclose(own_scores[:size], others[:size], atol=1.01e-6, rtol=1e-9):
                wrong.append(f"item {found['item_idx'][item]}: not implicit's scores")
    return wrong[:5]


def _exact_scores(problem: Problem, sample: Array) -> Array:
    """The sampled items' scores with all items [sample × items], by scipy and implicit's weighting."""
    from implicit.nearest_neighbours import bm25_weight, normalize, tfidf_weight

    counts = problem.matrix.T
    if problem.params.weighting == "bm25":
        weighted = csr_matrix(bm25_weight(counts, problem.params.bm25_k1, problem.params.bm25_b))
    else:
        weighted = csr_matrix(normalize(tfidf_weight(counts) if problem.params.weighting == "tfidf" else counts))
    chosen = diags(np.ones(weighted.shape[0])).tocsr()[sample]
    return np.asarray((chosen @ weighted @ weighted.T).toarray())


if __name__ == "__main__":
    main()
