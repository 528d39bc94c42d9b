"""Fusion and the two-stage ranker beside the models that they are made of, on a test day, with paired intervals.

    python -m benchmarks.ranker [--work FOLDER] [--json FILE]
    python -m benchmarks.ranker --simulated [--listeners 600] [--tracks 2500] [--days 12] ...

Without `--simulated`: the bundled sample. With it: an invented world whose listeners have habits (benchmarks/
habits_world.py). Each retriever is fitted on what lies before a window; the last window is the test, the ones before it
tune the fusion's weights and train the ranker. NDCG@10 of what is new to a listener; the intervals are of the
difference for the same listeners. Features are dropped a group at a time, and the trees are trained anew each time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

import click
import lightgbm
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

from benchmarks.habits_world import write_habits
from benchmarks.measure import Row, write_json
from benchmarks.ranker_windows import (
    ROOT,
    Collected,
    Floats,
    built,
    collected,
    configured,
    in_order,
    job_of,
    list_ndcg,
)
from musicrec.evaluation.bootstrap import interval, resampled_means
from musicrec.models.blocks import Ragged
from musicrec.models.ranker.fit import Examples, fit_ranker
from musicrec.models.ranker.names import feature_names
from musicrec.models.ranker.params import Group, RankerParams
from musicrec.models.ranker.score import predicted
from musicrec.pipelines.ranking import joined
from musicrec.pipelines.training_data import midnight
from musicrec.ranking.fusion import HybridParams
from musicrec.ranking.tune_fusion import fused_ndcg, tune_fusion

RETRIEVERS = ("als", "pca", "knn", "user_knn", "popular", "artist_popular")
_RESAMPLES, _LEVEL = 2000, 0.95


@click.command()
@click.option("--simulated", is_flag=True, help="An invented world instead of the sample.")
@click.option("--listeners", default=600, show_default=True, help="Of the invented world.")
@click.option("--tracks", default=2500, show_default=True)
@click.option("--days", default=12, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Of the invented world.")
@click.option("--windows", default=3, show_default=True, help="Before the test.")
@click.option("--back", default=0, show_default=True, help="Days by which the test day lies earlier, to try settings.")
@click.option("--lstm", is_flag=True, help="The LSTM among the retrievers; it is fitted for each window.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the configuration.")
@click.option("--work", type=click.Path(path_type=Path), help="Keep the tables here.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(
    simulated: bool,
    listeners: int,
    tracks: int,
    days: int,
    seed: int,
    windows: int,
    back: int,
    lstm: bool,
    overrides: tuple[str, ...],
    work: Path | None,
    json_path: Path | None,
) -> None:
    """Measure fusion and ranker on one test day."""
    names = (*RETRIEVERS, "lstm") if lstm else RETRIEVERS
    chosen = "ranker.retrievers=[" + ",".join(f"'{name}'" for name in names) + "]"
    with tempfile.TemporaryDirectory(prefix="musicrec-bench-") as temporary:
        folder = work or Path(temporary)
        settings: tuple[str, ...] = (chosen, *overrides)
        if simulated:
            dumps = folder / "dumps"
            if not dumps.exists():
                write_habits(dumps, listeners, tracks, days, seed)
            settings = (f"sources.listens={dumps}", "sources.tracks=", *settings)
        config = ROOT / "conf" / "local.toml"
        run, places = built(folder / "lakehouse", config, settings)
        job = job_of(config, places)
        day, end = timedelta(days=job.params.window_days), midnight(run.day) - timedelta(days=back)
        found = [collected(run, job, end - n * day, end - (n - 1) * day) for n in range(windows + 1, 0, -1)]
        rows = list(compared(found, job.params, configured(config, places).weights, run.seed))
    show(rows, end - day, "simulated listening" if simulated else "the sample")
    write_json(rows, json_path)


def compared(
    found: Sequence[Collected], params: RankerParams, weights: Mapping[str, float], seed: int
) -> Iterator[Row]:
    """A row for each model, for fusions, the ranker and the ranker without each group."""
    *earlier, test = found
    relevant = test.judgements.relevant
    ndcg = {name: list_ndcg(lists, relevant) for name, lists in test.judgements.lists.items()}
    valid = {
        name: float(
            np.concatenate([list_ndcg(one.judgements.lists[name], one.judgements.relevant) for one in earlier]).mean()
        )
        for name in ndcg
    }
    best = max(sorted(valid), key=lambda name: valid[name])
    tuned = tune_fusion([one.judgements for one in earlier], list(ndcg))
    of_night = tuned.params.model_copy(update={"weights": {n: w for n, w in weights.items() if n in ndcg}})
    ndcg["fusion, configured"] = fused_ndcg(test.judgements, of_night)
    ndcg["fusion, tuned"] = fused_ndcg(test.judgements, tuned.params)
    names = feature_names(params.retrievers)
    ranked = ranker_lists(earlier, test, names, names, params, seed)
    ndcg["ranker"] = list_ndcg(ranked, relevant)
    both = {**tuned.params.weights, "ranker": sum(tuned.params.weights.values())}
    lists = replace(test.judgements, lists={**test.judgements.lists, "ranker": ranked})
    ndcg["ranker and tuned fusion"] = fused_ndcg(lists, HybridParams(weights=both))
    for group in get_args(Group):
        kept = feature_names(params.retrievers, (group,))
        ndcg[f"ranker without {group}"] = list_ndcg(ranker_lists(earlier, test, names, kept, params, seed), relevant)
    for name, own in ndcg.items():
        against = {"best": ndcg[best], "fusion": ndcg["fusion, tuned"], "ranker": ndcg["ranker"]}
        gains = {f"over_{what}": gain(own, other, seed) for what, other in against.items()}
        yield {"engine": name, "ndcg": float(own.mean()), "listeners": len(own), "best": best, **gains} | (
            {"weights": tuned.params.weights} if name == "fusion, tuned" else {}
        )


def ranker_lists(
    earlier: Sequence[Collected],
    test: Collected,
    names: Sequence[str],
    kept: Sequence[str],
    params: RankerParams,
    seed: int,
) -> Ragged:
    """The test's candidates in the order of a ranker with some of the features."""
    columns = [names.index(name) for name in kept]
    parts = [_with_order(one.examples) for one in earlier]
    examples = joined([Examples(part.features[:, columns], part.labels, part.sizes) for part in parts])
    trees = lightgbm.Booster(model_str=fit_ranker(examples, kept, params, seed).text)
    return in_order(test.items, predicted(trees, np.ascontiguousarray(test.examples.features[:, columns])))


