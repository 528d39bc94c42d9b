"""What content neighbours are for: the share of listeners' next tracks among the neighbours of what they played last.

    python -m benchmarks.content_knn [--root lakehouse] [--day 2014-06-21] [--metrics euclidean,manhattan,cosine]
        [--ks 5,20,50] [--json FILE]

On the tables of a nightly that has run (`make nightly`). Neighbours are looked for among the linked recordings that
were played before DAY; DAY is the time in which the next tracks lie. Beside the settings of content stand chance, the
k most played tracks for everyone, and the neighbours over the matrix of listeners (settings of `train_knn`). Intervals:
95 % percentile bootstrap over listeners, at the middle k.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks.measure import ROOT, Row, print_rows, write_json
from musicrec.config import load_config
from musicrec.evaluation.bootstrap import interval, resampled_means
from musicrec.evaluation.next_neighbours import next_in_neighbours
from musicrec.io.runs import Run
from musicrec.io.tables import Lakehouse
from musicrec.logs import make_logger
from musicrec.models.content import ContentParams
from musicrec.models.knn.fit import fit_knn
from musicrec.pipelines.content_trials import content_trial, linked_features, valid_plays
from musicrec.pipelines.training_data import TrainingData, midnight, training_data
from musicrec.ranking.nearest import Distance
from musicrec.spark import build_session
from musicrec.transforms.feature_scaler import FeatureScaler, GroupWeights

_GROUPS = ("audio", "engineered", "text", "year")
_SEED, _RESAMPLES = 1, 2000


@click.command()
@click.option("--root", default="lakehouse", show_default=True, help="Of the tables.")
@click.option("--config", type=click.Path(path_type=Path), default=Path("conf/local.toml"), show_default=True)
@click.option("--day", default="2014-06-21", show_default=True, help="In which the next tracks lie.")
@click.option("--metrics", default="euclidean,manhattan,cosine", show_default=True)
@click.option("--ks", default="5,20,50", show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(root: str, config: Path, day: str, metrics: str, ks: str, json_path: Path | None) -> None:
    """Try metrics and weights; print a table."""
    settings = load_config(config)
    cuts = [int(k) for k in ks.split(",")]
    session = build_session("content_knn", ROOT / "conf", settings.spark.conf)
    valid = datetime.strptime(day, "%Y-%m-%d").date()
    after = valid + timedelta(days=1)
    run = Run(Lakehouse(session, root), "benchmark", "content_knn", datetime.now(UTC), _SEED, make_logger("b"), after)
    data = training_data(run, "recording", settings.interactions, until=midnight(valid))
    features = linked_features(run, data).persist()
    nexts = valid_plays(run, data, features, midnight(after)).persist()
    scaler = FeatureScaler.fit(run.lakehouse.read("silver.track_features"), settings.content.features)
    rows: list[Row] = []
    size = features.count()
    rows.append({"engine": "chance", **{f"share@{k}": f"{min(k, size - 1) / (size - 1):.4f}" for k in cuts}})
    rows.append(_figures("popular", next_in_neighbours(nexts, _popular(data, features, max(cuts)), cuts), cuts))
    over_matrix = data.interactions.join(features.select("item_idx"), "item_idx", "left_semi")
    params = settings.knn.model_copy(update={"k": max(cuts)})
    known = fit_knn(over_matrix, params).withColumnRenamed("neighbours", "items")
    rows.append(_figures("knn (plays)", next_in_neighbours(nexts, known, cuts), cuts))
    for name, metric, weights in _settings([_metric(name) for name in metrics.split(",")], settings.content.metric):
        own = ContentParams(metric=metric, weights=weights)
        started = time.perf_counter()
        row = _figures(f"{metric} {name}", content_trial(scaler, features, nexts, own, cuts), cuts)
        rows.append({**row, "seconds": round(time.perf_counter() - started, 1)})
    plays = nexts.agg(F.sum("plays"), F.count_distinct("user_idx")).collect()[0]
    title = f"{size:,} linked tracks, {plays[0]:,} next tracks of {plays[1]:,} listeners on {valid}"
    print_rows(rows, title)
    if json_path:
        write_json(json_path, rows)


def _metric(name: str) -> Distance:
    return ContentParams.model_validate({"metric": name.strip()}).metric


def _settings(metrics: list[Distance], usual: Distance) -> Iterator[tuple[str, Distance, GroupWeights]]:
    """Each metric with all groups alike; with the usual one each group alone, all but each, and each at 2."""
    plain = dict.fromkeys(_GROUPS, 1.0)
    for metric in metrics:
        yield "all", metric, GroupWeights(**plain)
    tried = {f"{group} only": dict.fromkeys(_GROUPS, 0.0) | {group: 1.0} for group in _GROUPS}
    tried |= {f"without {group}": plain | {group: 0.0} for group in _GROUPS}
    tried |= {f"{group} at 2": plain | {group: 2.0} for group in _GROUPS}
    for name, weights in tried.items():
        yield name, usual, GroupWeights(**weights)


def _popular(data: TrainingData, features: DataFrame, k: int) -> DataFrame:
    """The same k most played for every item, itself left out."""
    plays = data.popular.join(features.select("item_idx"), "item_idx", "left_semi")
    top = [row.item_idx for row in plays.orderBy(F.desc("plays"), "item_idx").limit(k + 1).collect()]
    most = F.array(*[F.lit(item) for item in top])
    return features.select("item_idx", F.slice(F.array_remove(most, F.col("item_idx")), 1, k).alias("items"))


def _figures(name: str, shares: DataFrame, ks: list[int]) -> Row:
    found = shares.orderBy("user_idx").toPandas()
    values = found[[f"share_at_{k}" for k in ks]].to_numpy(np.float64)
    low, high = interval(resampled_means(values, _RESAMPLES, _SEED), 0.95)
    middle = len(ks) // 2
    means = {f"share@{k}": f"{values[:, i].mean():.4f}" for i, k in enumerate(ks)}
    return {"engine": name, **means, f"interval@{ks[middle]}": f"{low[middle]:.4f} {high[middle]:.4f}"}


if __name__ == "__main__":
    main()
