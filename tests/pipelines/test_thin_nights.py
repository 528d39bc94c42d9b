"""Nights with too little to work on: what cannot work is skipped and says why, lists are made of what there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from musicrec import steps
from musicrec.entry import run_steps
from musicrec.errors import InputError, StepsFailedError
from musicrec.io import run_log
from musicrec.io.tables import Lakehouse
from musicrec.pipelines import earlier_build
from musicrec.report import print_report
from musicrec.schemas import TABLES
from musicrec.steps import INGEST, NIGHTLY
from tests.catalogues import write_catalogue
from tests.conftest import ROOT
from tests.dumps import listen, write_spark_dump

SMALL = (
    "recommend.n=3",
    "recommend.depth=20",
    "als.rank=4",
    "als.iterations=2",
    "pca.components=3",
    "lstm.model.dim=4",
    "lstm.training.epochs=1",
    "sequences.length=6",
    "sequences.stride=5",
)
NEURAL = (
    "neural.models=['attention', 'dot_bias', 'ncf']",
    "dot_bias.training.epochs=1",
    "ncf.training.epochs=1",
    "recommend.discover=ncf",
)
WITHOUT_CATALOGUE = {"build_features", "cluster_tracks", "train_content", "train_cold_start"}
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Night:
    lakehouse: Lakehouse
    overrides: tuple[str, ...]

    def run(self, names: Sequence[str] = NIGHTLY, *more: str, as_of: str | None = None, **told: Any) -> None:
        given = {"force": False, "report": print_report} | told
        run_steps(names, ROOT / "conf" / "local.toml", as_of, (*self.overrides, *more), **given)

    def rows(self, table: str) -> Rows:
        return DeltaTable(self.lakehouse.location(table)).to_pyarrow_table().to_pylist()

    def ends(self) -> dict[str, tuple[str, str | None]]:
        """Each job's last status, and why."""
        runs = sorted(self.rows("ops.runs"), key=lambda row: row["started_at"])
        return {row["job"]: (row["status"], row["error"]) for row in runs}

    def skipped(self) -> dict[str, str | None]:
        """Why, by job; all others ended well."""
        ends = self.ends()
        assert {status for status, _ in ends.values()} <= {"ok", "skipped"}
        assert set(ends) == set(NIGHTLY)
        return {job: why for job, (status, why) in ends.items() if status == "skipped"}

    def lists(self, as_of: date) -> dict[tuple[str, str], list[str]]:
        """The titles of each shelf and listener, in order."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for row in sorted(self.rows("gold.recommendations"), key=lambda row: row["rank"]):
            if row["as_of"] == as_of:
                found[row["shelf"], row["user_id"]].append(row["title"])
        return found

    def versions(self) -> dict[str, int | None]:
        return {name: self.lakehouse.version(name) for name in TABLES if not name.startswith("ops.")}


def make_night(
    spark: SparkSession, base: Path, listens: Rows, tracks: Rows | None = None, end: str = "2021-08-08"
) -> Night:
    write_spark_dump(base / "dumps" / "full-dump-1", listens, end=end)
    catalogue = write_catalogue(base / "tracks", "spotify_songs", tracks) if tracks else ""
    root = base / "lakehouse"
    places = (f"lakehouse.root={root}", f"sources.listens={base / 'dumps'}", f"sources.tracks={catalogue}")
    return Night(Lakehouse(spark, str(root)), (*places, *SMALL))


@pytest.fixture(autouse=True, scope="module")
def _same_code() -> Iterator[None]:
    """All nights are by the same code, whoever edits a file in the meantime."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (run_log, earlier_build):
            patch.setattr(module, "package_versions", dict)
        yield


def crash(*_: object) -> None:
    raise ZeroDivisionError("planted")


