"""gold.similar_tracks from two days of listens and a catalogue, beside dense cosines of what silver and models hold."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from sklearn.metrics.pairwise import cosine_similarity

from musicrec.entry import run_steps
from musicrec.errors import MusicrecError
from musicrec.io.tables import Lakehouse
from musicrec.schemas import AUDIO_FEATURES
from tests.catalogues import write_catalogue
from tests.conftest import ROOT
from tests.dumps import listen, write_spark_dump

K = 4
INGEST = ["ingest_listens", "ingest_tracks", "build_silver", "build_features"]
STEPS = [*INGEST, "train_als", "train_knn", "train_content"]
Rows = list[dict[str, Any]]


def catalogue() -> list[dict[str, str]]:
    """The first ten songs, a second release of one, six tunes that no one played, one of them without features."""
    rng = np.random.default_rng(9)
    rows = []
    for i in range(17):
        features = {name: f"{rng.random():.3f}" for name in AUDIO_FEATURES}
        features |= {"key": str(i % 12), "mode": str(i % 2), "loudness": str(-i), "tempo": str(80 + 7 * i)}
        name, artist = (f"Song {i}", f"Artist {i % 4}") if i < 10 else (f"Tune {i}", f"Maker {i}")
        row = {"track_id": f"t{i:02}", "track_name": name, "track_artist": artist, "track_popularity": "50"}
        row |= {"track_album_release_date": str(1990 + i), "playlist_genre": ("rock", "pop")[i % 2], **features}
        rows.append(row)
    rows[11] |= {"tempo": "260"}
    rows[12] |= {"track_name": "Song 1", "track_artist": "Artist 1", "track_popularity": "10"}
    rows[16] |= dict.fromkeys(AUDIO_FEATURES, "")
    return rows


class Night:
    def __init__(self, spark: SparkSession, base: Any) -> None:
        rng = np.random.default_rng(4)
        rows = []
        for user in range(1, 11):
            for place in range(12):
                song = int(rng.integers(9)) + 6 * (user % 2)
                at = datetime(2021, 8, 1 + place // 6, 10) + timedelta(minutes=4 * place, seconds=user)
                rows.append(listen(user, at.isoformat(sep=" "), f"Song {song}", artist_name=f"Artist {song % 4}"))
        write_spark_dump(base / "dumps" / "full-dump-1", rows, end="2021-08-04", files=2)
        write_catalogue(base / "tracks", "spotify_songs", catalogue())
        self.lakehouse = Lakehouse(spark, str(base / "lakehouse"))
        self.overrides = (
            f"lakehouse.root={base / 'lakehouse'}",
            f"sources.listens={base / 'dumps'}",
            f"sources.tracks={base / 'tracks'}",
            f"content.k={K}",
            "als.rank=4",
            f"knn.k={K}",
            "knn.weighting=none",
            "knn.shrinkage=1.5",
        )

    def run(self, steps: list[str], *more: str) -> None:
        run_steps(steps, ROOT / "conf" / "local.toml", "2021-08-04", (*self.overrides, *more), False)

    def rows(self, table: str) -> Rows:
        return DeltaTable(self.lakehouse.location(table)).to_pyarrow_table().to_pylist()

    def lists(self, model: str) -> dict[str, Rows]:
        found = defaultdict(list)
        for row in sorted(self.rows("gold.similar_tracks"), key=lambda row: row["rank"]):
            if row["model"] == model:
                found[row["item"]].append(row)
        return found


@pytest.fixture(scope="module")
def night(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Night:
    made = Night(spark, tmp_path_factory.mktemp("similar"))
    made.run(STEPS, "similar.models=['als']")
    return made


def assert_lists(found: dict[str, Rows], items: list[str], scores: np.ndarray, least: float) -> None:
    """Each item's list is its row's best K above `least`, by score; ties may stand either way."""
    for item, row in zip(items, scores, strict=True):
        wanted = {other: score for other, score in zip(items, row, strict=True) if other != item and score > least}
        own = found.get(item, [])
        assert [entry["rank"] for entry in own] == list(range(1, min(K, len(wanted)) + 1))
        best = sorted(wanted.values(), reverse=True)[:K]
        np.testing.assert_allclose([entry["score"] for entry in own], best, atol=2e-6)
        np.testing.assert_allclose([wanted[entry["similar"]] for entry in own], best, atol=2e-6)


def test_neighbours_over_the_matrix_are_the_shrunk_cosines(night: Night) -> None:
    pairs = [row for row in night.rows("silver.interactions") if row["item_kind"] == "recording"]
    users, items = sorted({row["user_id"] for row in pairs}), sorted({row["item_id"] for row in pairs})
    weights = np.zeros((len(items), len(users)))
    for row in pairs:
        weights[items.index(row["item_id"]), users.index(row["user_id"])] = row["weight"]
    lengths = np.linalg.norm(weights, axis=1)
    assert_lists(night.lists("knn"), items, weights @ weights.T / (np.outer(lengths, lengths) + 1.5), 0.0)
    assert len(night.lists("knn")) == len(items) >= 12


def test_neighbours_by_vectors_are_their_cosines(night: Night) -> None:
    ids = {r["item_idx"]: r["item_id"] for r in night.rows("silver.item_index") if r["item_kind"] == "recording"}
    rows = [row for row in night.rows("models.item_vectors") if row["model"] == "als"]
    vectors = {ids[row["item_idx"]]: row["vector"] for row in rows}
    cosines = cosine_similarity(np.array(list(vectors.values()), dtype=float))
    assert_lists(night.lists("als"), list(vectors), cosines, -2.0)


def linked(night: Night) -> dict[str, str]:
    return {row["recording_id"]: row["track_id"] for row in night.rows("silver.links")}


def test_neighbours_by_content_are_recordings_and_tracks_that_no_one_played(night: Night) -> None:
    track_of = linked(night)
    vectors = {row["track_id"]: np.array(row["vector"], dtype=float) for row in night.rows("silver.track_features")}
    assert len(track_of) == 10
    assert "t16" not in vectors
    offered = {track_of[recording]: recording for recording in track_of}
    offered |= {track: track for track in vectors if track > "t09" and track != "t12"}  # t12: Song 1 again
    found = night.lists("content")
    assert found.keys() == {*offered.values(), "t12"}
    for item, own in found.items():
        track = track_of.get(item, item)
        song = "t01" if track == "t12" else track
        others = [other for other in offered if other != song]
        cosines = cosine_similarity(vectors[track][None], np.array([vectors[other] for other in others]))[0]
        wanted = {offered[other]: score for other, score in zip(others, cosines, strict=True)}
        best = sorted(wanted.values(), reverse=True)[:K]
        assert [entry["rank"] for entry in own] == list(range(1, K + 1))
        np.testing.assert_allclose([entry["score"] for entry in own], best, atol=2e-6)
        np.testing.assert_allclose([wanted[entry["similar"]] for entry in own], best, atol=2e-6)


def test_the_content_model_is_the_mean_of_what_was_played(night: Night) -> None:
    ids = {r["item_idx"]: r["item_id"] for r in night.rows("silver.item_index") if r["item_kind"] == "recording"}
    track_of = linked(night)
    vectors = {row["track_id"]: np.array(row["vector"], dtype=float) for row in night.rows("silver.track_features")}
    unit = {item: vectors[track_of[ids[item]]] for item in ids if ids[item] in track_of}
    unit = {item: vector / np.linalg.norm(vector) for item, vector in unit.items()}
    items = {r["item_idx"]: r["vector"] for r in night.rows("models.item_vectors") if r["model"] == "content"}
    assert items.keys() == unit.keys()
    for item, vector in items.items():
        np.testing.assert_allclose(vector, unit[item], atol=1e-6)
    sums: dict[int, Any] = defaultdict(float)
    for row in night.rows("silver.interactions"):
        if row["item_kind"] == "recording" and row["item_idx"] in unit:
            sums[row["user_idx"]] += row["weight"] * unit[row["item_idx"]]
    users = {r["user_idx"]: r["vector"] for r in night.rows("models.user_vectors") if r["model"] == "content"}
    assert users.keys() == sums.keys()
    for user, vector in users.items():
        np.testing.assert_allclose(vector, sums[user] / np.linalg.norm(sums[user]), atol=2e-6)


def test_what_features_leave_out_is_counted(night: Night) -> None:
    figures = {(r["name"], r["tags"]): r["value"] for r in night.rows("ops.metrics") if r["job"] == "build_features"}
    assert figures["tracks_without_features", "{}"] == 1
    assert figures["values_out_of_range", '{"feature": "tempo"}'] == 1
    assert figures["values_missing", '{"feature": "tempo"}'] == 2
    rows = {row["track_id"]: row for row in night.rows("silver.track_features")}
    assert len(rows) == 16
    assert {track: row["imputed"] for track, row in rows.items() if row["imputed"]} == {"t11": ["tempo"]}
    index = {r["item_id"]: r["item_idx"] for r in night.rows("silver.item_index") if r["item_kind"] == "track"}
    assert {track: row["track_idx"] for track, row in rows.items()} == index
    assert sorted(index.values()) == list(range(16))


def test_rows_are_named_and_replaced(night: Night) -> None:
    known = {row["recording_id"]: row for row in night.rows("silver.recordings")}
    rows = night.rows("gold.similar_tracks")
    assert {row["model"] for row in rows} == {"knn", "als", "content"}
    for row in rows:
        if row["similar"] in known:
            names = known[row["similar"]]
            assert (row["title"], row["artist"]) == (names["title"], names["artist_name"])
        else:
            assert row["artist"] == f"Maker {row['title'].split()[1]}"
    by_content = [row for row in rows if row["model"] == "content"]
    night.run(["train_knn"], "knn.k=2")
    after = night.rows("gold.similar_tracks")
    assert sorted(map(str, by_content)) == sorted(str(row) for row in after if row["model"] == "content")
    after = [row for row in after if row["model"] != "content"]
    assert {(row["model"], row["rank"]) for row in after} == {("knn", 1), ("knn", 2)}
    assert {row["run_id"] for row in after}.isdisjoint({row["run_id"] for row in rows})
    night.run(["train_content"], "content.metric=manhattan", "content.k=1")
    again = night.rows("gold.similar_tracks")
    assert sorted(map(str, after)) == sorted(str(row) for row in again if row["model"] != "content")
    assert {row["rank"] for row in again if row["model"] == "content"} == {1}


def test_neighbours_stay_until_they_are_to_be_found_anew(night: Night) -> None:
    def found_on(day: str, *more: str) -> tuple[set[Any], set[Any]]:
        run_steps(
            ["train_knn"], ROOT / "conf" / "local.toml", day, (*night.overrides, "similar.refit_days=3", *more), False
        )
        rows = [row for row in night.rows("gold.similar_tracks") if row["model"] == "knn"]
        return {str(row["as_of"]) for row in rows}, {row["run_id"] for row in rows}

    first = found_on("2021-08-04")
    assert first[0] == {"2021-08-04"}
    assert found_on("2021-08-06") == first
    assert found_on("2021-08-06", "knn.k=3")[0] == {"2021-08-06"}
    assert found_on("2021-08-07")[0] == {"2021-08-07"}
    assert found_on("2021-08-10")[0] == {"2021-08-10"}


def test_a_model_that_was_never_trained_is_refused_before_anything_is_written(night: Night) -> None:
    before = night.lakehouse.version("gold.similar_tracks")
    with pytest.raises(MusicrecError, match="vectors of the model pca, found none"):
        night.run(["train_knn"], "similar.models=['als','pca']")
    assert night.lakehouse.version("gold.similar_tracks") == before


def test_vectors_of_other_weights_are_refused(night: Night) -> None:
    before = night.lakehouse.version("gold.similar_tracks")
    with pytest.raises(MusicrecError, match=r"content\.weights: expected those of silver\.track_features"):
        night.run(["train_content"], "content.weights.year=3")
    assert night.lakehouse.version("gold.similar_tracks") == before
