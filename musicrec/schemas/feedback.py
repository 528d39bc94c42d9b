"""What listeners said of recordings and artists."""

from __future__ import annotations

from musicrec.schemas.table import INT, STRING, TIMESTAMP, Table

TABLES = (
    Table(
        "bronze.feedback",
        ("source_id", "statement_id"),
        "a statement as one source gives it; snapshot_at = when the dump that it is from was made",
        "ingest_feedback",
        {
            "statement_id": STRING,
            "item_kind": STRING,
            "user_id": STRING,
            "user_name": STRING,
            "recording_msid": STRING,
            "recording_mbid": STRING,
            "artist_mbid": STRING,
            "artist_name": STRING,
            "score": INT,
            "created_at": TIMESTAMP,
            "snapshot_at": TIMESTAMP,
            "source_id": STRING,
            "file": STRING,
            "ingested_at": TIMESTAMP,
        },
    ),
    Table(
        "silver.feedback",
        ("user_id", "item_kind", "item_id"),
        "what a listener last said of a recording or artist: 1 loved, -1 hated or blocked; nothing that was taken back",
        "build_silver",
        {
            "user_id": STRING,
            "item_kind": STRING,
            "item_id": STRING,
            "user_idx": INT,
            "item_idx": INT,
            "score": INT,
            "at": TIMESTAMP,
        },
    ),
)
