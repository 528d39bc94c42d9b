"""How well tracks that no one has played are offered, by holding tracks out entirely.

    python -m benchmarks.cold_start sample [--hits FOLDER] [--lakehouse ROOT] [--folds 5] [--json FILE]
    python -m benchmarks.cold_start hetrec --hetrec FOLDER [--folds 5] [--json FILE]

`sample` builds the silver tables of the bundled sample (`--hits` adds the folder of the Spotify hit predictor's CSVs to
the catalogue; `--lakehouse` takes tables that are there, with build_features done). Plays before the last day train,
those of the last day are wanted. `hetrec` takes Last.fm's artists with their tags as content; a fifth of the pairs is
wanted, drawn by hash. In each fold a fifth of the tracks (those with content, by hash) loses all its plays; ALS is
trained without them, and `als_content` maps their factors from content. `warm` is ALS with their training plays.
Recall@50 and NDCG@50 of the wanted held-out tracks, among the held-out ones alone and among all, are means over
listeners; intervals are 95 % percentile bootstraps over listeners. `of_warm` is the share of warm's figure.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.cold_start_data import Case, hetrec_case, sample_case
from benchmarks.measure import ROOT, Row, print_rows, write_json
from benchmarks.tasks import best_items
from musicrec.entry import ended_with
from musicrec.errors import ConfigError
from musicrec.evaluation.bootstrap import interval, resampled_means
from musicrec.evaluation.judged import Judged
from musicrec.evaluation.metrics import ItemFacts, measure, metric_columns
from musicrec.logs import make_logger
from musicrec.models.als.block import alternate, first_items
from musicrec.models.als.rows import make_block
from musicrec.models.blocks import Ragged
from musicrec.models.cold_start.collect import known_tracks
from musicrec.models.cold_start.content_map import Choice, Training, choose_map, fit_map
from musicrec.models.cold_start.inputs import Matrix, Played, Tracks
from musicrec.models.cold_start.params import ColdStartParams
from musicrec.models.collective import Collective
from musicrec.spark import build_session

K, SEED, RESAMPLES = 50, 1, 2000
METHODS = ("als_content", "content alone", "artist mean", "content kNN", "popular", "random", "warm")
Ints = NDArray[np.int64]
# (wanted, ranked among, method) → per listener: sums of recall and NDCG, and in how many folds
Sums = dict[tuple[str, str, str], Matrix]


@click.command()
@click.argument("data", type=click.Choice(["sample", "hetrec"]))
@click.option("--hits", type=click.Path(path_type=Path), help="Folder of the hit predictor's CSVs.")
@click.option("--hetrec", type=click.Path(path_type=Path), help="Folder of Last.fm HetRec.")
@click.option("--lakehouse", help="Tables that are there, instead of building them.")
@click.option("--folds", default=5, show_default=True, help="Of the five: how many are run.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(
    data: str, hits: Path | None, hetrec: Path | None, lakehouse: str | None, folds: int, json_path: Path | None
) -> None:
    """Hold tracks out, map them from content, and judge the lists."""

    def work() -> None:
        if data == "hetrec" and hetrec is None:
            raise ConfigError("--hetrec", "the folder of the data set", "none")
        if data == "hetrec" and hetrec is not None:
            case = hetrec_case(hetrec)
        else:
            with tempfile.TemporaryDirectory(prefix="cold-start-") as scratch:
                spark = build_session("musicrec cold start", ROOT / "conf", {"spark.sql.shuffle.partitions": "2"})
                case = sample_case(spark, lakehouse, hits, scratch)
                spark.stop()
        rows = judge(case, folds)
        write_json(rows, json_path)
        print_rows(rows, f"cold start, {data}: {case.users:,} listeners, {case.items:,} items, {case.about}")

    ended_with(work)


def judge(case: Case, folds: int) -> list[Row]:
    """A row for each kind of wanted tracks, candidates and method."""
    sums: Sums = defaultdict(lambda: np.zeros((case.users, 3)))
    warm_users, warm_items = fit(case, case.weights)
    for fold in range(folds):
        held = case.held_out(fold)
        weights = case.weights.copy()
        weights[:, held] = 0
        users, items = fit(case, weights)
        scores = cold_scores(case, weights, held, users, items, fold)
        scores["warm"] = warm_users @ warm_items[:, :-1].T + warm_items[:, -1]
        known = np.flatnonzero(weights.any(axis=0))
        for wanted, (pairs, seen) in case.wanted.items():
            only = np.zeros_like(pairs)
            only[:, held] = pairs[:, held]
            for among, candidates in {"held-out": held, "all": np.union1d(known, held)}.items():
                for method in METHODS:
                    add(sums[wanted, among, method], scores[method], only, seen, candidates)
    return [row for wanted in case.wanted for among in ("held-out", "all") for row in rows_of(sums, wanted, among)]


def fit(case: Case, weights: Matrix) -> tuple[Matrix, Matrix]:
    """ALS's listeners [users × d] and items with bias [items × (d + 1)]; 0 where it knows nothing.

    The blocked engine in this process alone: the same bits as `fit_als` gives in a session.
    """
    users, items = np.nonzero(weights)
    alone = Collective(0, 1, None)
    entries = weights[users, items].astype(np.float32)
    block = make_block(alone, users.astype(np.int32), items.astype(np.int32), entries, int(items.max()) + 1)
    first = first_items(block, case.als.rank, SEED)
    found = alternate(alone, block, case.als, first, case.als.iterations, False, lambda _: None)
    of_users, of_items = np.zeros((case.users, case.als.rank)), np.zeros((case.items, case.als.rank + 1))
    of_users[block.user_idx] = found.users
    of_items[: len(found.items), :-1] = found.items
    return of_users, of_items


def cold_scores(case: Case, weights: Matrix, held: Ints, users: Matrix, items: Matrix, fold: int) -> dict[str, Matrix]:
    """Scores of all items for all listeners, by method, when the held-out ones have no plays."""
    plays = np.where(weights.any(axis=0), case.plays, 0.0)
    params = ColdStartParams()
    asked = case.song[held]
    choice = Choice("artist")
    scores = {}
    for method in ("als_content", "content alone", "artist mean"):
        tracks, played = case.tracks, Played(items, plays, case.artist, case.genres, case.song)
        if method == "content alone":
            tracks, played = _without_groups(tracks), _played_without_groups(played)
        known, factors, counts = known_tracks(played, case.ids, params.min_plays)
        learned, unplayed = tracks.take(known), tracks.take(case.unplayed[: params.unplayed])
        if method == "artist mean":
            choice = Choice("artist")
        elif method == "als_content":
            choice, _ = choose_map(
                learned, factors, counts, played, unplayed, users, params, make_logger(f"fold {fold}")
            )
        training = Training.of(learned, factors, counts, played, unplayed, params)
        full = items.copy()
        full[held] = fit_map(training, choice, params.landmarks).predict(tracks.take(asked))
        scores[method] = users @ full[:, :-1].T + full[:, -1]
    popular = np.log1p(plays)[None].repeat(case.users, axis=0)
    rng = np.random.default_rng(fold)
    return scores | {
        "content kNN": content_knn(case, weights, held, popular),
        "popular": popular,
        "random": rng.random((case.users, case.items)),
    }


def content_knn(case: Case, weights: Matrix, held: Ints, popular: Matrix, k: int = 20) -> Matrix:
    """A held-out track scores the sum over its k nearest played tracks of cosine × the listener's weight.

    Other items are scored so too, each by its own neighbours; one without content comes after all that have some, by
    popularity.
    """
    has_content = case.song < len(case.ids)
    played = np.flatnonzero(weights.any(axis=0) & has_content)
    vectors = case.tracks.content[np.where(has_content, case.song, 0)]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    scores = popular * 1e-6 - 1.0
    for item in np.union1d(played, held):
        cosines = unit[played] @ unit[item]
        cosines[played == item] = -np.inf
        near = np.argsort(-cosines, kind="stable")[:k]
        scores[:, item] = weights[:, played[near]] @ np.maximum(cosines[near], 0)
    return scores


def _without_groups(tracks: Tracks) -> Tracks:
    nothing = Ragged(np.zeros(0, np.int64), np.zeros(len(tracks) + 1, np.int64))
    return Tracks(tracks.content, tracks.popularity, np.full(len(tracks), -1), nothing, tracks.song)


def _played_without_groups(played: Played) -> Played:
    size = len(played.artist)
    nothing = Ragged(np.zeros(0, np.int64), np.zeros(size + 1, np.int64))
    return Played(played.factors, played.plays, np.full(size, -1), nothing, played.song)


def add(sums: Matrix, scores: Matrix, wanted: Matrix, seen: NDArray[np.bool_], candidates: Ints) -> None:
    """Add each listener's recall and NDCG at 50 of one fold to `sums`, and 1 to its count."""
    relevant = [np.flatnonzero(row) for row in wanted[:, candidates] > 0]
    users = np.flatnonzero([len(own) for own in relevant])
    ranked = scores[np.ix_(users, candidates)]
    ranked[seen[np.ix_(users, candidates)]] = -np.inf
    best = np.empty((len(users), min(K, len(candidates))), np.int32)
    best_items(ranked.astype(np.float32), best)
    own = [relevant[user] for user in users]
    starts = np.concatenate([[0], np.cumsum([len(one) for one in own])]).astype(np.int64)
    judged = Judged(users, Ragged(np.concatenate(own).astype(np.int32), starts), np.full(len(users), len(candidates)))
    lists = Ragged(best.ravel(), np.arange(0, best.size + 1, best.shape[1]))
    nothing = ItemFacts.of(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    values = measure(lists, judged, np.arange(len(users)), nothing, [K])
    columns = list(metric_columns([K]))
    sums[users, 0] += values[columns.index(f"recall_{K}")]
    sums[users, 1] += values[columns.index(f"ndcg_{K}")]
    sums[users, 2] += 1


def rows_of(sums: Mapping[tuple[str, str, str], Matrix], wanted: str, among: str) -> list[Row]:
    """The methods' figures for one kind of wanted tracks and candidates, with intervals, and their shares of warm's."""
    judged = sums[wanted, among, "warm"][:, 2] > 0
    figures = {name: sums[wanted, among, name][judged] for name in METHODS}
    values = np.hstack([own[:, :2] / own[:, 2:] for own in figures.values()])
    means = resampled_means(values, RESAMPLES, SEED)
    rows: list[dict[str, Any]] = []
    low, high = interval(means, 0.95)
    warm = 2 * METHODS.index("warm")
    for place, name in enumerate(METHODS):
        at = 2 * place
        share_low, share_high = interval(means[:, [at]] / means[:, [warm]], 0.95)
        rows.append(
            {
                "engine": name,
                "wanted": wanted,
                "among": among,
                "recall": float(values[:, at].mean()),
                "recall_low": float(low[at]),
                "recall_high": float(high[at]),
                "ndcg": float(values[:, at + 1].mean()),
                "ndcg_low": float(low[at + 1]),
                "ndcg_high": float(high[at + 1]),
                "of_warm": float(values[:, at].mean() / values[:, warm].mean()),
                "of_warm_low": float(share_low[0]),
                "of_warm_high": float(share_high[0]),
                "listeners": int(judged.sum()),
            }
        )
    return rows


if __name__ == "__main__":
    main()