def _with_order(examples: Examples) -> Examples:
    """Without listeners none of whose candidates were played."""
    owner = np.repeat(np.arange(len(examples.sizes)), examples.sizes)
    is_kept = np.bincount(owner, examples.labels, len(examples.sizes)) > 0
    rows = is_kept[owner]
    return Examples(examples.features[rows], examples.labels[rows], examples.sizes[is_kept])


def gain(own: Floats, other: Floats, seed: int) -> tuple[float, float, float]:
    """The mean difference and the ends of its interval, listeners paired."""
    differences = (own - other)[:, None]
    low, high = interval(resampled_means(differences, _RESAMPLES, seed), _LEVEL)
    return float(differences.mean()), float(low[0]), float(high[0])


def show(rows: Sequence[Row], day: datetime, what: str) -> None:
    """Print the table."""
    listeners = rows[0]["listeners"]
    title = f"NDCG@10 of what is new, {what}, {day:%Y-%m-%d}, {listeners} listeners; 95 % intervals, paired"
    grid = Grid(title=title, box=SIMPLE_HEAD)
    for heading in ("lists", "NDCG", f"over {rows[0]['best']} (best alone before)", "over tuned fusion", "over ranker"):
        grid.add_column(heading, justify="left" if heading == "lists" else "right")
    for row in rows:
        cells = [f"{value:+.4f} ({low:+.4f} to {high:+.4f})" for value, low, high in _gains(row)]
        grid.add_row(str(row["engine"]), f"{row['ndcg']:.4f}", *cells)
    Console(width=150).print(grid)
    weights = next(row["weights"] for row in rows if "weights" in row)
    print("tuned weights: " + ", ".join(f"{name} {weight:g}" for name, weight in weights.items()))


def _gains(row: Row) -> list[tuple[float, float, float]]:
    return [row[f"over_{what}"] for what in ("best", "fusion", "ranker")]


if __name__ == "__main__":
    main()
