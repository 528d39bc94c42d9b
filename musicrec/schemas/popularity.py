"""How popular tracks will be, by what they sound like and are called."""

from __future__ import annotations

from musicrec.schemas.table import BOOLEAN, DATE, DOUBLE, INT, LONG, STRING, STRINGS, Table

TABLES = (
    Table(
        "gold.popularity",
        ("track_id",),
        "a track's published popularity (0-100), the predicted one, how likely it is popular, and what speaks for it",
        "train_popularity",
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
    Table(
        "gold.popularity_evaluation",
        ("split", "model", "metric"),
        "how good each model of popularity is on tracks that a split held out; `naive` leaks and only shows how much",
        "train_popularity",
        {
            "split": STRING,
            "model": STRING,
            "metric": STRING,
            "value": DOUBLE,
            "low": DOUBLE,
            "high": DOUBLE,
            "train_tracks": LONG,
            "test_tracks": LONG,
            "leaked_tracks": LONG,
            "is_published": BOOLEAN,
            "as_of": DATE,
            "run_id": STRING,
        },
    ),
    Table(
        "gold.popularity_drivers",
        ("feature",),
        "what the published model's predictions hang on: the R² lost when a feature is shuffled over the test tracks",
        "train_popularity",
        {
            "feature": STRING,
            "rank": INT,
            "r2_lost": DOUBLE,
            "deviation": DOUBLE,
            "mean_points": DOUBLE,
            "model": STRING,
            "as_of": DATE,
            "run_id": STRING,
        },
    ),
)
