"""gold.similar_tracks from two days of listens, beside dense cosines of what silver and the model hold."""

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
from tests.conftest import ROOT
from tests.dumps import listen, write_spark_dump

K = 4
STEPS = ["ingest_listens", "build_silver", "train_als", "train_knn"]
Rows = list[dict[str, Any]]


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
        self.lakehouse = Lakehouse(spark, str(base / "lakehouse"))
        self.overrides = (
            f"lakehouse.root={base / 'lakehouse'}",
            f"sources.listens={base / 'dumps'}",
            "sources.tracks=",
            "als.rank=4",
            f"knn.k={K}",
            "knn.weighting=none",
            "knn.shrinkage=1.5",
        )

    def run(self, steps: list[str], *more: str) -> None:
        run_steps(steps, ROOT / "conf" / "local.toml", None, (*self.overrides, *more), False)

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
    vectors = {ids[row["item_idx"]]: row["vector"] for row in night.rows("models.item_vectors")}
    cosines = cosine_similarity(np.array(list(vectors.values()), dtype=float))
    assert_lists(night.lists("als"), list(vectors), cosines, -2.0)


def test_rows_are_named_and_replaced(night: Night) -> None:
    known = {row["recording_id"]: row for row in night.rows("silver.recordings")}
    rows = night.rows("gold.similar_tracks")
    assert {row["model"] for row in rows} == {"knn", "als"}
    for row in rows:
        names = known[row["similar"]]
        assert (row["title"], row["artist"]) == (names["title"], names["artist_name"])
    night.run(["train_knn"], "knn.k=2")
    after = night.rows("gold.similar_tracks")
    assert {(row["model"], row["rank"]) for row in after} == {("knn", 1), ("knn", 2)}
    assert {row["run_id"] for row in after}.isdisjoint({row["run_id"] for row in rows})


def test_neighbours_stay_until_they_are_to_be_found_anew(night: Night) -> None:
    def found_on(day: str, *more: str) -> tuple[set[Any], set[Any]]:
        run_steps(
            ["train_knn"], ROOT / "conf" / "local.toml", day, (*night.overrides, "similar.refit_days=3", *more), False
        )
        rows = night.rows("gold.similar_tracks")
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
