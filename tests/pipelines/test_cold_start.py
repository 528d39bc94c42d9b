"""From ALS vectors that are a known map of content to the shelf of tracks that no one has played."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.io.runs import Run
from musicrec.io.tables import Lakehouse
from musicrec.logs import make_logger
from musicrec.models.blocks import Ragged
from musicrec.models.cold_start.collect import World
from musicrec.models.cold_start.content_map import Choice, Training, fit_map
from musicrec.models.cold_start.inputs import Played, Tracks
from musicrec.models.cold_start.params import ColdStartParams
from musicrec.models.embedding import EmbeddingModel
from musicrec.pipelines.fresh import fresh_rows
from musicrec.pipelines.publish import load_vectors
from musicrec.pipelines.train_cold_start import ALS_CONTENT, predicted, train_cold_start
from musicrec.pipelines.training_data import TrainingData
from musicrec.ranking.diversity import DiversityParams
from musicrec.schemas import TABLES
from tests.sounds import track, tracks_frame

PLAYED, UNPLAYED, USERS, D, P, N = 60, 25, 8, 3, 4, 6
RNG = np.random.default_rng(3)
CONTENT = RNG.normal(size=(PLAYED + UNPLAYED, P))
TRUE = np.round(CONTENT @ RNG.normal(size=(P, D)), 5)
LISTENERS = RNG.normal(size=(USERS, D))
NOW = datetime(2026, 1, 2, tzinfo=UTC)
# The unplayed tracks are of the same kind as the played ones here, so none of them says 0.
PARAMS = ColdStartParams(map="ridge", folds=2, unplayed_weight=0)


def track_rows() -> list[dict[str, Any]]:
    """60 played tracks of twelve artists and 25 unplayed ones; the last of these are no new songs."""
    rows = []
    for i, vector in enumerate(CONTENT):
        artist = f"artist {i % 12}"
        facts = {"artist_key": artist, "artists": [artist.title()], "vector": vector.tolist(), "track_idx": i}
        rows.append(track(f"t{i:03d}", {}, **facts))
    again = {"artist_key": rows[0]["artist_key"], "title_key": rows[0]["title_key"]}
    rows[-1] |= again  # the song of a linked track under another id
    rows[-2] |= {"artist_key": "artist 1", "title_key": "unlinked"}  # the song of a recording that is not linked
    rows[-3] |= {"artist_key": rows[-4]["artist_key"], "title_key": rows[-4]["title_key"]}  # twice the same new song
    return rows


TRACKS = track_rows()
NOT_OFFERED = {"t084", "t083", "t082"}


def fill(lake: Lakehouse) -> None:
    """What the nightly's earlier steps leave: 60 linked recordings and one that is not, in the order of their idx."""

    def write(table: str, rows: list[dict[str, Any]]) -> None:
        schema = TABLES[table].schema
        blank = dict.fromkeys(TABLES[table].columns)
        lake.overwrite(table, lake.spark.createDataFrame([tuple((blank | row).values()) for row in rows], schema))

    lake.overwrite("silver.track_features", tracks_frame(lake.spark, TRACKS).repartition(3, "name"))
    facts = [(f"r{i:03d}", row["artist_key"], row["title_key"]) for i, row in enumerate(TRACKS[:PLAYED])]
    facts.append((f"r{PLAYED:03d}", "artist 1", "unlinked"))
    keys = ("recording_id", "artist_key", "title_key")
    write("silver.recordings", [dict(zip(keys, row, strict=True)) for row in facts])
    write("silver.links", [{"recording_id": f"r{i:03d}", "track_id": f"t{i:03d}"} for i in range(PLAYED)])
    index = [{"item_kind": "recording", "item_id": row[0], "item_idx": i} for i, row in enumerate(facts)]
    write("silver.item_index", index)
    pairs = [{"item_kind": "recording", "user_id": "1", "item_id": i["item_id"], **i, "plays": 9} for i in index]
    write("silver.interactions", pairs)
    vectors = [*TRUE[:PLAYED].tolist(), [0.0] * D]
    items = [{"model": "als", "item_idx": i, "vector": vector, "bias": 0.0} for i, vector in enumerate(vectors)]
    write("models.item_vectors", items)
    write(
        "models.user_vectors",
        [{"model": "als", "user_idx": u, "vector": vector.tolist()} for u, vector in enumerate(LISTENERS)],
    )


def run_at(lake: Lakehouse, now: datetime = NOW) -> Run:
    return Run(lake, "test-run", "train_cold_start", now, 7, make_logger("test-run"), date(2014, 6, 23))


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lakehouse:
    made = Lakehouse(spark, str(tmp_path_factory.mktemp("cold")))
    fill(made)
    train_cold_start(run_at(made), "recording", PARAMS)
    return made


def data_of(spark: SparkSession) -> TrainingData:
    """Each listener has played ten recordings."""
    heard = [(u, [(7 * u + j) % PLAYED for j in range(10)]) for u in range(USERS)]
    rows = [(u, sorted(items), [5] * 10) for u, items in heard]
    own = spark.createDataFrame(rows, "user_idx int, heard array<int>, plays array<long>")
    names = [(i, row["artists"][0]) for i, row in enumerate(TRACKS[:PLAYED])]
    items = spark.createDataFrame(names, "item_idx int, artist string")
    popular = spark.createDataFrame([(i, 1) for i in range(PLAYED)], "item_idx int, listeners long")
    nothing: Any = None
    rest = dict.fromkeys(("plays", "interactions", "sequences", "sequences_version", "users"), nothing)
    return TrainingData(heard=own, items=items, popular=popular, n_items=PLAYED + 1, until=NOW, **rest)


