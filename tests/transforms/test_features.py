"""Features of planted tracks beside pandas' formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from musicrec.schemas import AUDIO_FEATURES, TABLES
from musicrec.schemas.content import ENGINEERED_FEATURES
from musicrec.transforms.feature_fills import FeatureFills, collect_audio, feature_counts
from musicrec.transforms.features import engineered, folded_tempo, track_features

GENRE_TRACKS = 8
EDGES = [20.0, 80.0, 160.0, math.nextafter(80, 0), math.nextafter(160, 0)]
Row = dict[str, Any]


def tracks() -> list[Row]:
    """60 tracks: enough of rock and pop, too few of jazz, none of whose valences of pop is known."""
    rng = np.random.default_rng(3)
    rows = []
    for i in range(60):
        genre = "rock" if i < 25 else "pop" if i < 50 else "jazz" if i < 55 else None
        values: dict[str, Any] = {name: round(float(rng.random()), 3) for name in AUDIO_FEATURES}
        values |= {"key": float(rng.integers(12)), "mode": float(i % 3 > 0)}
        values |= {"loudness": -float(rng.integers(4, 12)), "tempo": round(float(rng.uniform(50, 220)), 2)}
        values["valence"] = None if genre == "pop" else values["valence"]
        names = {"track_id": f"t{i:02}", "name": f"Song {i} - 2004 Remaster", "artists": ["The Band", "X"]}
        rows.append({**names, "genres": [genre, "z"] if genre else [None, []][i % 2], "tags": None, **values})
    changes: dict[int, dict[str, float | None]] = {
        0: {"danceability": 1.2, "energy": math.nan, "loudness": 5.5, "tempo": 250.5},
        1: {"key": -1.0, "mode": 0.5, "tempo": 0.0},
        2: {"key": 3.5, "danceability": 0.0},
        51: {"energy": None, "loudness": -60.5},
        58: {"speechiness": -0.1},
        59: {**dict.fromkeys(AUDIO_FEATURES), "key": -1.0, "tempo": 0.0, "energy": 2.0},
    }
    for i, change in changes.items():
        rows[i] |= change
    return rows


def table(spark: SparkSession, rows: list[Row], partitions: int = 2) -> DataFrame:
    schema = TABLES["silver.tracks"].schema
    whole = [tuple(row.get(column) for column in schema.names) for row in rows]
    return spark.createDataFrame(whole, schema).repartition(partitions)


def expected(rows: list[Row]) -> pd.DataFrame:
    known = pd.DataFrame(rows)
    for name in AUDIO_FEATURES:
        values = known[name].astype(float)
        low, high = {"key": (0, 11), "loudness": (-60, 5), "tempo": (0, 250)}.get(name, (0, 1))
        is_known = values.between(low, high)
        if name in ("key", "mode"):
            is_known &= values == values.round()
        if name == "tempo":
            is_known &= values > 0
        known[name] = values.where(is_known)
    known = known[known[list(AUDIO_FEATURES)].notna().any(axis=1)].set_index("track_id")
    genre = known["genres"].map(lambda genres: genres[0] if genres else None)
    filled = known.copy()
    for name in AUDIO_FEATURES:
        usual = (lambda v: v.mode().min()) if name in ("key", "mode") else (lambda v: v.median())
        for track in known.index[known[name].isna()]:
            own = known.loc[genre == genre[track], name].dropna()
            filled.loc[track, name] = usual(own if len(own) >= GENRE_TRACKS else known[name])
    filled["imputed"] = [[c for c in AUDIO_FEATURES if pd.isna(known.loc[t, c])] for t in known.index]
    filled["energy_per_danceability"] = filled["energy"] / filled["danceability"].clip(lower=0.05)
    filled["valence_energy"] = filled["valence"] * filled["energy"]
    filled["loudness_percentile"] = filled["loudness"].rank(pct=True)
    filled["tempo_folded"] = [next(x for e in range(-9, 9) if 80 <= (x := t * 2.0**e) < 160) for t in filled["tempo"]]
    return filled


def test_features_are_as_pandas_makes_them(spark: SparkSession) -> None:
    rows = tracks()

    def found(partitions: int) -> pd.DataFrame:
        given_tracks = table(spark, rows, partitions)
        fills = FeatureFills.fit(collect_audio(given_tracks), GENRE_TRACKS)
        return track_features(given_tracks, fills).toPandas().set_index("track_id").sort_index()

    made, wanted = found(2), expected(rows)
    assert list(made.index) == list(wanted.index)
    assert "t59" not in made.index
    assert [list(names) for names in made["imputed"]] == list(wanted["imputed"])
    numbers = [*AUDIO_FEATURES, *ENGINEERED_FEATURES]
    np.testing.assert_allclose(made[numbers].astype(float), wanted[numbers].astype(float), rtol=1e-12)
    assert set(made["artist_key"]) == {"band"}
    assert made.loc["t07", "title_key"] == "song 7"
    assert list(made.loc["t57", "genres"]) == []
    pd.testing.assert_frame_equal(made, found(5))


def audio(rows: list[Row]) -> pd.DataFrame:
    genre = [row["genres"][0] if row["genres"] else None for row in rows]
    return pd.DataFrame(rows)[list(AUDIO_FEATURES)].astype(float).assign(genre=genre)


def test_what_is_missing_or_out_of_its_range_is_counted() -> None:
    counts = feature_counts(audio(tracks()))
    assert (counts["tracks"], counts["without_features"]) == (60, 1)
    wrong = {name: counts[f"out_of_range_{name}"] for name in AUDIO_FEATURES if counts[f"out_of_range_{name}"]}
    assert wrong == {"danceability": 1, "energy": 1, "loudness": 2, "tempo": 1, "mode": 1, "key": 1, "speechiness": 1}
    assert (counts["missing_key"], counts["missing_tempo"], counts["missing_valence"]) == (3, 3, 26)


def test_a_feature_that_no_track_has_stays_null() -> None:
    known = audio(tracks()).assign(loudness=np.nan)
    fills = FeatureFills.fit(known, GENRE_TRACKS)
    full = fills.filled({name: known[name].to_numpy() for name in AUDIO_FEATURES}, pa.array([["rock"]] * 60))
    assert np.isnan(full["loudness"]).all()
    assert np.isnan(engineered(full, fills)["loudness_percentile"]).all()
    assert not np.isnan(full["valence"]).any()
    empty = FeatureFills.fit(known.iloc[:0], GENRE_TRACKS)
    assert np.isnan(empty.filled({name: np.full(1, np.nan) for name in AUDIO_FEATURES}, pa.array([["x"]]))["key"])


def test_fills_of_one_side_complete_another() -> None:
    train = audio(tracks()[3:50])  # in order: 22 of rock, 25 of pop
    fills = FeatureFills.fit(train, GENRE_TRACKS)
    nothing = {name: np.full(3, np.nan) for name in AUDIO_FEATURES}
    full = fills.filled(nothing, pa.array([["pop", "rock"], ["jazz"], None]))
    pop, everything = train[train["genre"] == "pop"]["energy"].median(), train["energy"].median()
    assert full["energy"].tolist() == [pop, everything, everything]
    assert np.isfinite(full["valence"]).all()  # unknown of pop: the catalogue's
    np.testing.assert_allclose(fills.loudness_percentile(np.array([-99.0, 99.0])), [1 / 94, 1])


@settings(max_examples=200, deadline=None)
@given(tempo=st.floats(1e-3, 250.0) | st.sampled_from(EDGES))
def test_a_folded_tempo_is_octaves_away(tempo: float) -> None:
    folded, zero, none = folded_tempo(np.array([tempo, 0.0, np.nan]))
    assert 80 <= folded < 160
    octaves = math.log2(folded / tempo)
    assert octaves == pytest.approx(round(octaves), abs=1e-12)
    assert (folded == tempo) == (80 <= tempo < 160)
    assert math.isnan(zero)
    assert math.isnan(none)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.integers(-9, 3).map(float) | st.none(), min_size=1, max_size=40))
def test_percentiles_are_ranks_that_ties_share(values: list[float | None]) -> None:
    loudness = pd.Series(values, dtype=float)
    levels, counts = np.unique(loudness.dropna(), return_counts=True)
    up_to = np.concatenate([[0], np.cumsum(counts)])
    fills = FeatureFills((), np.zeros((0, 11)), np.zeros(11), levels, up_to)
    np.testing.assert_allclose(fills.loudness_percentile(loudness.to_numpy()), loudness.rank(pct=True), atol=1e-12)
