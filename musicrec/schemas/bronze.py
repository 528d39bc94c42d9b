"""What was taken in, as it came."""

from __future__ import annotations

from musicrec.schemas.table import DOUBLE, LISTEN_KEY, LONG, STRING, STRINGS, TIMESTAMP, TRACK_COLUMNS, Table

TABLES = (
    Table(
        "bronze.listens",
        LISTEN_KEY,
        "a listen as received, once",
        "ingest_listens",
        {
            "source": STRING,
            "user_id": STRING,
            "listened_at": TIMESTAMP,
            "recording_msid": STRING,
            "artist_name": STRING,
            "recording_name": STRING,
            "release_name": STRING,
            "recording_mbid": STRING,
            "release_mbid": STRING,
            "artist_mbids": STRINGS,
            "duration_ms": LONG,
            "source_id": STRING,
            "file": STRING,
            "ingested_at": TIMESTAMP,
        },
    ),
    Table(
        "bronze.tracks",
        ("source_id", "track_id"),
        "a track as one catalogue file describes it; source = its layout",
        "ingest_tracks",
        {"source": STRING, **TRACK_COLUMNS, "source_id": STRING, "file": STRING, "ingested_at": TIMESTAMP},
    ),
    Table(
        "bronze.artists",
        ("source_id", "artist_id"),
        "an artist as one catalogue file describes it",
        "ingest_tracks",
        {
            "artist_id": STRING,
            "name": STRING,
            "followers": LONG,
            "genres": STRINGS,
            "popularity": DOUBLE,
            "source_id": STRING,
            "file": STRING,
            "ingested_at": TIMESTAMP,
        },
    ),
    Table(
        "bronze.play_counts",
        ("source_id", "user_id", "track_id"),
        "how often a listener played a track, without times, as one file says",
        "ingest_tracks",
        {
            "user_id": STRING,
            "track_id": STRING,
            "plays": LONG,
            "source_id": STRING,
            "file": STRING,
            "ingested_at": TIMESTAMP,
        },
    ),
    Table(
        "bronze.quarantine",
        ("source_id", "file", "reason", "row"),
        "a row that cannot be right, with the reason; a repeated row has a row here each time",
        "ingest_listens, ingest_tracks, ingest_feedback",
        {"source_id": STRING, "file": STRING, "reason": STRING, "row": STRING, "ingested_at": TIMESTAMP},
    ),
)