def rows_at(lake: Lakehouse, now: datetime = NOW, n: int = N) -> DataFrame | None:
    run = run_at(lake, now)
    als = EmbeddingModel("als", load_vectors(run, "als", "user_vectors"), load_vectors(run, "als", "item_vectors"))
    users = lake.spark.createDataFrame([(u, str(u)) for u in range(USERS)], "user_idx int, user_id string")
    return fresh_rows(run, als, data_of(lake.spark), users, n, DiversityParams().cap(n))


def test_unplayed_tracks_get_the_vectors_that_als_would_have_given(lake: Lakehouse) -> None:
    found = {row.item_idx: row for row in load_vectors(run_at(lake), ALS_CONTENT, "item_vectors").collect()}
    assert {f"t{idx:03d}" for idx in found} == {row["track_id"] for row in TRACKS[PLAYED:]} - NOT_OFFERED
    error = np.array([np.array(row.vector) - TRUE[idx] for idx, row in found.items()])
    assert np.square(error).mean() < 0.1 * TRUE.var()
    assert {row.bias for row in found.values()} == {0.0}
    model = lake.read("ops.models").where(F.col("model") == ALS_CONTENT).collect()[0]
    assert model.figures["explained_held_out"] > 0.8


def test_the_shelf_offers_each_listener_the_best_of_what_no_one_has_played(lake: Lakehouse) -> None:
    made = rows_at(lake)
    assert made is not None
    rows = sorted(made.collect(), key=lambda row: (row.user_id, row["rank"]))
    assert Counter(row.user_id for row in rows) == {str(u): N for u in range(USERS)}
    vectors = {row.item_idx: row.vector for row in load_vectors(run_at(lake), ALS_CONTENT, "item_vectors").collect()}
    for user in range(USERS):
        own = [row for row in rows if row.user_id == str(user)]
        scores = {f"t{idx:03d}": float(LISTENERS[user] @ np.array(vector)) for idx, vector in vectors.items()}
        expected, artists = [], Counter[str]()
        for item in sorted(scores, key=lambda item: -scores[item]):
            artist = TRACKS[int(item[1:])]["artist_key"]
            if artists[artist] < 1 and len(expected) < N:  # three in ten of six are one
                expected.append(item)
                artists[artist] += 1
        assert [row.item for row in own] == expected
        np.testing.assert_allclose([row.score for row in own], [scores[item] for item in expected], atol=1e-4)
    played = {row["track_id"] for row in TRACKS[:PLAYED]} | NOT_OFFERED
    assert not {row.item for row in rows} & played
    assert {(row.shelf, row.model) for row in rows} == {("fresh", ALS_CONTENT)}
    starts = ("sounds like what you play: ", "unplayed so far, by ", "new: no listener has played it yet")
    assert all(row.reason.startswith(starts) for row in rows)
    assert any("Artist" in row.reason for row in rows)


def test_no_shelf_where_als_is_newer_or_none_is_wanted(lake: Lakehouse) -> None:
    assert rows_at(lake, n=0) is None
    assert lake.read("ops.models").count() == 1
    model = lake.read("ops.models").collect()[0]
    newer = {**model.asDict(), "model": "als", "trained_at": NOW + timedelta(hours=1)}
    lake.append_rows("ops.models", [tuple(newer[name] for name in TABLES["ops.models"].columns)])
    assert rows_at(lake) is None


def test_the_same_vectors_whatever_the_partitions_and_none_of_too_few(lake: Lakehouse) -> None:
    def vectors() -> list[Any]:
        return sorted(map(tuple, load_vectors(run_at(lake), ALS_CONTENT, "item_vectors").collect()))

    before = vectors()
    again = lake.read("silver.track_features", is_input=False).repartition(1).orderBy(F.desc("name"))
    lake.overwrite("silver.track_features", again)
    train_cold_start(run_at(lake), "recording", PARAMS)
    assert vectors() == before
    few = PARAMS.model_copy(update={"min_tracks": PLAYED + 1})
    assert train_cold_start(run_at(lake), "recording", few).note.endswith(f"found {PLAYED}")
    assert vectors() == []


def test_no_track_is_told_by_its_own_zero() -> None:
    played = Played(np.hstack([TRUE[:PLAYED], np.zeros((PLAYED, 1))]), np.full(PLAYED, 9.0), *groups(PLAYED))
    artist, genres, song = groups(PLAYED + UNPLAYED)
    tracks = Tracks(CONTENT, np.full(len(CONTENT), 50.0), artist, genres, song)
    known = np.arange(PLAYED)
    ids = [row["track_id"] for row in TRACKS]
    world = World(np.arange(len(ids)), ids, tracks, played, known, played.factors, played.plays)
    params, choice = PARAMS.model_copy(update={"unplayed_weight": 0.5}), Choice("kernel", "log", 0.3)
    first, second = np.arange(60, 70), np.arange(70, 80)
    vectors = predicted(world, choice, params, np.arange(60, 85), (first, second))
    for own, asked in ((first, np.arange(70, 85)), (second, first)):
        training = Training.of(world.training, world.factors, world.plays, played, tracks.take(own), params)
        expected = fit_map(training, choice, params.landmarks).predict(tracks.take(asked))
        np.testing.assert_allclose(vectors[asked - 60], expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def groups(n: int) -> tuple[Any, Ragged, Any]:
    """Artists, no genres, and songs of the first n tracks."""
    return np.arange(n) % 12, Ragged(np.zeros(0, np.int64), np.zeros(n + 1, np.int64)), np.arange(n)
