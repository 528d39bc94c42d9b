"""What tracks sound like, and what follows from it."""

from __future__ import annotations

from musicrec.schemas.table import AUDIO_FEATURES, DOUBLE, INT, LONG, STRING, STRINGS, VECTOR, Table

# Made of the audio features; how: musicrec/transforms/features.py.
ENGINEERED_FEATURES = ("energy_per_danceability", "valence_energy", "loudness_percentile", "tempo_folded")

TABLES = (
    Table(
        "silver.track_features",
        ("track_id",),
        "what a track sounds like: audio features (imputed where missing), engineered ones, and all of it scaled",
        "build_features",
        {
            "track_id": STRING,
            "track_idx": INT,
            "name": STRING,
            "artists": STRINGS,
            "artist_key": STRING,
            "title_key": STRING,
            "year": INT,
            "genres": STRINGS,
            "tags": STRINGS,
            "popularity": DOUBLE,
            "duration_ms": LONG,
            **dict.fromkeys((*AUDIO_FEATURES, *ENGINEERED_FEATURES), DOUBLE),
            "imputed": STRINGS,
            "vector": VECTOR,
            "run_id": STRING,
        },
    ),
)
