"""Features of planted tracks beside pandas' formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.schemas import AUDIO_FEATURES, TABLES
from musicrec.transforms.features import (
    FeatureParams,
    feature_counts,
    folded_tempo,
    track_features,
    with_percentile,
)

QUICK = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
GENRE_TRACKS = 8
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
    params = FeatureParams(genre_tracks=GENRE_TRACKS)
    found = track_features(table(spark, rows), params).toPandas().set_index("track_id").sort_index()
    wanted = expected(rows)
    assert list(found.index) == list(wanted.index)
    assert "t59" not in found.index
    assert [list(names) for names in found["imputed"]] == list(wanted["imputed"])
    numbers = [c for c in wanted.columns if c in TABLES["silver.track_features"].columns and c in found.columns]
    numbers = [c for c in numbers if c in (*AUDIO_FEATURES, "tempo_folded") or ("_" in c and "key" not in c)]
    assert len(numbers) == 15
    np.testing.assert_allclose(found[numbers].astype(float), wanted[numbers].astype(float), rtol=1e-12)
    assert set(found["artist_key"]) == {"band"}
    assert found.loc["t07", "title_key"] == "song 7"
    assert list(found.loc["t57", "genres"]) == []
    other = track_features(table(spark, rows, 5), params).toPandas().set_index("track_id").sort_index()
    pd.testing.assert_frame_equal(found, other)


def test_what_is_missing_or_out_of_its_range_is_counted(spark: SparkSession) -> None:
    counts = feature_counts(table(spark, tracks())).collect()[0].asDict()
    assert (counts["tracks"], counts["without_features"]) == (60, 1)
    wrong = {name: counts[f"out_of_range_{name}"] for name in AUDIO_FEATURES if counts[f"out_of_range_{name}"]}
    assert wrong == {"danceability": 1, "energy": 2, "loudness": 2, "tempo": 1, "mode": 1, "key": 1, "speechiness": 1}
    assert (counts["missing_key"], counts["missing_tempo"], counts["missing_valence"]) == (3, 3, 26)


def test_a_feature_that_no_track_has_stays_null(spark: SparkSession) -> None:
    rows = [row | {"loudness": None} for row in tracks()]
    found = track_features(table(spark, rows), FeatureParams()).select("loudness", "loudness_percentile", "imputed")
    made = found.collect()
    assert len(made) == 59
    assert {(row.loudness, row.loudness_percentile) for row in made} == {(None, None)}
    assert not any("loudness" in row.imputed for row in made)


@QUICK
@given(tempos=st.lists(st.floats(1e-3, 250.0) | st.sampled_from([80.0, 160.0, math.nextafter(160, 0), 40.0, 20.0])))
def test_a_folded_tempo_is_octaves_away(spark: SparkSession, tempos: list[float]) -> None:
    given_rows = spark.createDataFrame([(i, t) for i, t in enumerate([*tempos, 0.0, None])], "i int, tempo double")
    found = {row.i: row for row in given_rows.select("i", "tempo", folded_tempo(F.col("tempo")).alias("to")).collect()}
    assert found[len(tempos)].to is None
    assert found[len(tempos) + 1].to is None
    for i, tempo in enumerate(tempos):
        assert 80 <= found[i].to < 160
        assert math.log2(found[i].to / tempo) == pytest.approx(round(math.log2(found[i].to / tempo)), abs=1e-12)
        assert (found[i].to == tempo) == (80 <= tempo < 160)


@QUICK
@given(values=st.lists(st.integers(-9, 3).map(float) | st.none(), min_size=1, max_size=40))
def test_percentiles_are_ranks_that_ties_share(spark: SparkSession, values: list[float | None]) -> None:
    rows = spark.createDataFrame(list(enumerate(values)), "i int, loudness double")
    found = {row.i: row.loudness_percentile for row in with_percentile(rows, "loudness").collect()}
    wanted = pd.Series(values, dtype=float).rank(pct=True)
    for i, value in enumerate(values):
        assert found[i] is None if value is None else found[i] == pytest.approx(wanted[i], abs=1e-12)
