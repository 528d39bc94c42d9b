"""How popular tracks will be, by what they sound like and are called."""

from __future__ import annotations

from musicrec.schemas.table import DATE, DOUBLE, STRING, STRINGS, Table

TABLES = (
    Table(
        "gold.popularity",
        ("track_id",),
        "a track's published popularity (0-100), the predicted one, how likely it is popular, and what speaks for it",
        "every job",
        {
            "track_id": STRING,
            "title": STRING,
            "artist": STRING,
            "popularity": DOUBLE,
            "predicted_popularity": DOUBLE,
            "probability_popular": DOUBLE,
            "reasons": STRINGS,
            "as_of": DATE,
            "run_id": STRING,
        },
    ),
)
