"""The night after: silver grows by what is new, models go on from the night before, and that night's are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from musicrec.entry import run_steps
from musicrec.io import run_log
from musicrec.io.artifacts import load_model
from musicrec.io.tables import Lakehouse
from musicrec.pipelines import build_silver, earlier_build, models_at
from tests.catalogues import write_catalogue
from tests.conftest import ROOT
from tests.dumps import listen, write_spark_dump

TRAIN = ["train_als", "train_pca", "train_sequence", "train_knn"]
SMALL = (
    "als.rank=4",
    "pca.components=3",
    "lstm.model.dim=8",
    "lstm.training.epochs=2",
    "lstm.training.refresh_epochs=1",
    "sequences.length=6",
    "sequences.stride=5",
    "recommend.depth=30",
    "evaluate.max_listeners=7",
    "ranker.enabled=false",
)
Rows = list[dict[str, Any]]


def plays(day: int) -> Rows:
    """A day of ten listeners; a tenth of the titles in another spelling, and each day a song of its own."""
    rng = np.random.default_rng(day)
    rows = []
    for user in range(1, 11):
        for place in range(6):
            song = int(rng.integers(20)) if place else 20 + day
            mark = " (Remastered)" if rng.random() < 0.1 else ""
            at = datetime(2021, 8, day, 10) + timedelta(minutes=4 * place, seconds=user)
            rows.append(listen(user, at.isoformat(sep=" "), f"Song {song}{mark}", artist_name=f"Artist {song % 6}"))
    return rows


@dataclass(frozen=True)
class Nights:
    base: Path
    lakehouse: Lakehouse

    def run(self, steps: list[str], *more: str, as_of: str | None = None) -> None:
        places = (f"lakehouse.root={self.lakehouse.root}", f"sources.listens={self.base / 'dumps'}")
        sources = (*places, f"sources.tracks={self.base / 'tracks'}")
        run_steps(steps, ROOT / "conf" / "local.toml", as_of, (*sources, *SMALL, *more), False)

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        found = DeltaTable(self.lakehouse.location(table)).to_pyarrow_table().to_pylist()
        return sorted((tuple(row[c] for c in columns or row) for row in found), key=repr)


@pytest.fixture(scope="module")
def code() -> Iterator[pytest.MonkeyPatch]:
    """The nights run by the same code, whoever edits a file in the meantime."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (run_log, earlier_build):
            patch.setattr(module, "package_versions", dict)
        yield patch


@pytest.fixture(scope="module")
def nights(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, code: pytest.MonkeyPatch) -> Nights:
    """Two nights; the second brings a day's listens and some late ones of a day that the first had seen."""
    base = tmp_path_factory.mktemp("nights")
    names = [{"track_id": f"t{n}", "track_name": f"Song {n}", "artist_name": f"Artist {n % 6}"} for n in range(24)]
    write_catalogue(base / "tracks", "spotify_1million", names)
    first = [row for day in range(1, 6) for row in plays(day)]
    write_spark_dump(base / "dumps" / "full-dump-1", first[:-8], end="2021-08-06")
    made = Nights(base, Lakehouse(spark, str(base / "lakehouse")))
    made.run(["ingest_listens", "ingest_tracks", "build_silver", *TRAIN])
    write_spark_dump(base / "dumps" / "incremental-dump-2", [*first[-8:], *plays(6)], end="2021-08-07")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_silver, "resolve_spellings", refuse)
        for fit in ("fit_als_model", "fit_pca_model", "fit_sequence_model", "fit_knn"):
            patch.setattr(models_at, fit, refuse)
        made.run(["ingest_listens", "build_silver", *TRAIN, "evaluate"])
    return made


def refuse(*_: object, **__: object) -> Callable[..., None]:
    raise AssertionError("this is for a night that has none before it")


def test_silver_that_grew_is_silver_built_at_once(nights: Nights, spark: SparkSession) -> None:
    other = Nights(nights.base, Lakehouse(spark, str(nights.base / "at_once")))
    other.run(["ingest_listens", "ingest_tracks", "build_silver"])
    tables = {
        "silver.listens": ("user_id", "listened_at", "recording_msid", "recording_id", "artist_id"),
        "silver.spellings": (),
        "silver.recordings": (),
        "silver.links": (),
        "silver.interactions": ("item_kind", "user_id", "item_id", "plays", "last_listened_at", "weight"),
        "silver.sequences": ("user_id", "window", "times", "length"),
    }
    for table, columns in tables.items():
        assert nights.rows(table, *columns) == other.rows(table, *columns), table
    assert len(nights.rows("silver.listens")) == 6 * 60
    assert len(nights.rows("silver.links")) > 10
    # An id keeps its idx, and every listen carries those of the indexes.
    users = dict(nights.rows("silver.user_index", "user_id", "user_idx"))
    items = {row[:2]: row[2] for row in nights.rows("silver.item_index", "item_kind", "item_id", "item_idx")}
    columns = ("user_id", "user_idx", "recording_id", "recording_idx", "artist_id", "artist_idx")
    for user, user_idx, recording, recording_idx, artist, artist_idx in nights.rows("silver.listens", *columns):
        assert users[user] == user_idx
        assert (items["recording", recording], items["artist", artist]) == (recording_idx, artist_idx)


def test_the_night_before_is_judged_and_gone_on_from(nights: Nights) -> None:
    metrics = nights.rows("gold.evaluation", "as_of", "shelf", "model", "metric", "k", "listeners")
    assert {row[0] for row in metrics} == {date(2021, 8, 7)}
    assert {row[2] for row in metrics} >= {"als", "pca", "lstm", "knn", "hybrid", "popular"}
    assert max(row[5] for row in metrics) <= 7
    weights, facts = load_model(nights.base / "lakehouse" / "files" / "lstm" / "model")
    before, earlier = load_model(nights.base / "lakehouse" / "files" / "lstm" / "previous")
    assert (facts["is_refreshed"], earlier["is_refreshed"]) == (True, False)
    assert facts["until"] > earlier["until"]
    assert len(weights["bias"]) > len(before["bias"])


def test_other_settings_are_fitted_anew(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    for fit, setting in (("fit_als_model", "als.rank=5"), ("fit_knn", "knn.k=7")):
        monkeypatch.setattr(models_at, fit, refuse)
        with pytest.raises(AssertionError, match="none before it"):
            nights.run(["evaluate"], setting)


def test_a_night_run_again_starts_from_the_same_model(nights: Nights) -> None:
    def vectors() -> list[tuple[Any, ...]]:
        return [row for row in nights.rows("models.item_vectors", "model", "item_idx", "vector") if row[0] == "lstm"]

    before = vectors()
    nights.run(["train_sequence"], "evaluate.test_days=2")  # another setting, so that the step is run at all
    assert vectors() == before
