"""Playlists that wait for their listeners."""

from __future__ import annotations

from musicrec.schemas.table import DATE, INT, LONG, STRING, Table

TABLES = (
    Table(
        "gold.playlists",
        ("as_of", "playlist", "user_id", "position"),
        "a place of a listener's playlist, in the order to be heard: daily-jams, discovery, or a decade such as 1970s",
        "build_playlists",
        {
            "as_of": DATE,
            "playlist": STRING,
            "user_id": STRING,
            "position": INT,
            "item": STRING,
            "track_id": STRING,
            "title": STRING,
            "artist": STRING,
            "duration_ms": LONG,
            "year": INT,
            "reason": STRING,
            "run_id": STRING,
        },
    ),
)
