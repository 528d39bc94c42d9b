"""Time one listener's list from what was played: folded in, ranked and named, in this process, once loaded.

    python -m benchmarks.fold_in [--items 200000] [--rank 64] [--plays 50] [--n 20] [--requests 300] [--json FILE]
    python -m benchmarks.fold_in --lakehouse FOLDER

Without `--lakehouse` on tables of random vectors, which cost what any others do. The row has `engine`, `seconds` (the
median request), `p99_seconds`, `load_seconds` and `peak_mb`. Ends with 1 if a list differs from that of the formula,
worked out by numpy for all items (random vectors only).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from numpy.typing import NDArray

from benchmarks.measure import Row, measured, print_rows, write_json
from musicrec.models.als.params import AlsParams
from musicrec.models.als.scale import Scale
from musicrec.pipelines.fold_in import ListenerLists

Array = NDArray[Any]

_CHECKED = 20
_SCALE = Scale(mean_weight=2.0, shared_items=1.0, heard_items=50.0)  # half of the weight that dense data would have


@dataclass(frozen=True)
class Problem:
    """A lakehouse with a model, and what each listener played: item_id → plays."""

    root: Path
    requests: list[dict[str, float]]


@click.command()
@click.option("--items", default=200_000, show_default=True)
@click.option("--rank", default=64, show_default=True)
@click.option("--plays", default=50, show_default=True, help="Items that each listener played.")
@click.option("--n", default=20, show_default=True, help="Length of the lists.")
@click.option("--requests", default=300, show_default=True)
@click.option("--lakehouse", type=click.Path(path_type=Path), help="Measure its newest ALS of recordings instead.")
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the row here.")
def main(
    items: int, rank: int, plays: int, n: int, requests: int, lakehouse: Path | None, seed: int, json_path: Path | None
) -> None:
    """Time lists of single listeners and check them."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="musicrec-bench-") as folder:
        vectors = rng.standard_normal((items, rank), dtype=np.float32) * np.float32(rank**-0.5)
        root = lakehouse or write_tables(Path(folder), vectors)
        problem = Problem(root, drawn_plays(item_ids(root), plays, requests, rng))
        (row, lists), seconds, peak = measured("musicrec", lambda: run(problem, n))
    wrong = [] if lakehouse else differing_lists(problem, lists, vectors, n)
    rows = [{**row, "peak_mb": peak, "total_seconds": seconds, "plays": plays, "n": n}]
    print_rows(rows, "one listener's list", "musicrec")
    write_json(rows, json_path)
    if wrong:
        print(f"lists differ from the formula's: {'; '.join(wrong)}", file=sys.stderr)
        sys.exit(1)


def run(problem: Problem, n: int) -> tuple[Row, list[list[str]]]:
    """The row, and each request's list of item_id."""
    started = time.perf_counter()
    lists = ListenerLists(str(problem.root), "recording", "count")
    loaded = time.perf_counter() - started
    found, seconds = [], []
    for plays in problem.requests:
        started = time.perf_counter()
        offers = lists.recommend(plays, n)
        seconds.append(time.perf_counter() - started)
        found.append([offer.item for offer in offers])
    middle, late = np.percentile(seconds, [50, 99])
    row = {"engine": "musicrec", "seconds": float(middle), "p99_seconds": float(late), "load_seconds": loaded}
    return row, found


def write_tables(root: Path, vectors: Array) -> Path:
    """The tables that lists are made from, with these vectors; item j is called `recording-j`."""
    idx = pa.array(np.arange(len(vectors), dtype=np.int32))
    names = pa.array([f"recording-{j}" for j in range(len(vectors))])
    model = pa.repeat("als", len(vectors))
    starts = pa.array(np.arange(0, vectors.size + 1, vectors.shape[1]), pa.int32())
    lists = pa.ListArray.from_arrays(starts, pa.array(vectors.ravel()))
    bias = pa.array(np.zeros(len(vectors), np.float32))
    tables = {
        "models/item_vectors": pa.table({"model": model, "item_idx": idx, "vector": lists, "bias": bias}),
        "ops/models": pa.table(
            {
                "model": ["als"],
                "trained_at": [datetime(2026, 1, 1, tzinfo=UTC)],
                "params": [_params(vectors)],
                "figures": pa.array([list(_SCALE.figures.items())], pa.map_(pa.string(), pa.float64())),
            }
        ),
        "silver/item_index": pa.table(
            {"item_kind": pa.repeat("recording", len(vectors)), "item_id": names, "item_idx": idx}
        ),
        "silver/recordings": pa.table(
            {"recording_id": names, "title": names, "artist_id": names, "artist_name": names}
        ),
    }
    for name, table in tables.items():
        write_deltalake(str(root / name), table)
    return root


def _params(vectors: Array) -> str:
    return json.dumps(AlsParams(rank=vectors.shape[1]).model_dump(mode="json"))


def item_ids(root: Path) -> Array:
    """The recordings of a lakehouse."""
    index = DeltaTable(str(root / "silver" / "item_index"))
    table = index.to_pyarrow_table(columns=["item_id"], filters=[("item_kind", "=", "recording")])
    return np.sort(np.array(table["item_id"].to_pylist()))


def drawn_plays(items: Array, plays: int, requests: int, rng: np.random.Generator) -> list[dict[str, float]]:
    """What each of some listeners played, and how often."""
    drawn = [items[rng.choice(len(items), plays, replace=False)].tolist() for _ in range(requests)]
    return [{item: float(rng.integers(1, 9)) for item in own} for own in drawn]


def differing_lists(problem: Problem, lists: list[list[str]], vectors: Array, n: int) -> list[str]:
    """The first listeners whose list is not that of the formula in `FoldIn.vector`, all in float64."""
    params, wide = AlsParams(rank=vectors.shape[1]), vectors.astype(np.float64)
    unobserved = params.unobserved / 2
    gram = unobserved * wide.T @ wide
    wrong = []
    for number, (plays, found) in enumerate(list(zip(problem.requests, lists, strict=True))[:_CHECKED]):
        heard = _rows(plays)
        weight = np.array(list(plays.values())) / _SCALE.mean_weight
        power = params.regularization_exponent
        penalty = params.regularization * unobserved ** (1 - power) * len(heard) ** power
        left = gram + (wide[heard].T * weight) @ wide[heard] + penalty * np.eye(len(gram))
        scores = wide @ np.linalg.solve(left, wide[heard].T @ (weight + unobserved))
        scores[heard] = -np.inf
        # Neighbours may change places where their scores differ by less than float32 can tell.
        got = scores[_rows(dict.fromkeys(found))]
        best = np.sort(scores)[::-1][: min(n, len(wide) - len(heard))]
        if len(got) != len(best) or not np.allclose(got, best, rtol=1e-5, atol=1e-7):
            wrong.append(f"listener {number}")
    return wrong


def _rows(items: Mapping[str, object]) -> Array:
    return np.array([int(item.removeprefix("recording-")) for item in items])


if __name__ == "__main__":
    main()