def broken(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """The steps fail."""
    for name in names:
        monkeypatch.setitem(steps.STEPS, name, replace(steps.STEPS[name], work=crash))


def two_listeners() -> Rows:
    """Eight days of listener 1 and five of listener 2, of twelve songs by four artists; few listens on the last day."""
    rows = []
    for day in range(1, 9):
        for place in range(2 if day == 8 else 4):
            for user in (1, 2):
                song = (day * 5 + place * 3 + user) % 12
                at = f"2021-08-{day:02} 1{place}:0{user}:00"
                if user == 1 or day > 3:
                    rows.append(listen(user, at, f"Song {song}", artist_name=f"Artist {song % 4}"))
    return rows


LAST = date(2021, 8, 9)


@pytest.fixture(scope="module")
def two(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Night, str, str]:
    """A night of two listeners and two tracks, in which two steps fail; what it printed, and its last line."""
    names = [("Song 1", "Artist 1"), ("Song 2", "Artist 2"), ("Never Played", "Artist 1")]
    tracks = [
        {"track_id": f"t{n}", "track_name": title, "track_artist": artist, "energy": f"0.{n + 2}"}
        for n, (title, artist) in enumerate(names)
    ]
    night = make_night(spark, tmp_path_factory.mktemp("two"), two_listeners(), tracks, end="2021-08-09")
    shown: list[str] = []

    def report(*told: Any) -> None:
        shown.extend(f"{own.step} {own.status}: {own.stage.note}" for own in told[2])

    with pytest.MonkeyPatch.context() as patch:
        broken(patch, "cluster_tracks", "analyse")
        with pytest.raises(StepsFailedError) as failed:
            night.run(report=report)
    assert failed.value.exit_code == 1
    return night, "\n".join(shown), str(failed.value)


def test_a_step_that_the_lists_do_not_need_fails_and_the_lists_are_published(two: tuple[Night, str, str]) -> None:
    night, shown, line = two
    assert line == (
        "failed: cluster_tracks, analyse (why: ops.runs); the lists were published all the same; "
        "restart: --from cluster_tracks"
    )
    ends = night.ends()
    for step in ("cluster_tracks", "analyse"):
        status, why = ends.pop(step)
        assert status == "failed"
        assert why is not None
        assert why.startswith("ZeroDivisionError: planted")
        assert f"{step} failed: ZeroDivisionError: planted" in shown
    assert {job for job, (status, _) in ends.items() if status == "skipped"} == {"train_cold_start", "train_ranker"}
    assert {status for status, _ in ends.values()} == {"ok", "skipped"}
    assert not night.lakehouse.exists("gold.clusters")


def test_two_listeners_get_their_lists(two: tuple[Night, str, str]) -> None:
    night = two[0]
    heard: dict[str, set[str]] = defaultdict(set)
    for row in two_listeners():
        heard[str(row["user_id"])].add(row["recording_name"])
    lists = night.lists(LAST)
    for user in ("1", "2"):
        again, discover = lists["again", user], lists["discover", user]
        assert len(again) == 3
        assert set(again) <= heard[user]
        assert len(discover) == min(3, 12 - len(heard[user]))
        assert not set(discover) & heard[user]
    assert {row["shelf"] for row in night.rows("gold.evaluation")} <= {"discover", "again"}


def test_why_a_step_was_skipped_is_said_in_the_books_and_the_report(two: tuple[Night, str, str]) -> None:
    night, shown, _ = two
    status, why = night.ends()["train_cold_start"]
    assert (status, why) == (
        "skipped",
        "cold start: expected 50 played tracks with features (cold_start.min_tracks), found 2",
    )
    assert f"train_cold_start skipped: {why}" in shown


def test_the_night_goes_on_from_the_step_that_failed_and_what_was_skipped_is_not_tried_again(
    two: tuple[Night, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    night = two[0]
    runs = len(night.rows("ops.runs"))
    night.run(first="cluster_tracks")
    ends = night.ends()
    assert ends["cluster_tracks"][0] == "ok"
    assert ends["analyse"][0] == "ok"
    assert len(night.rows("ops.runs")) == runs + 2
    shown = capsys.readouterr().out
    assert "skipped: cold start" in shown
    assert "as in" in shown
    assert night.rows("gold.clusters")


def test_a_step_that_the_lists_need_ends_the_night(
    two: tuple[Night, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    night = two[0]
    lists = night.lakehouse.version("gold.recommendations")
    broken(monkeypatch, "train_pca")
    with pytest.raises(ZeroDivisionError):
        night.run(["train_pca", "recommend"], force=True)
    assert night.ends()["train_pca"][0] == "failed"
    assert night.lakehouse.version("gold.recommendations") == lists


def test_a_step_alone_fails_with_its_own_error(two: tuple[Night, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "analyse")
    with pytest.raises(ZeroDivisionError):
        two[0].run(["analyse"], force=True)


def test_an_earlier_model_is_not_taken_for_one_that_there_is_too_little_for(two: tuple[Night, str, str]) -> None:
    """On the third day there was one listener: PCA, which was fitted for the last day, has nothing to compare."""
    night = two[0]
    assert {row["model"] for row in night.rows("models.item_vectors")} >= {"als", "pca", "lstm"}
    names = ["build_silver", "train_als", "train_pca", "train_sequence", "recommend", "evaluate"]
    night.run(names, as_of="2021-08-04")
    assert night.ends()["train_pca"] == ("skipped", "pca: expected two listeners or more, found 1")
    for table in ("models.item_vectors", "models.user_vectors"):
        assert "pca" not in {row["model"] for row in night.rows(table)}
    lists = night.lists(date(2021, 8, 4))
    assert {user for _, user in lists} == {"1"}
    assert len(lists["again", "1"]) == 3
    # As it was: an earlier day takes nothing from a later one.
    assert {user for _, user in night.lists(LAST)} == {"1", "2"}


@pytest.mark.nights
def test_one_listener_with_one_track(spark: SparkSession, tmp_path: Path) -> None:
    night = make_night(spark, tmp_path, [listen(1, "2021-08-07 12:00:00")])
    night.run(NIGHTLY, *NEURAL)
    skipped = night.skipped()
    models = {"train_pca", "train_sequence", "train_neural", "train_knn", "train_ranker"}
    assert set(skipped) == {*models, "evaluate", *WITHOUT_CATALOGUE}
    # The other two need no order of plays.
    assert (skipped["train_neural"] or "").startswith("attention, table silver.sequences: ")
    assert {row["model"] for row in night.rows("ops.models")} == {"als", "dot_bias", "ncf"}
    assert skipped["evaluate"] == (
        "evaluate, table silver.listens: expected listens before 2021-08-07 00:00, found none"
    )
    assert "two plays in a row" in (skipped["train_sequence"] or "")
    assert night.lists(date(2021, 8, 8)) == {("again", "1"): ["Halo"]}


@pytest.mark.nights
def test_no_catalogue_and_a_listen_each(spark: SparkSession, tmp_path: Path) -> None:
    rows = [
        listen(user, f"2021-08-0{user + 4} 12:00:00", f"Song {song}", artist_name=f"Artist {song}")
        for user, song in ((1, 1), (2, 2), (3, 2))
    ]
    night = make_night(spark, tmp_path, rows)
    night.run([name for name in NIGHTLY if name not in {*WITHOUT_CATALOGUE, "analyse"}], "ranker.enabled=false")
    assert {job for job, (status, _) in night.ends().items() if status != "ok"} == {"train_sequence", "train_knn"}
    # The last day's listener was new on it: nothing of theirs can be had again.
    judged = {(row["shelf"], row["model"]) for row in night.rows("gold.evaluation")}
    assert judged >= {("discover", name) for name in ("als", "pca", "hybrid", "published", "popular")}
    assert {shelf for shelf, _ in judged} == {"discover"}
    assert "lstm" not in {model for _, model in judged}
    lists = night.lists(date(2021, 8, 8))
    assert {user: titles for (shelf, user), titles in lists.items() if shelf == "discover"} == {
        "1": ["Song 2"],
        "2": ["Song 1"],
        "3": ["Song 1"],
    }
    assert {user for shelf, user in lists if shelf == "again"} == {"1", "2", "3"}


@pytest.mark.nights
def test_two_listeners_of_the_same_track_have_nothing_to_discover(spark: SparkSession, tmp_path: Path) -> None:
    rows = [listen(user, f"2021-08-07 1{place}:00:0{user}") for user in (1, 2) for place in (0, 1)]
    night = make_night(spark, tmp_path, rows)
    others = {"build_features", "cluster_tracks", "train_content", "train_cold_start", "train_ranker", "evaluate"}
    night.run([name for name in NIGHTLY if name not in others])
    assert night.ends()["train_pca"] == (
        "skipped",
        "pca: expected listeners that differ, found 2 with the same weights",
    )
    assert night.lists(date(2021, 8, 8)) == {("again", "1"): ["Halo"], ("again", "2"): ["Halo"]}


def test_a_night_without_a_listen_ends_with_a_row_in_the_books(spark: SparkSession, tmp_path: Path) -> None:
    night = make_night(spark, tmp_path, [listen(1, title=""), listen(2, recording_name=None)])
    with pytest.raises(InputError) as refused:
        night.run()
    [last] = [row for row in night.rows("ops.runs") if row["job"] not in INGEST]
    assert (last["job"], last["status"], last["error"]) == ("build_silver", "refused", str(refused.value))
    assert not night.lakehouse.exists("gold.recommendations")


def test_a_job_without_its_tables_is_refused_in_the_books_alone(spark: SparkSession, tmp_path: Path) -> None:
    night = make_night(spark, tmp_path, [listen()])
    for told in ({}, {"as_of": "2021-08-08"}):
        with pytest.raises(InputError, match=r"run jobs/(ingest_listens|build_silver)\.py first"):
            night.run(["recommend"], **told)
    assert {(row["job"], row["status"]) for row in night.rows("ops.runs")} == {("recommend", "refused")}
    assert set(night.versions().values()) == {None}
