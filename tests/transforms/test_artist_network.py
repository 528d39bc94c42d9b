"""Lifts beside a brute force in pandas; what meets under one name; who is credited on a song."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from musicrec.schemas import AUDIO_FEATURES, TABLES
from musicrec.transforms.artist_network import (
    listened_artists,
    one_weight_a_pair,
    pair_lifts,
    session_artists,
    strongest_pairs,
)
from musicrec.transforms.songs import credits, guest_spans, keyed_tracks, songs


def made_up_baskets() -> pd.DataFrame:
    rng = random.Random(1)
    rows = []
    for basket in range(40):
        liked = [f"a{n}" for n in range(12) if rng.random() < (0.6 if (n + basket) % 2 else 0.15)]
        rows += [(basket, artist, rng.randint(1, 9)) for artist in liked]
    return pd.DataFrame(rows, columns=["basket", "artist_key", "plays"]).astype({"basket": str})


def brute_lifts(baskets: pd.DataFrame, support: int, shrinkage: float) -> dict[tuple[str, str], tuple[int, float]]:
    contents = baskets.groupby("basket")["artist_key"].agg(set)
    found = {}
    for a, b in itertools.combinations(sorted(baskets["artist_key"].unique()), 2):
        together = sum({a, b} <= artists for artists in contents)
        expected = sum(a in artists for artists in contents) * sum(b in artists for artists in contents) / len(contents)
        lift = (together + shrinkage) / (expected + shrinkage)
        if together >= support and lift > 1:
            found[a, b] = (together, lift)
    return found


def lifts(rows: list[Row], kind: str) -> dict[tuple[str, str], tuple[int, float]]:
    return {(row.artist_key, row.other_key): (row.together, row.lift) for row in rows if row.kind == kind}


def test_lifts_are_those_of_a_brute_force(spark: SparkSession) -> None:
    baskets = made_up_baskets()
    few = baskets[baskets["basket"].astype(int) < 15]
    df = spark.createDataFrame(pd.concat([baskets.assign(kind="many"), few.assign(kind="few")])).repartition(7)
    rows = pair_lifts(df, 100, {"many": 6, "few": 3}, 2.0, seed=1).collect()
    found = lifts(rows, "many")
    assert lifts(rows, "few").keys() == brute_lifts(few, 3, 2.0).keys()
    expected = brute_lifts(baskets, 6, 2.0)
    assert found.keys() == expected.keys()
    assert len(found) > 15
    for pair, (together, lift) in expected.items():
        assert found[pair] == (together, pytest.approx(lift, abs=1e-8))


def test_of_a_basket_the_most_played_count(spark: SparkSession) -> None:
    baskets = made_up_baskets()
    kept = baskets.sort_values("plays", ascending=False, kind="stable").groupby("basket").head(3)
    # Where plays are equal the hash chooses; so only baskets are kept in which the third is told from the fourth.
    clear = [
        basket for basket, own in baskets.groupby("basket")["plays"]
        if len(own) <= 3 or sorted(own)[-3] != sorted(own)[-4]
    ]  # fmt: skip
    assert 10 < len(clear) < 40
    asked, expected = baskets[baskets["basket"].isin(clear)], kept[kept["basket"].isin(clear)]
    found = pair_lifts(spark.createDataFrame(asked.assign(kind="any")), 3, {"any": 1}, 0.5, seed=1).collect()
    assert lifts(found, "any") == {
        pair: (together, pytest.approx(lift, abs=1e-8))
        for pair, (together, lift) in brute_lifts(expected, 1, 0.5).items()
    }


def test_an_edge_stays_that_is_strong_for_one_of_its_ends(spark: SparkSession) -> None:
    rows = [("a", "b", "song", 4.0), ("a", "b", "session", 2.0), ("b", "c", "session", 2.0), ("a", "d", "session", 8.0)]
    fields = "artist_key string, other_key string, kind string, lift double"
    pairs = one_weight_a_pair(spark.createDataFrame(rows, fields))
    within = spark.createDataFrame([("a",), ("b",), ("c",)], "artist_key string")
    kept = {(row.artist_key, row.other_key, row.weight) for row in strongest_pairs(pairs, within, 1).collect()}
    assert kept == {("a", "b", 3.0), ("b", "c", 1.0)}  # c's only one stays, though b has a stronger; d is not within


def test_a_play_in_two_windows_counts_once(spark: SparkSession) -> None:
    rows = [
        (1, 0, [-1, 0, 1, 0], [-1, 10, 20, 30]),
        (1, 0, [-1, -1, 0, 2], [-1, -1, 30, 40]),
        (1, 1, [-1, -1, -1, 2], [-1, -1, -1, 99]),
    ]
    sequences = spark.createDataFrame(rows, "user_idx int, session int, items array<int>, times array<long>")
    artists = spark.createDataFrame([(0, "x"), (1, "y"), (2, "x")], "item_idx int, artist_key string")
    found = {(row.basket, row.artist_key): row.plays for row in session_artists(sequences, artists).collect()}
    assert found == {("1 0", "x"): 3, ("1 0", "y"): 1, ("1 1", "x"): 1}


def tracks(spark: SparkSession, rows: list[tuple[Any, ...]]) -> DataFrame:
    """(track_id, name, artists, popularity, year, genres), the rest unknown."""
    fields = "track_id string, name string, artists array<string>, popularity double, year int, genres array<string>"
    known = spark.createDataFrame(rows, fields)
    kinds = TABLES["silver.tracks"].columns
    return known.withColumns({c: F.lit(None).cast(kinds[c]) for c in ("duration_ms", *AUDIO_FEATURES)})


def test_listed_artists_and_guests_are_credited_once(spark: SparkSession) -> None:
    rows = [
        ("t1", "Hide Away (feat. Earth, Wind & Fire and Nobody)", ["Daya"], 1.0, 2019, ["pop"]),
        ("t2", "Hide Away", ["DAYA", "Envy Monroe"], 2.0, 2018, ["pop", "rap"]),
        ("t3", "September", ["Earth, Wind & Fire"], 3.0, 1978, []),
        ("t4", "Fire", ["Fire"], 3.0, 1978, []),
        ("t5", "With or Without You", ["U2 feat. Daya"], None, 1987, []),
        ("t6", "Nothing", [], None, None, []),
    ]
    keyed = keyed_tracks(tracks(spark, rows)).persist()
    found = {(row.artist_key, row.title_key, row.credited) for row in credits(keyed).collect()}
    assert found == {
        ("daya", "hide away", "daya"),
        ("daya", "hide away", "envy monroe"),
        ("daya", "hide away", "earth wind and fire"),
        ("earth wind and fire", "september", "earth wind and fire"),
        ("fire", "fire", "fire"),
        ("u2", "with or without you", "u2"),
        ("u2", "with or without you", "daya"),
    }
    one = {row.title_key: row for row in songs(keyed).collect()}
    assert len(one) == 5
    hide = one["hide away"]
    assert (hide.track_id, hide.year, hide.genres, hide.popularity) == ("t2", 2018, ["pop", "rap"], 2.0)


def test_a_guest_may_be_named_in_many_ways() -> None:
    for text, longest in (
        ("My Love (feat. T.I.)", "ti"),
        ("I Don't Care (with Justin Bieber) - Loud Luxury Remix", "justin bieber"),
        ("Stay ft. Mikky Ekko - Live", "mikky ekko"),
        ("Drake Featuring JAY-Z\nPound Cake", "jay z"),
    ):
        assert guest_spans(text)[-1][3] == longest
    assert guest_spans("With or Without You") == []
    assert guest_spans("Defeat (Ft. Worth)") == [(0, 0, 1, "worth")]


def test_artists_of_the_listens_meet_the_catalogues(spark: SparkSession) -> None:
    recordings = spark.createDataFrame(
        [
            ("r1", "m-beatles", "beatles", 5), ("r2", "m-beatles", "beatles band", 2),
            ("r3", "h-skynrd", "lynrd skynrd", 4), ("r4", "h-skynrd", "lynrd skynrd", 1),
            ("r5", "h-own", "nowhere", 1), ("r6", "h-split", "split", 1), ("r7", "h-split", "split", 1),
        ],
        "recording_id string, artist_id string, artist_key string, plays long",
    )  # fmt: skip
    keyed = spark.createDataFrame(
        [("t1", "beatles"), ("t2", "lynyrd skynyrd"), ("t3", "other")], "track_id string, artist_key string"
    )
    links = spark.createDataFrame(
        [("r1", "t3"), ("r3", "t2"), ("r6", "t1"), ("r7", "t3")], "recording_id string, track_id string"
    )
    found = {row.artist_id: row.artist_key for row in listened_artists(recordings, links, keyed).collect()}
    assert found == {
        "m-beatles": "beatles",  # a catalogue knows the name: links do not overrule it
        "h-skynrd": "lynyrd skynyrd",
        "h-own": "nowhere",
        "h-split": "split",  # no catalogue artist has more than half of its linked plays
    }
