"""Every table: its columns, key and meaning. A table is conformed to its schema before it is written.

The registry `TABLES` is the one place that knows which tables exist; `docs/tables.md` is written from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from musicrec.schemas import (
    analyses,
    bronze,
    clusters,
    content,
    feedback,
    gold,
    ops,
    playlists,
    popularity,
    silver,
    vectors,
)
from musicrec.schemas.table import AUDIO_FEATURES, Table, conform, same_key

__all__ = ["AUDIO_FEATURES", "TABLES", "Table", "conform", "same_key"]

_AREAS = (
    bronze,
    silver,
    feedback,
    content,
    clusters,
    vectors,
    gold,
    playlists,
    popularity,
    analyses,
    ops,
)

TABLES: Mapping[str, Table] = {table.name: table for area in _AREAS for table in area.TABLES}
