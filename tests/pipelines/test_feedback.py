"""Feedback from its files to the shelves: two small nights, whose statements are known."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.entry import run_steps
from musicrec.errors import InputError
from musicrec.io.runs import Run
from musicrec.io.tables import Lakehouse
from musicrec.logs import make_logger
from musicrec.models.embedding import EmbeddingModel
from musicrec.pipelines.feedback import blocked_artist_keys
from musicrec.pipelines.lists import candidate_lists, filled_list, spread_list
from musicrec.pipelines.settings import SHELVES, RecommendParams
from musicrec.pipelines.training_data import TrainingData, training_data
from musicrec.ranking.fusion import HybridParams
from musicrec.transforms.interactions import InteractionParams
from tests.conftest import ROOT
from tests.dumps import listen, write_spark_dump

STEPS = ["ingest_listens", "ingest_feedback", "build_silver"]
USERS, ARTISTS, SONGS = 6, 5, 4
DAY = date(2021, 8, 7)
ROB, MBID, ARTIST_MBID = "1", "00000000-0000-0000-0000-0000000000AA", "00000000-0000-0000-0000-0000000000BB"

Rows = list[dict[str, Any]]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def said(user: str, score: int | str | None, when: str = "2021-08-02", **item: str) -> dict[str, Any]:
    return {"user_id": user, "score": score, "created": at(when), **item}


# user 1 is called Rob; 2 changes their mind; what is said on or after the 7th does not count.
STATEMENTS: list[dict[str, Any] | str] = [
    {"user_id": "1", "user_name": "Rob"},
    {"user_name": "rob", "recording_msid": "msid-Song 0-0", "feedback": -1, "created": "2021-08-02T10:00:00"},
    {"user_name": "rob", "recording_mbid": MBID.lower(), "feedback": "bad_recommendation", "created": "2021-08-02"},
    {"user_id": "ROB", "artist_name": "  the ARTIST 3 ", "created": at("2021-08-02")},
    said("2", -1, recording_msid="msid-Song 0-1"),
    said("2", 1, "2021-08-03", recording_msid="msid-Song 0-1"),
    said("2", -1, recording_msid="msid-Song 0-2"),
    said("2", 0, "2021-08-03", recording_msid="msid-Song 0-2"),
    said("2", 0, "2021-08-01", recording_msid="msid-Song 0-3"),
    said("2", -1, "2021-08-02", recording_msid="msid-Song 0-3"),
    said("2", -1, "2021-08-07", recording_msid="msid-Song 1-0"),
    said("3", 1, recording_msid="msid-Song 4-3"),
    said("3", None, artist_mbid=ARTIST_MBID),
    said("4", -1, artist_mbid=ARTIST_MBID),
    said("4", 0, "2021-08-03", artist_mbid=ARTIST_MBID),
    said("5", -1, recording_msid="msid-never played"),
    said("nobody", -1, recording_msid="msid-Song 0-0"),
    # Not in the dump, which was made later: it was taken back.
    said("6", -1, "2021-07-30", recording_msid="msid-Song 2-1"),
]
DUMP_AT = "20210801-000000"
IN_DUMP = [{"user_name": "6", "recording_msid": "msid-Song 2-2", "feedback": -1, "created": "2021-07-30T01:02:03"}]
BAD: list[dict[str, Any] | str] = [
    "{broken",
    {"score": 1, "created": 1, "recording_msid": "m"},
    {"user_id": "1", "score": 1, "created": 1},
    said("1", 2, recording_msid="m"),
    said("1", "1f", recording_msid="m"),
    said("1", 1, artist_name="x"),
    {"user_id": "1", "score": 1, "recording_msid": "m", "created": "soon"},
    {"user_id": "1", "score": 1, "recording_msid": "m", "created": 253402300799},
    {"user_id": "1", "score": 1, "recording_msid": "m", "created": 1627819200000},
    {"user_id": "1", "score": 1, "recording_msid": "m", "created": -1},
    {"user_id": "1", "score": 1, "recording_msid": "m"},
]
OF_TIME = ["bad_time", "in_future", "missing_time", "time_in_milliseconds", "too_early"]
REASONS = sorted([*["bad_score"] * 3, "malformed", "missing_item", "missing_user", *OF_TIME])


def plays() -> Rows:
    """Everyone plays two songs of each artist, which ones depends on who; all songs are played by someone."""
    rows = []
    for user in range(1, USERS + 1):
        for artist in range(ARTISTS):
            for place in range(2):
                song = (user + place + artist) % SONGS
                more: dict[str, Any] = {"artist_name": f"Artist {artist}"}
                if (artist, song) == (1, 1):
                    more["recording_mbid"] = MBID
                if artist == 4:
                    more["artist_credit_mbids"] = [ARTIST_MBID]
                when = f"2021-08-0{1 + place} {10 + artist}:00:{user:02}"
                rows.append(listen(user, when, f"Song {artist}-{song}", **more))
    return rows


def write(path: Path, lines: list[dict[str, Any] | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return path


class Night:
    def __init__(self, spark: SparkSession, base: Path) -> None:
        write_spark_dump(base / "dumps" / "full-dump-1", plays(), end=str(DAY))
        self.lakehouse = Lakehouse(spark, str(base / "lakehouse"))
        self.sources = base / "feedback"
        self.overrides = (f"lakehouse.root={self.lakehouse.root}", f"sources.listens={base / 'dumps'}")

    def run(self, steps: list[str], *more: str) -> None:
        told = (*self.overrides, "sources.tracks=", f"sources.feedback={self.sources}", *more)
        run_steps(steps, ROOT / "conf" / "local.toml", str(DAY), told, False)

    def rows(self, table: str) -> Rows:
        return DeltaTable(self.lakehouse.location(table)).to_pyarrow_table().to_pylist()

    def data(self, until: datetime | None = None) -> TrainingData:
        return training_data(self.as_run(), "recording", InteractionParams(), until)

    def as_run(self) -> Run:
        return Run(self.lakehouse, "test", "test", datetime(2021, 8, 7, tzinfo=UTC), 1, make_logger("test"), DAY)

    def titles(self) -> dict[int, str]:
        names = {row["recording_id"]: row["title"] for row in self.rows("silver.recordings")}
        index = [row for row in self.rows("silver.item_index") if row["item_kind"] == "recording"]
        return {row["item_idx"]: names[row["item_id"]] for row in index}


@pytest.fixture(scope="module")
def night(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Night:
    made = Night(spark, tmp_path_factory.mktemp("feedback"))
    write(made.sources / "a.jsonl", [*STATEMENTS, STATEMENTS[1], *BAD])
    folder = made.sources / f"listenbrainz-feedback-dump-{DUMP_AT}" / "lbdump" / "feedback" / "listens"
    write(folder / "2021" / "07" / "30" / "data.json", IN_DUMP)
    made.run(STEPS)
    return made


@pytest.fixture(scope="module")
def data(night: Night) -> TrainingData:
    return night.data()


def blocked_titles(night: Night, data: TrainingData) -> dict[int, set[str]]:
    assert data.blocked is not None
    users = {row["user_idx"]: int(row["user_id"]) for row in night.rows("silver.user_index")}
    titles = night.titles()
    return {users[row.user_idx]: {titles[i] for i in row.blocked} for row in data.blocked.collect()}


BLOCKED = {
    1: {"Song 0-0", "Song 1-1", *(f"Song 3-{song}" for song in range(SONGS))},
    2: {"Song 0-3"},
    3: {f"Song 4-{song}" for song in range(SONGS)},
    6: {"Song 2-2"},
}


def test_each_line_is_kept_a_duplicate_or_in_quarantine(night: Night) -> None:
    source = next(row for row in night.rows("ops.sources") if row["name"] == "a.jsonl")
    counts = [source[f"rows_{name}"] for name in ("in", "kept", "duplicate", "quarantined")]
    assert counts == [len(STATEMENTS) + 1 + len(BAD), len(STATEMENTS), 1, len(BAD)]
    quarantined = [row for row in night.rows("bronze.quarantine") if row["source_id"] == source["source_id"]]
    assert sorted(row["reason"] for row in quarantined) == REASONS
    assert {row["file"] for row in quarantined} == {"a.jsonl/a.jsonl"}


def test_the_newest_statement_stands_and_0_takes_back(night: Night) -> None:
    titles = {row["recording_id"]: row["title"] for row in night.rows("silver.recordings")}
    artists = {row["artist_id"]: row["artist_name"] for row in night.rows("silver.recordings")}
    found = {
        (row["user_id"], titles.get(row["item_id"]) or artists[row["item_id"]]): row["score"]
        for row in night.rows("silver.feedback")
    }
    assert found == {
        ("1", "Song 0-0"): -1,
        ("1", "Song 1-1"): -1,
        ("1", "Artist 3"): -1,
        ("2", "Song 0-1"): 1,
        ("2", "Song 0-3"): -1,
        ("3", "Song 4-3"): 1,
        ("3", "Artist 4"): -1,
        ("6", "Song 2-2"): -1,
    }


def test_love_weighs_more_and_makes_an_interaction_of_what_was_not_played(night: Night) -> None:
    titles = {row["recording_id"]: row["title"] for row in night.rows("silver.recordings")}
    pairs = {
        (row["user_id"], titles[row["item_id"]]): row
        for row in night.rows("silver.interactions")
        if row["item_kind"] == "recording"
    }
    once = float(np.log(2))
    played = {(str(row["user_id"]), row["recording_name"]) for row in plays()}
    assert set(pairs) == {*played, ("3", "Song 4-3"), ("2", "Song 0-1")}
    for pair, row in pairs.items():
        is_loved = pair in {("2", "Song 0-1"), ("3", "Song 4-3")}
        assert row["plays"] == (pair in played)
        weight = once * ((pair in played) + is_loved)
        assert row["weight"] == pytest.approx(weight, abs=1e-8)


def models(data: TrainingData) -> dict[str, EmbeddingModel]:
    """Three that rank at random, but each puts all blocked items first if nothing keeps them off."""
    rng = np.random.default_rng(5)
    spark = data.heard.sparkSession
    users = [(row.user_idx, rng.normal(size=4).tolist()) for row in data.users.collect()]
    made = {}
    for name in ("als", "pca", "lstm"):
        items = [(i, rng.normal(size=4).tolist(), float(rng.normal())) for i in range(data.n_items)]
        made[name] = EmbeddingModel(
            name,
            spark.createDataFrame(users, "user_idx int, vector array<float>"),
            spark.createDataFrame(items, "item_idx int, vector array<float>, bias float"),
        )
    return made


def test_what_is_hated_or_blocked_is_on_no_shelf(night: Night, data: TrainingData) -> None:
    assert blocked_titles(night, data) == BLOCKED
    users = {row["user_idx"]: int(row["user_id"]) for row in night.rows("silver.user_index")}
    titles = night.titles()
    by_name = models(data)
    everyone = data.users.select("user_idx")
    params = RecommendParams(n=12)
    for shelf in SHELVES:
        lists = candidate_lists(by_name, data, HybridParams(), shelf, 30)
        # Of a model that heeds no blocks: what is published of it does all the same.
        heedless = candidate_lists(by_name, replace(data, blocked=None), HybridParams(), shelf, 30, "als")["als"]
        made = {
            **lists,
            "filled": filled_list(heedless, data, everyone, shelf, 12),
            "spread": spread_list(heedless, data, everyone, shelf, params, by_name),
        }
        assert {"als", "hybrid", "popular", "artist_popular"} < set(made)
        rows = [row.select(F.lit(name).alias("name"), "user_idx", "items") for name, row in made.items()]
        found = defaultdict(set)
        for row in reduce(DataFrame.unionByName, rows).collect():
            offered = {titles[i] for i in row["items"]}
            found[row.name] |= offered
            assert not offered & BLOCKED.get(users[row.user_idx], set()), (shelf, row.name)
        assert min(len(titles_of) for titles_of in found.values()) > 10


def test_blocked_artists_are_told_by_their_key_too(night: Night) -> None:
    keys = blocked_artist_keys(night.as_run())
    assert keys is not None
    users = {row["user_idx"]: row["user_id"] for row in night.rows("silver.user_index")}
    assert {(users[row.user_idx], row.artist_key) for row in keys.collect()} == {("1", "artist 3"), ("3", "artist 4")}


def test_what_is_loved_but_was_not_played_is_still_new(night: Night, data: TrainingData) -> None:
    titles = night.titles()
    users = {row["user_idx"]: row["user_id"] for row in night.rows("silver.user_index")}
    heard = {users[row.user_idx]: {titles[i] for i in row.heard} for row in data.heard.collect()}
    assert "Song 0-1" not in heard["2"]
    played = {str(row["user_id"]): set() for row in plays()}
    for row in plays():
        played[str(row["user_id"])].add(row["recording_name"])
    assert heard == played


def test_an_evaluation_knows_only_what_was_said_before_its_split(night: Night) -> None:
    before = blocked_titles(night, night.data(datetime(2021, 8, 2, 18, tzinfo=UTC)))
    assert before == {**BLOCKED, 2: {"Song 0-1", "Song 0-2", "Song 0-3"}, 4: BLOCKED[3]}


def test_what_was_taken_in_is_not_taken_in_again(night: Night) -> None:
    before = night.lakehouse.version("bronze.feedback"), night.lakehouse.version("ops.sources")
    night.run(["ingest_feedback"])
    assert (night.lakehouse.version("bronze.feedback"), night.lakehouse.version("ops.sources")) == before


def test_a_source_that_is_no_feedback_is_refused_before_anything_is_written(night: Night, tmp_path: Path) -> None:
    before = night.lakehouse.version("bronze.feedback"), night.lakehouse.version("ops.sources")
    with pytest.raises(InputError, match="a JSON object on each line"):
        night.run(["ingest_feedback"], f"sources.feedback={write(tmp_path / 'x.jsonl', ['nothing'])}")
    assert (night.lakehouse.version("bronze.feedback"), night.lakehouse.version("ops.sources")) == before
