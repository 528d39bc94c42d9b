"""Tracks in the form of silver.track_features, as the tests of clusters and cold start need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from musicrec.schemas import AUDIO_FEATURES, TABLES
from musicrec.schemas.content import ENGINEERED_FEATURES

Row = dict[str, Any]


def track(track_id: str, values: Mapping[str, float], **facts: Any) -> Row:
    """A row of silver.track_features; what is not given is the middle of everything."""
    sound = dict.fromkeys((*AUDIO_FEATURES, *ENGINEERED_FEATURES), 0.5) | dict(values)
    row = {
        "track_id": track_id,
        "track_idx": None,
        "name": f"Title {track_id}",
        "artists": [f"Artist {track_id}"],
        "artist_key": f"artist {track_id}",
        "title_key": f"title {track_id}",
        "year": 2000,
        "genres": ["rock"],
        "tags": [],
        "popularity": 50.0,
        "duration_ms": 200_000,
        "imputed": [],
        "vector": [float(value) for value in sound.values()],
        "run_id": "made",
        **sound,
        **facts,
    }
    return {name: row[name] for name in TABLES["silver.track_features"].columns}


def tracks_frame(spark: SparkSession, rows: Sequence[Row]) -> DataFrame:
    """The rows as silver.track_features."""
    schema = TABLES["silver.track_features"].schema
    return spark.createDataFrame([tuple(row.values()) for row in rows], schema)


def planted(groups: Sequence[Mapping[str, float]], size: int, spread: float, seed: int) -> tuple[list[Row], np.ndarray]:
    """`size` tracks about each centre, in no order, and the group of each."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(groups)), size))
    rows = []
    for number, label in enumerate(labels):
        values = {name: centre + spread * rng.normal() for name, centre in groups[label].items()}
        rows.append(track(f"t{number:04d}", values, genres=[f"genre {label}", "all"]))
    return rows, labels
