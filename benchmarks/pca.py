"""Fit principal components: musicrec beside scikit-learn's solvers for sparse matrices.

    python -m benchmarks.pca --rows 36000 --columns 8000 --nnz 1000000 --components 50 \
        --engines musicrec,musicrec-svd,pca-arpack,svd-arpack,svd-randomized,svd-float32 [--repeats 3] [--json FILE]

Every engine is timed from the interactions as parquet to the vectors of both sides as parquet, musicrec in a session
that is up and warm, scikit-learn with as many BLAS threads as there are cores. Engines named pca centre the matrix,
those named svd do not, so the column `variance_share` sets each beside the exact sum for its own matrix (by ARPACK to
the last digit): the variance along the components that the engine wrote, added up here, as a share of that of the exact
ones. scikit-learn has no randomized PCA of a sparse matrix; `pca-covariance` (minutes at 8,000 columns) is left out
unless named. Ends with 1 if musicrec's components lack more than a thousandth of the exact variance, or if what it
reports is not what they explain.

The large run: --huge, for 1,000,000 × 1,000,000 with 20,000,000 entries, musicrec alone, a JVM of 2 GB. There only what
is reported is checked, against the formula.
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
from pyspark.sql import SparkSession
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, eigsh

from benchmarks.measure import Row, benchmark_session, best_of, chosen_engines, print_rows, process_peaks, write_json
from benchmarks.workload import write_workload_apart
from musicrec.logs import make_logger
from musicrec.models.pca.fit import PcaParams, fit_pca

Array = NDArray[Any]

_WARM_UP = (500, 300, 4000)
_HUGE = {"rows": 1_000_000, "columns": 1_000_000, "nnz": 20_000_000, "engines": "musicrec", "driver_memory": "2g"}
# Entries up to which the exact sum is worked out.
_EXACT_ENTRIES = 5_000_000
_ENOUGH, _SAME = 0.999, 1e-4
# Rows whose coordinates are added up together.
_PART = 65_536


@dataclass(frozen=True)
class Problem:
    """Interactions as parquet in `root`/pairs; every engine writes `root`/NAME-users and `root`/NAME-items."""

    root: Path
    rows: int
    columns: int
    components: int

    def matrix(self, kind: type[np.floating[Any]] = np.float64) -> csr_matrix:
        """The weights [rows × columns]."""
        table = pq.read_table(self.root / "pairs")
        places = table["user_idx"].to_numpy(), table["item_idx"].to_numpy()
        return csr_matrix((table["weight"].to_numpy().astype(kind), places), shape=(self.rows, self.columns))


@click.command()
@click.option("--rows", default=36_000, show_default=True)
@click.option("--columns", default=8_000, show_default=True)
@click.option("--nnz", default=1_000_000, show_default=True)
@click.option("--components", default=50, show_default=True)
@click.option(
    "--engines",
    default="musicrec,musicrec-svd,pca-arpack,svd-arpack,svd-randomized,svd-float32",
    show_default=True,
)
@click.option("--repeats", default=3, show_default=True, help="Turns of each engine; the row has its best.")
@click.option("--seed", default=20140616, show_default=True)
@click.option("--driver-memory", default="4g", show_default=True)
@click.option("--huge", is_flag=True, help="1,000,000 × 1,000,000 with 20,000,000 entries, musicrec alone in 2 GB.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(huge: bool, components: int, repeats: int, seed: int, json_path: Path | None, **options: Any) -> None:
    """Time the engines on one workload and compare what their components explain."""
    chosen = {**options, **(_HUGE if huge else {})}
    names = chosen_engines(chosen["engines"], _ENGINES)
    with tempfile.TemporaryDirectory(prefix="musicrec-bench-") as folder:
        sizes = (chosen["rows"], chosen["columns"], chosen["nnz"])
        problem = make_problem(Path(folder) / "all", *sizes, components, seed)
        small = make_problem(Path(folder) / "small", *_WARM_UP, 10, seed)
        spark = benchmark_session(chosen["driver_memory"])
        rows = time_engines(names, spark, problem, small, repeats, seed)
        print("peak of each process, MB:", process_peaks(), file=sys.stderr)
        wrong = add_shares(rows, problem, chosen["nnz"])
    workload = {"rows": sizes[0], "columns": sizes[1], "nnz": sizes[2], "components": components}
    rows = [{"engine": row["engine"], **workload, **row} for row in rows]
    print_rows(rows, "principal components", _fastest(rows))
    write_json(rows, json_path)
    if wrong:
        print("; ".join(wrong), file=sys.stderr)
        sys.exit(1)


def make_problem(root: Path, rows: int, columns: int, nnz: int, components: int, seed: int) -> Problem:
    """Write the pairs, in no order."""
    write_workload_apart(root / "pairs", rows, columns, nnz, seed)
    return Problem(root, rows, columns, components)


def time_engines(
    names: list[str], spark: SparkSession, problem: Problem, small: Problem, repeats: int, seed: int
) -> list[Row]:
    """Each engine's best of `repeats` runs, after one on the small problem."""
    for name in names:
        _ENGINES[name](spark, small, seed)
    return best_of({name: partial(_ENGINES[name], spark, problem, seed) for name in names}, repeats)


