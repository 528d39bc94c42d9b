"""The whole nightly on two small dumps: run once for this file, then looked at from all sides."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from musicrec.cli import main as musicrec_command
from musicrec.config import load_config
from musicrec.entry import run_steps
from musicrec.errors import InputError
from musicrec.io.runs import Run
from musicrec.io.tables import Lakehouse
from musicrec.logs import make_logger
from musicrec.pipelines.ranking import window_at
from musicrec.pipelines.training_data import midnight
from musicrec.report import print_report
from musicrec.schemas import TABLES
from musicrec.steps import NIGHTLY, ranker_job
from tests.conftest import ROOT
from tests.dumps import listen, write_spark_dump

N, NEW_LISTENER = 5, 99
ARTISTS = 8
SMALL = (
    f"recommend.n={N}",
    "sources.tracks=",
    "als.rank=4",
    "pca.components=3",
    "lstm.model.dim=8",
    "lstm.training.epochs=2",
    "neural.models=['attention', 'dot_bias', 'ncf']",
    "attention.model.dim=8",
    "attention.training.epochs=1",
    "attention.training.learning_rate=0",
    "dot_bias.model.dim=4",
    "dot_bias.training.epochs=2",
    "ncf.model.dim=4",
    "ncf.model.mlp=[8, 4]",
    "ncf.training.epochs=1",
    "sequences.length=6",
    "sequences.stride=5",
    "recommend.depth=50",
    "ranker.enabled=true",
    "ranker.retrievers=['als', 'popular']",
    "ranker.windows=1",
    "ranker.trees=5",
    "ranker.min_leaf=5",
)

Rows = list[dict[str, Any]]


def plays(day: int, seed: int) -> Rows:
    """A day of twelve listeners, half of whom love the first artists, half the last; five songs an artist."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(1, 13):
        first = 0 if user <= 6 else ARTISTS // 2
        for place in range(6):
            artist, song = first + rng.integers(ARTISTS // 2), rng.integers(5)
            at = datetime(2021, 8, day, 10) + timedelta(minutes=4 * place, seconds=user)
            title = f"Song {artist}-{song}"
            rows.append(listen(user, at.isoformat(sep=" "), title, artist_name=f"Artist {artist}"))
    return rows


@dataclass(frozen=True)
class Night:
    lakehouse: Lakehouse
    overrides: tuple[str, ...]

    def rows(self, table: str) -> Rows:
        return DeltaTable(self.lakehouse.location(table)).to_pyarrow_table().to_pylist()

    def run(self, steps: list[str], *more: str, as_of: str | None = None) -> None:
        run_steps(steps, ROOT / "conf" / "local.toml", as_of, (*self.overrides, *more), False)

    def versions(self) -> dict[str, int | None]:
        return {name: self.lakehouse.version(name) for name in TABLES if not name.startswith("ops.")}


@pytest.fixture(scope="module")
def night(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Night:
    base = tmp_path_factory.mktemp("nightly")
    full = [row for day in range(1, 6) for row in plays(day, seed=day)]
    write_spark_dump(base / "dumps" / "full-dump-1", full, end="2021-08-06", files=2)
    late = [*plays(6, seed=6), listen(NEW_LISTENER, "2021-08-06 20:00:00", "Song 0-0", artist_name="Artist 0")]
    write_spark_dump(base / "dumps" / "incremental-dump-2", late, end="2021-08-07")
    # A night runs whatever the folder is called: each step, its files, and the readers without Spark.
    root = base / "lake #1? 50% [x] {a,b} + ü"
    overrides = (f"lakehouse.root={root}", f"sources.listens={base / 'dumps'}", *SMALL)
    made = Night(Lakehouse(spark, str(root)), overrides)
    made.run(list(NIGHTLY))
    return made


def test_every_listener_gets_n_new_items_without_gaps(night: Night) -> None:
    heard = {(row["user_id"], row["item_id"]) for row in night.rows("silver.interactions")}
    lists: dict[str, Rows] = defaultdict(list)
    for row in night.rows("gold.recommendations"):
        if row["shelf"] == "discover":
            lists[row["user_id"]].append(row)
    assert set(lists) == {str(user) for user in (*range(1, 13), NEW_LISTENER)}
    for user, rows in lists.items():
        rows.sort(key=lambda row: row["rank"])
        assert [row["rank"] for row in rows] == list(range(1, N + 1))
        assert len({row["item"] for row in rows}) == N
        assert not {(user, row["item"]) for row in rows} & heard
        assert all(a["score"] >= b["score"] for a, b in itertools.pairwise(rows))
        assert {row["as_of"] for row in rows} == {date(2021, 8, 7)}


def test_again_holds_only_what_was_played_with_the_true_count(night: Night) -> None:
    played = {
        (row["user_id"], row["item_id"]): row
        for row in night.rows("silver.interactions")
        if row["item_kind"] == "recording"
    }
    rows = [row for row in night.rows("gold.recommendations") if row["shelf"] == "again"]
    assert {row["user_id"] for row in rows} == {user for user, _ in played}
    for row in rows:
        own = played[row["user_id"], row["item"]]
        times = "once, on" if own["plays"] == 1 else f"{own['plays']} times, last on"
        assert row["reason"] == f"you played it {times} {own['last_listened_at']:%Y-%m-%d}"


def test_reasons_of_discover_name_artists_that_the_listener_plays(night: Night) -> None:
    artist_of = {row["recording_id"]: row["artist_name"] for row in night.rows("silver.recordings")}
    artists = defaultdict(set)
    for row in night.rows("silver.listens"):
        artists[row["user_id"]].add(artist_of[row["recording_id"]])
    named = 0
    for row in night.rows("gold.recommendations"):
        if row["shelf"] == "discover" and row["reason"].startswith(("because", "more of")):
            said = {artist for artist in set(artist_of.values()) if artist in row["reason"]}
            assert said
            assert said <= artists[row["user_id"]]
            named += 1
    assert named >= 30


def test_titles_and_models_are_named(night: Night) -> None:
    known = {row["recording_id"]: row for row in night.rows("silver.recordings")}
    for row in night.rows("gold.recommendations"):
        assert (row["title"], row["artist"]) == (known[row["item"]]["title"], known[row["item"]]["artist_name"])
        assert row["model"] in {"hybrid", "popular"}
        assert (row["model"] == "popular") <= row["reason"].startswith(("popular", "new"))


def test_a_second_night_without_news_changes_nothing(night: Night) -> None:
    before = night.versions()
    night.run(list(NIGHTLY))
    assert night.versions() == before
    last = max(row["started_at"] for row in night.rows("ops.runs"))
    assert {row["status"] for row in night.rows("ops.runs")} == {"ok", "skipped"}
    assert {row["job"] for row in night.rows("ops.runs") if row["started_at"] == last} <= {
        "ingest_listens",
        "ingest_tracks",
        "ingest_feedback",
    }


def test_the_report_shows_stages_scores_lists_and_places(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    report = lambda lakehouse, config, done: print_report(lakehouse, config, done)  # noqa: E731
    run_steps(["evaluate"], ROOT / "conf" / "local.toml", None, night.overrides, False, report)
    shown = capsys.readouterr().out
    assert "evaluate" in shown
    assert "up to date since" in shown
    assert shown.count("top 10 of discover") == 3
    assert "popular: NDCG@10" in shown
    assert night.lakehouse.location("gold.recommendations") in shown
    assert "because you play" in shown or "more of" in shown


def test_an_earlier_day_sees_only_what_came_before_and_leaves_the_later_one(night: Night) -> None:
    later = [row for row in night.rows("gold.recommendations") if row["as_of"] == date(2021, 8, 7)]
    steps = ["build_silver", "train_als", "train_pca", "train_sequence", "recommend"]
    night.run(steps, "neural.models=[]", as_of="2021-08-06")
    rows = night.rows("gold.recommendations")
    assert [row for row in rows if row["as_of"] == date(2021, 8, 7)] == later
    earlier = {row["user_id"] for row in rows if row["as_of"] == date(2021, 8, 6)}
    assert str(NEW_LISTENER) not in earlier
    assert len(earlier) == 12
    # The index only grows: who is not in silver any more keeps their idx.
    assert str(NEW_LISTENER) in {row["user_id"] for row in night.rows("silver.user_index")}


def test_the_books_say_what_was_read_and_written(night: Night) -> None:
    runs = {row["job"]: row for row in night.rows("ops.runs") if row["as_of"] in (None, date(2021, 8, 7))}
    assert set(runs) == set(NIGHTLY)
    written = dict(runs["train_als"]["tables_written"])
    assert set(written) == {"models.user_vectors", "models.item_vectors"}
    assert "silver.interactions" in dict(runs["train_als"]["tables_read"])
    assert dict(runs["evaluate"]["packages"])["pyspark"].startswith("4.0")
    assert '"rank": 4' in runs["recommend"]["config"]
    models = night.rows("ops.models")
    assert {row["model"] for row in models} == {"als", "pca", "lstm", "attention", "dot_bias", "ncf", "ranker"}
    assert all((row["user_vectors_version"] is None) == (row["model"] in ("ncf", "ranker")) for row in models)
    names = {row["name"] for row in night.rows("ops.metrics")}
    assert {"share", "train_loss", "ndcg_at_10", "explained_variance_ratio", "rows_quarantined", "seconds"} <= names
    ratios = [row for row in night.rows("ops.metrics") if row["name"] == "explained_variance_ratio"]
    assert {row["step"] for row in ratios} == {0, 1, 2}


def test_a_first_nights_evaluation_trains_no_sequence_model_a_third_time(night: Night) -> None:
    files = Path(night.lakehouse.root) / "files"
    runs = {(row["run_id"], row["job"]) for row in night.rows("ops.runs") if row["as_of"] == date(2021, 8, 7)}
    found = [row for row in night.rows("ops.metrics") if row["name"] == "judged_as_it_chose_its_epochs"]
    judged = {json.loads(row["tags"])["model"] for row in found if row["job"] == "evaluate"}
    assert {(row["run_id"], row["job"]) for row in found} <= runs
    assert judged == {"lstm", "attention"}
    for model in judged:
        assert (files / model / "held_out" / "weights.safetensors").is_file()
        assert not (files / "evaluate" / model).exists()
    assert (files / "evaluate" / "dot_bias").is_dir()


def test_the_books_keep_what_was_said_and_what_was_planned(night: Night) -> None:
    told = next(json.loads(row["config"]) for row in night.rows("ops.runs") if row["job"] == "train_sequence")
    assert told["lstm"]["model"]["loss"]["negatives"] == "auto"
    assert told["lstm"]["training"]["batch_size"] == "auto"
    planned = next(json.loads(row["params"]) for row in night.rows("ops.models") if row["model"] == "lstm")
    assert (planned["loss"]["negatives"], planned["max_items"]) == (0, 0)
    figures = {
        row["name"]: row["value"]
        for row in night.rows("ops.metrics")
        if row["job"] == "train_sequence" and json.loads(row["tags"]).get("model") == "lstm"
    }
    assert (figures["negatives"], figures["batch_size"], figures["epochs"]) == (0, 4, 2)


def test_evaluation_has_every_model_metric_and_shelf(night: Night) -> None:
    rows = night.rows("gold.evaluation")
    discover = {row["model"] for row in rows if row["shelf"] == "discover"}
    again = {row["model"] for row in rows if row["shelf"] == "again"}
    neural = {"lstm", "attention", "dot_bias", "ncf"}
    assert discover == {"als", "pca", "knn", "popular", "artist_popular", "hybrid", "published", "ranker"} | neural
    assert again == discover - {"ranker"} | {"own_top"}
    names = {(row["metric"], row["k"]) for row in rows}
    at_k = (
        "recall",
        "precision",
        "f1",
        "ndcg",
        "map",
        "mrr",
        "hit_rate",
        "coverage",
        "novelty",
        "diversity",
        "ndcg_gain",
    )
    assert names == {(metric, k) for metric in at_k for k in (10, 50)} | {("auc", 0)}
    for row in rows:
        if row["metric"] == "ndcg":
            assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1


def test_the_pictures_of_the_trainings_are_there_and_no_checkpoint_is_left(night: Night) -> None:
    files = Path(night.lakehouse.root) / "files"
    for picture in ("lstm/choose/history.png", "dot_bias/history.png", "attention/choose/lr_find.png"):
        assert (files / picture).read_bytes().startswith(b"\x89PNG")
    assert list(files.rglob("checkpoint-*")) == []


def test_the_most_and_least_loved_are_by_the_bias_that_is_saved(night: Night) -> None:
    rows = sorted(night.rows("gold.loved_items"), key=lambda row: row["rank"])
    biases = [row["bias"] for row in rows]
    assert biases == sorted(biases, reverse=True)
    bias_of = {row["item_idx"]: row["bias"] for row in night.rows("models.item_vectors") if row["model"] == "dot_bias"}
    index = {row["item_id"]: row["item_idx"] for row in night.rows("silver.item_index")}
    offsets = {round(bias_of[index[row["item"]]] - row["bias"], 5) for row in rows}
    assert len(rows) > 20
    assert len(offsets) == 1  # the global bias


@pytest.mark.parametrize("model", ["ncf", "ranker"])
def test_a_model_that_reranks_can_be_what_is_published(night: Night, model: str) -> None:
    night.run(
        ["recommend"],
        f"recommend.discover={model}",
        "recommend.context.enabled=true",
        "recommend.context.min_plays=7",
    )
    rows = [row for row in night.rows("gold.recommendations") if row["as_of"] == date(2021, 8, 7)]
    assert {row["model"] for row in rows if row["shelf"] == "discover"} <= {model, "popular"}
    lists = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["rank"]):
        if row["shelf"] == "discover" and row["model"] == model:
            lists[row["user_id"]].append(row["score"])
    assert lists
    assert all(scores == sorted(scores, reverse=True) for scores in lists.values())
    # All was played between 10 and 11 in the morning, by the new listener too seldom.
    by_part = {(row["shelf"], row["user_id"]) for row in rows if row["shelf"].startswith("discover_")}
    assert by_part == {("discover_morning", str(user)) for user in range(1, 13)}


def test_a_ranker_of_other_features_is_refused_and_the_lists_stay(night: Night) -> None:
    before = night.versions()
    with pytest.raises(InputError, match=r"today's features, found without none of them; with hour_match, weekday"):
        night.run(["recommend"], "recommend.discover=ranker", "ranker.leave_out=['context']")
    with pytest.raises(InputError, match=r"ranker\.retrievers: expected some of .*, found dot_bias"):
        night.run(["train_ranker"], "neural.models=[]", "ranker.retrievers=['als', 'dot_bias']")
    assert night.versions() == before


def test_what_a_ranker_learns_from_ends_before_the_window(night: Night) -> None:
    run = Run(night.lakehouse, "r", "test", datetime(2026, 1, 1, tzinfo=UTC), 7, make_logger("r"), date(2021, 8, 7))
    job = ranker_job(load_config(ROOT / "conf" / "local.toml", night.overrides))
    start, end = midnight(date(2021, 8, 5)), midnight(date(2021, 8, 6))
    with window_at(run, job, start, end) as window:
        is_before = window.retrieval.data.plays.agg(F.min(F.col("listened_at") < F.lit(start))).collect()[0][0]
        made = window.examples().collect()
    assert is_before
    heard, played = defaultdict(set), defaultdict(set)
    for row in night.rows("silver.listens"):
        side = heard if row["listened_at"] < start else played if row["listened_at"] < end else None
        if side is not None:
            side[row["user_idx"]].add(row["recording_idx"])
    assert {row.user_idx for row in made} == {user for user in played if played[user] - heard[user]}
    for row in made:
        assert not set(row["items"]) & heard[row.user_idx]
        assert row.labels == [int(item in played[row.user_idx]) for item in row["items"]]


def test_the_command_line_shows_a_list_without_spark(night: Night) -> None:
    root = night.lakehouse.root
    shown = CliRunner().invoke(musicrec_command, ["show", "1", "--root", root, "-n", "3"])
    assert shown.exit_code == 0
    top = [r for r in night.rows("gold.recommendations") if (r["user_id"], r["shelf"]) == ("1", "discover")]
    top = sorted((r for r in top if r["as_of"] == date(2021, 8, 7)), key=lambda row: row["rank"])
    assert all(row["title"] in shown.output for row in top[:3])
    assert f"\n  {4}   " not in shown.output
    for arguments, words in (
        (["show", "nobody", "--root", root], "listener nobody"),
        (["show", "1", "--root", root, "--as-of", "1999-01-01"], "1999-01-01"),
        (["show", "1", "--root", f"{root}/nowhere"], "gold.recommendations"),
    ):
        refused = CliRunner().invoke(musicrec_command, arguments)
        assert refused.exit_code == 2
        assert words in refused.output
        assert refused.output.count("\n") == 1


def test_a_step_that_fails_leaves_its_tables_and_is_booked(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    before = night.versions()
    interactions = sorted(map(str, night.rows("silver.interactions")))

    def fail_after_writing(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("musicrec.pipelines.build_silver.windows", fail_after_writing)
    with pytest.raises(ZeroDivisionError):
        night.run(["build_silver"], "interactions.confidence=binary")
    assert sorted(map(str, night.rows("silver.interactions"))) == interactions
    assert night.versions() != before  # what was put back is a commit of its own
    failed = [row for row in night.rows("ops.runs") if row["status"] == "failed"]
    assert [row["job"] for row in failed] == ["build_silver"]
    assert "planted" in failed[0]["error"]


def test_a_day_before_the_first_listen_is_refused(night: Night) -> None:
    before = night.versions()
    with pytest.raises(InputError, match=r"bronze\.listens.*before 2001-01-01"):
        night.run(["build_silver"], as_of="2001-01-01")
    assert night.versions() == before
