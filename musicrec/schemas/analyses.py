"""What an analyst reads: which artists belong together, and what songs are like by year and genre."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql.types import DataType

from musicrec.schemas.table import DATE, DOUBLE, INT, LONG, STRING, Table

_RUN: Mapping[str, DataType] = {"as_of": DATE, "run_id": STRING}

TABLES = (
    Table(
        "gold.artist_edges",
        ("kind", "artist_key", "other_key"),
        "two artists who meet more often than by chance: on a song (kind song), with one listener or in one session",
        "analyse",
        {
            "kind": STRING,
            "artist_key": STRING,
            "other_key": STRING,
            "artist": STRING,
            "other": STRING,
            "together": LONG,
            "expected": DOUBLE,
            "lift": DOUBLE,
            **_RUN,
        },
    ),
    Table(
        "gold.artist_nodes",
        ("artist_key",),
        "an artist in the network: edges of any kind; PageRank and community of the most played",
        "analyse",
        {
            "artist_key": STRING,
            "artist": STRING,
            "plays": LONG,
            "listeners": LONG,
            "songs": LONG,
            "popularity": DOUBLE,
            "top_genre": STRING,
            "degree": LONG,
            "weighted_degree": DOUBLE,
            "pagerank": DOUBLE,
            "community": INT,
            **_RUN,
        },
    ),
    Table(
        "gold.trends",
        ("grouping", "value", "measure"),
        "a measure of the songs of a year, decade or genre; low and high: 95 % interval of the mean",
        "analyse",
        {
            "grouping": STRING,
            "value": STRING,
            "measure": STRING,
            "n": LONG,
            **dict.fromkeys(("mean", "low", "high", "q25", "median", "q75"), DOUBLE),
            **_RUN,
        },
    ),
    Table(
        "gold.genre_shares",
        ("decade", "genre"),
        "the share of a decade's songs that have a genre, with its 95 % interval",
        "analyse",
        {
            "decade": INT,
            "genre": STRING,
            "n": LONG,
            "songs": LONG,
            **dict.fromkeys(("share", "low", "high"), DOUBLE),
            **_RUN,
        },
    ),
    Table(
        "gold.top_artists",
        ("by", "rank"),
        "an artist among the first by plays, or by the mean popularity of its songs (with its 95 % interval)",
        "analyse",
        {
            "by": STRING,
            "rank": INT,
            "artist_key": STRING,
            "artist": STRING,
            "plays": LONG,
            "listeners": LONG,
            "songs": LONG,
            **dict.fromkeys(("popularity", "low", "high"), DOUBLE),
            "top_genre": STRING,
            **_RUN,
        },
    ),
    Table(
        "gold.feature_correlations",
        ("feature",),
        "how a feature goes with popularity over the songs: Spearman's rho and its 95 % interval",
        "analyse",
        {"feature": STRING, **dict.fromkeys(("rho", "low", "high"), DOUBLE), "n": LONG, **_RUN},
    ),
)
