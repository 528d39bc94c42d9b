"""What spreading lists over artists costs and gives: caps and MMR against the plain list, on one night's test.

    python -m benchmarks.diversity [--config conf/local.toml] [--root lakehouse] [--json FILE]

Reads a lakehouse that holds silver (it is built where there is none), fits the models before the last test period by
the code of the nightly, makes the lists that are published on each shelf, and judges them as `evaluate` does, 20 long.
Prints NDCG@10 with the paired interval of its change; diversity (share of pairs by different artists), novelty and
serendipity at 20; and the largest share of a list that one artist has.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from functools import reduce
from pathlib import Path

import click
import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks.measure import print_rows, write_json
from benchmarks.ranker_windows import ROOT, built, job_of
from musicrec.config import Config, load_config
from musicrec.entry import ended_with
from musicrec.evaluation.bootstrap import interval, resampled_means
from musicrec.evaluation.metrics import listener_metrics
from musicrec.evaluation.serendipity import serendipity
from musicrec.evaluation.splits import relevant_items, split_at, with_candidates
from musicrec.io.runs import Run
from musicrec.models.blocks import Ragged, read_lists
from musicrec.models.embedding import EmbeddingModel
from musicrec.pipelines.lists import candidate_lists, spread_list
from musicrec.pipelines.models_at import ModelsAt, models_at
from musicrec.pipelines.settings import SHELVES, RecommendParams, Shelf
from musicrec.pipelines.training_data import TrainingData, midnight, training_data
from musicrec.ranking.diversity import DiversityParams
from musicrec.transforms.interactions import indexed_plays

Row = dict[str, object]
_PLAIN = "as ranked"
VARIANTS: Mapping[str, DiversityParams] = {
    _PLAIN: DiversityParams(artist_share=1),
    **{f"cap {share:.0%}": DiversityParams(artist_share=share) for share in (0.5, 0.3, 0.2, 0.1, 0.05)},
    **{
        f"MMR λ {share:g} by artist": DiversityParams(artist_share=1, mmr_lambda=share)
        for share in (0.9, 0.7, 0.5, 0.3)
    },
    **{
        f"MMR λ {share:g} by ALS vectors": DiversityParams(artist_share=1, mmr_lambda=share, similarity="als")
        for share in (0.9, 0.7, 0.5, 0.3)
    },
    "cap 30%, MMR λ 0.7 by ALS vectors": DiversityParams(mmr_lambda=0.7, similarity="als"),
}


def judge(run: Run, config: Config, data: TrainingData, models: ModelsAt, tested: DataFrame, shelf: Shelf) -> list[Row]:
    """A row a variant for what is published on a shelf."""
    offered = config.recommend
    relevant = relevant_items(tested, data.heard, shelf)
    plays = data.popular.select("item_idx", "plays")
    catalogue = plays.join(data.items.select("item_idx", "artist_idx"), "item_idx", "left").persist()
    judged = with_candidates(relevant, data.heard, catalogue, shelf).persist()
    ways = {"rerank": models.rerank, "neighbours": models.neighbours}
    hybrid = config.hybrid.of(shelf)
    make = {
        name: candidate_lists(models.vectors, data, hybrid, shelf, offered.depth, name, **ways)[name]
        for name in (offered.of(shelf), "popular")
    }
    chosen = make[offered.of(shelf)].persist()
    spread = [
        _spread(chosen, data, judged, shelf, offered, models.vectors, params).withColumn("model", F.lit(name))
        for name, params in VARIANTS.items()
    ]
    lists = reduce(DataFrame.unionByName, spread).persist()
    found = listener_metrics(lists, judged, catalogue, (10, offered.n), list(VARIANTS))
    figures = found.toArrow().sort_by([("user_idx", "ascending")])
    expected = _by_user(make["popular"].join(judged, "user_idx", "left_semi"), "items")
    wanted = _by_user(judged, "relevant")
    artist_of = {row.item_idx: row.artist_idx for row in catalogue.collect()}
    rows, ndcgs = [], {}
    for name in VARIANTS:
        own = figures.filter(pc.equal(figures["model"], name))
        made = _by_user(lists.where(F.col("model") == name), "items")
        ndcgs[name] = own["ndcg_10"].to_numpy()
        surprising = serendipity(*(_ragged(by, sorted(wanted)) for by in (made, wanted, expected)), offered.n)
        rows.append(
            {
                "engine": name,
                "shelf": shelf,
                "listeners": len(own),
                "ndcg_10": float(ndcgs[name].mean()),
                "diversity": _mean(own[f"diversity_{offered.n}"].to_numpy()),
                "novelty": _mean(own[f"novelty_{offered.n}"].to_numpy()),
                "serendipity": float(surprising.mean()),
                "largest_share": max(_largest_share(items, artist_of) for items in made.values()),
            }
        )
    return _with_intervals(rows, ndcgs)


def _spread(
    chosen: DataFrame,
    data: TrainingData,
    judged: DataFrame,
    shelf: Shelf,
    offered: RecommendParams,
    vectors: Mapping[str, EmbeddingModel],
    params: DiversityParams,
) -> DataFrame:
    told = offered.model_copy(update={"diversity": params})
    return spread_list(chosen, data, judged, shelf, told, vectors).select("user_idx", "items")


def _with_intervals(rows: list[Row], ndcgs: Mapping[str, NDArray[np.float64]]) -> list[Row]:
    """The change of NDCG against the plain list, paired over listeners."""
    table = np.column_stack([ndcgs[name] - ndcgs[_PLAIN] for name in VARIANTS])
    low, high = interval(resampled_means(table, 2000, 1), 0.95)
    return [
        {**row, "change": float(table[:, v].mean()), "low": float(low[v]), "high": float(high[v])}
        for v, row in enumerate(rows)
    ]


def _by_user(lists: DataFrame, column: str) -> dict[int, NDArray[np.int32]]:
    rows = lists.select("user_idx", column).toArrow()
    values = read_lists(rows[column].combine_chunks())
    return {int(user): values[i] for i, user in enumerate(rows["user_idx"].to_numpy())}


def _ragged(lists: Mapping[int, NDArray[np.int32]], users: list[int]) -> Ragged:
    own = [lists.get(user, np.zeros(0, np.int32)) for user in users]
    return Ragged(np.concatenate(own), np.cumsum([0, *map(len, own)]).astype(np.int64))


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.nanmean(values))


def _largest_share(items: NDArray[np.int32], artist_of: Mapping[int, int | None]) -> float:
    artists = Counter(artist_of[int(item)] for item in items)
    return max((count / len(items) for artist, count in artists.items() if artist is not None), default=0.0)


@click.command()
@click.option("--config", default=ROOT / "conf" / "local.toml", type=click.Path(path_type=Path), show_default=True)
@click.option("--root", default=ROOT / "lakehouse", type=click.Path(path_type=Path), show_default=True)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the configuration.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(config: Path, root: Path, overrides: tuple[str, ...], json_path: Path | None) -> None:
    """Measure caps and MMR."""

    def work() -> None:
        run, places = built(root, config, overrides)
        told = load_config(config, places)
        split = midnight(run.day) - timedelta(days=told.evaluate.test_days)
        _, test = split_at(run.lakehouse.read("silver.listens"), split)
        item = told.recommend.item
        data = training_data(run, item, told.interactions, until=split)
        tested = indexed_plays(test, item).select("user_idx", "item_idx").persist()
        fits = job_of(config, places).fits
        with tempfile.TemporaryDirectory() as folder:
            models = models_at(run, data, item, told.interactions, fits, Path(folder))
            rows = [row for shelf in SHELVES for row in judge(run, told, data, models, tested, shelf)]
        write_json(rows, json_path)
        print_rows(rows, f"What is published, {told.recommend.n} long, tested from {split:%Y-%m-%d %H:%M} on")

    ended_with(work)


if __name__ == "__main__":
    main()
