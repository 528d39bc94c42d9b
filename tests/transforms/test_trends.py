"""Trends, shares and top artists beside pandas."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from musicrec.schemas import AUDIO_FEATURES, TABLES
from musicrec.transforms.trends import artist_facts, genre_shares, top_artists, trends

LEAST = 8


@pytest.fixture(scope="module")
def made_up() -> pd.DataFrame:
    rng = random.Random(6)
    rows = []
    for number in range(120):
        rows.append(
            {
                "artist_key": f"artist {number % 9}",
                "artists": [f"Artist {number % 9}"],
                "year": rng.choice([None, 1968, 1969, 1971, 1985]),
                "duration_ms": rng.randint(120_000, 400_000),
                "popularity": None if number % 10 == 0 else float(rng.randint(0, 100)),
                "genres": rng.sample(["pop", "rap", "rock"], rng.randint(0, 2)),
                "energy": rng.random(),
            }
        )
    return pd.DataFrame(rows).astype({"year": "Int64"})


@pytest.fixture(scope="module")
def songs(spark: SparkSession, made_up: pd.DataFrame):  # type: ignore[no-untyped-def]
    fields = "artist_key string, artists array<string>, year int, duration_ms long, popularity double, "
    fields += "genres array<string>, energy double"
    rows = [
        [None if value is pd.NA else value for value in row] for row in made_up.astype(object).itertuples(index=False)
    ]
    rows = [[None if isinstance(v, float) and np.isnan(v) else v for v in row] for row in rows]
    rest = {c: F.lit(None).cast(TABLES["silver.tracks"].columns[c]) for c in AUDIO_FEATURES if c != "energy"}
    return spark.createDataFrame(rows, fields).withColumns(rest).persist()


def test_groups_are_summed_up_as_pandas_does(made_up: pd.DataFrame, songs) -> None:  # type: ignore[no-untyped-def]
    found = {(r.grouping, r.value, r.measure): r for r in trends(songs, LEAST).collect()}
    again = trends(songs.repartition(7), LEAST).collect()
    assert {(r.grouping, r.value, r.measure): r for r in again} == found
    measures = made_up.assign(minutes=made_up["duration_ms"] / 60_000, decade=made_up["year"] // 10 * 10)
    measures["genre"] = measures["genres"]
    checked = set()
    for grouping in ("year", "decade", "genre"):
        rows = measures.explode("genre") if grouping == "genre" else measures
        for value, own in rows.groupby(grouping):
            for measure in ("popularity", "minutes", "energy"):
                values = own[measure].astype(float).dropna()
                key = (grouping, str(value), measure)
                assert (key in found) == (len(values) >= LEAST)
                if key not in found:
                    continue
                checked.add(key)
                row, spread = found[key], 1.959964 * values.std() / np.sqrt(len(values))
                assert row.n == len(values)
                expected = [values.mean(), values.mean() - spread, values.mean() + spread]
                expected += values.quantile([0.25, 0.5, 0.75]).tolist()
                shown = [row["mean"], row.low, row.high, row.q25, row.median, row.q75]
                assert shown == pytest.approx(expected, abs=2e-6)
    assert checked == set(found)
    assert {grouping for grouping, _, _ in checked} == {"year", "decade", "genre"}


def test_genre_shares_are_of_the_decades_songs_with_a_genre(made_up: pd.DataFrame, songs) -> None:  # type: ignore[no-untyped-def]
    found = {(r.decade, r.genre): r for r in genre_shares(songs, LEAST).collect()}
    known = made_up[made_up["year"].notna() & (made_up["genres"].map(len) > 0)]
    decades = (known["year"] // 10 * 10).astype(int)
    for (decade, genre), row in found.items():
        own = known[decades == decade]
        n = int(own["genres"].map(lambda names, genre=genre: genre in names).sum())
        assert (row.n, row.songs) == (n, len(own))
        assert row.share == pytest.approx(n / len(own), abs=1e-6)
        # Wilson's bounds are where the score test just rejects: |p - share| = z sqrt(p (1 - p) / songs).
        for bound in (row.low, row.high):
            assert abs(bound - row.share) == pytest.approx(1.959964 * np.sqrt(bound * (1 - bound) / len(own)), abs=1e-5)
    assert {decade for decade, _ in found} == {d for d, n in decades.value_counts().items() if n >= LEAST}


def test_top_artists_by_plays_and_by_popularity(spark: SparkSession, made_up: pd.DataFrame, songs) -> None:  # type: ignore[no-untyped-def]
    plays = [(user, f"artist {artist}", 1 + (user * artist) % 5) for user in range(6) for artist in range(4)]
    plays.append((0, "only played", 40))
    played = spark.createDataFrame(plays, "user_idx int, artist_key string, plays long")
    names = spark.createDataFrame(
        [("only played", "Only Played", 40), ("artist 1", "ARTIST 1", 2)],
        "artist_key string, artist string, plays long",
    )
    facts = artist_facts(played, names, songs, songs).persist()
    rows = {(row.by, row["rank"]): row for row in top_artists(facts, 3, 5).collect()}
    assert len(rows) == 6
    totals = pd.DataFrame(plays, columns=["user", "key", "plays"]).groupby("key")["plays"].sum()
    by_plays = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    assert [(rows["plays", n].artist_key, rows["plays", n].plays) for n in (1, 2, 3)] == by_plays
    popular = made_up.groupby("artist_key")["popularity"].mean().round(6)
    expected = sorted(popular.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    assert [(rows["popularity", n].artist_key, rows["popularity", n].popularity) for n in (1, 2, 3)] == expected
    of = {row.artist_key: row for row in facts.collect()}
    assert (of["only played"].artist, of["only played"].songs, of["only played"].top_genre) == ("Only Played", 0, None)
    assert (of["artist 1"].artist, of["artist 2"].artist) == ("ARTIST 1", "Artist 2")
    genres = made_up.explode("genres").groupby(["artist_key", "genres"]).size().reset_index(name="n")
    first = genres.sort_values(["n", "genres"], ascending=[False, True]).groupby("artist_key")["genres"].first()
    assert {key: row.top_genre for key, row in of.items() if key in first} == first.to_dict()