def run_musicrec(spark: SparkSession, problem: Problem, seed: int, center: bool) -> Row:
    """Distributed randomised block Lanczos."""
    log = make_logger("benchmark") if problem.rows > 500_000 else None
    params = PcaParams(components=problem.components, center=center)
    model = fit_pca(spark.read.parquet(str(problem.root / "pairs")), params, seed, log)
    name, embedding = f"musicrec{'' if center else '-svd'}", model.embedding
    embedding.user_vectors.write.mode("overwrite").parquet(str(problem.root / f"{name}-users"))
    embedding.item_vectors.write.mode("overwrite").parquet(str(problem.root / f"{name}-items"))
    embedding.release()
    shown = {key: embedding.figures[key] for key in ("passes", "missing", "peak_mb_of_a_task")}
    if log:
        seconds = {key: round(value, 1) for key, value in embedding.figures.items() if key.startswith("seconds_")}
        log.info("benchmark: seconds in a task", **seconds)
    return {**shown, "reported": float((model.singular_values**2).sum())}


def run_sklearn(
    _: SparkSession, problem: Problem, seed: int, solver: str, kind: type[np.floating[Any]] = np.float64
) -> Row:
    """One of scikit-learn's decompositions."""
    from sklearn.decomposition import PCA, TruncatedSVD

    matrix = problem.matrix(kind)
    method, _, way = solver.partition("-")
    state = seed % 2**31
    if method == "pca":
        way = {"covariance": "covariance_eigh"}.get(way, way)
        fit = PCA(problem.components, svd_solver=way, random_state=state)
    else:
        fit = TruncatedSVD(problem.components, algorithm=way, random_state=state)
    users = fit.fit_transform(matrix)
    name = f"{method}-float32" if kind is np.float32 else solver
    for side, key, vectors in (("users", "user_idx", users), ("items", "item_idx", fit.components_.T)):
        starts = pa.array(np.arange(0, vectors.size + 1, vectors.shape[1]), pa.int32())
        lists = pa.ListArray.from_arrays(starts, pa.array(vectors.ravel().astype(np.float32)))
        table = pa.table({key: pa.array(np.arange(len(vectors)), pa.int32()), "vector": lists})
        pq.write_table(table, problem.root / f"{name}-{side}")
    return {}


_ENGINES: dict[str, Callable[[SparkSession, Problem, int], Row]] = {
    "musicrec": partial(run_musicrec, center=True),
    "musicrec-svd": partial(run_musicrec, center=False),
    "pca-arpack": partial(run_sklearn, solver="pca-arpack"),
    "pca-covariance": partial(run_sklearn, solver="pca-covariance"),
    "svd-arpack": partial(run_sklearn, solver="svd-arpack"),
    "svd-randomized": partial(run_sklearn, solver="svd-randomized"),
    "svd-float32": partial(run_sklearn, solver="svd-randomized", kind=np.float32),
}


def _fastest(rows: list[Row]) -> str | None:
    """The fastest of the peers, or None without one."""
    peers = [row for row in rows if not row["engine"].startswith("musicrec")]
    return min(peers, key=lambda row: row["seconds"])["engine"] if peers else None


def add_shares(rows: list[Row], problem: Problem, nnz: int) -> list[str]:
    """Put into each row its share of the exact sum of squared singular values; what is wrong with musicrec's."""
    matrix, wrong = problem.matrix(), []
    exact: dict[bool, float] = {}
    for row in rows:
        name = row["engine"]
        center = name == "musicrec" or name.startswith("pca")
        mean = np.asarray(matrix.mean(axis=0)).ravel() if center else np.zeros(problem.columns)
        explained = explained_by(matrix, mean, _loadings(problem, name))
        if nnz <= _EXACT_ENTRIES:
            if center not in exact:
                exact[center] = exact_sum(matrix, mean, problem.components)
            row["variance_share"] = explained / exact[center]
        reported = row.pop("reported", explained)
        if abs(reported / explained - 1) > _SAME:
            wrong.append(f"{name} reports {reported:,.1f}, its components explain {explained:,.1f}")
        if name.startswith("musicrec") and row.get("variance_share", 1.0) < _ENOUGH:
            wrong.append(f"{name} explains {row['variance_share']:.5f} of what the exact components do")
    return wrong


def explained_by(matrix: csr_matrix, mean: Array, loadings: Array) -> float:
    """Σ |(a − mean)ᵀ V|² over the rows a, for V an orthonormal basis of the loadings [columns × k].

    With the Gram matrix G of the loadings that is the trace of G⁻¹ Lᵀ C L, which needs no second tall matrix.
    """
    inner, gram = (np.zeros((loadings.shape[1],) * 2) for _ in range(2))
    shift = mean @ loadings
    for begin in range(0, matrix.shape[0], _PART):
        along = matrix[begin : begin + _PART] @ loadings - shift
        inner += along.T @ along
    for begin in range(0, len(loadings), _PART):
        part = loadings[begin : begin + _PART].astype(np.float64)
        gram += part.T @ part
    return float(np.trace(np.linalg.solve(gram, inner)))


def exact_sum(matrix: csr_matrix, mean: Array, components: int) -> float:
    """The sum of the largest eigenvalues of (A − 1μᵀ)ᵀ (A − 1μᵀ), by ARPACK to machine precision."""
    turned = matrix.T.tocsr()

    def times(vector: Array) -> Array:
        along = matrix @ vector - mean @ vector
        return np.asarray(turned @ along - mean * along.sum())

    operator = LinearOperator((matrix.shape[1],) * 2, matvec=times, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(matrix.shape[1])
    return float(eigsh(operator, k=components, tol=0, v0=start, return_eigenvectors=False).sum())


def _loadings(problem: Problem, name: str) -> Array:
    table = pq.read_table(problem.root / f"{name}-items")
    found = np.asarray(table["vector"].combine_chunks().flatten().to_numpy()).reshape(table.num_rows, -1)
    whole = np.zeros((problem.columns, found.shape[1]), np.float32)
    whole[table["item_idx"].to_numpy()] = found
    return whole


if __name__ == "__main__":
    main()
