"""Playlists of gold.playlists, and the facts of songs that a file of a playlist holds. No Spark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from musicrec.errors import InputError
from musicrec.io.delta_rows import read_rows, rows_or_none
from musicrec.io.playlist_files import Entry, is_mbid
from musicrec.ranking.listener_playlists import BY_DECADE

Rows = list[dict[str, Any]]


def stored_playlists(root: str, user_id: str, kind: str) -> dict[str, Rows]:
    """A listener's newest playlists of a kind by name, each in order; `by-decade` are those of all their decades.

    Raises
    ------
    TableMissingError : no job has made playlists yet.
    InputError : none of this kind for this listener, with those that there are.
    """
    columns = [
        "as_of", "playlist", "position", "item", "track_id", "title", "artist", "duration_ms", "year", "reason",
    ]  # fmt: skip
    rows = read_rows(root, "gold.playlists", columns, [("user_id", "=", user_id)]).to_pylist()
    newest = max((row["as_of"] for row in rows), default=None)
    found: dict[str, Rows] = {}
    for row in sorted(rows, key=lambda row: (row["playlist"], row["position"])):
        if row["as_of"] == newest:
            found.setdefault(row["playlist"], []).append(row)
    wanted = {name: own for name, own in found.items() if name == kind or (kind == BY_DECADE and name.endswith("0s"))}
    if not wanted:
        where = f"table gold.playlists at {root}"
        raise InputError(where, f"the playlist {kind} of the listener {user_id}", ", ".join(found) or "none")
    return wanted


def file_entries(root: str, rows: Sequence[dict[str, Any]]) -> list[Entry]:
    """The places of a playlist with what a file says of them: MBIDs, album, preview.

    Parameters
    ----------
    rows : each with item (recording_id) and track_id, either of which may be None, title, artist, duration_ms, reason.
    """
    items = sorted({row["item"] for row in rows if row["item"]})
    tracks = sorted({row["track_id"] for row in rows if row["track_id"]})
    columns = ["recording_id", "recording_mbid", "artist_mbids", "release_name"]
    recordings = _by_id(root, "silver.recordings", columns, items)
    previews = _by_id(root, "silver.tracks", ["track_id", "album_name", "preview_url"], tracks)
    entries = []
    for row in rows:
        recording, track = recordings.get(row["item"], {}), previews.get(row["track_id"], {})
        mbid = recording.get("recording_mbid")
        entries.append(
            Entry(
                title=row["title"] or "",
                artist=row["artist"] or "",
                recording_mbid=mbid if is_mbid(mbid) else None,
                track_id=row["track_id"],
                artist_mbids=tuple(each for each in recording.get("artist_mbids") or () if is_mbid(each)),
                album=recording.get("release_name") or track.get("album_name"),
                duration_ms=int(row["duration_ms"] or 0),
                preview_url=track.get("preview_url"),
                reason=row["reason"] or "",
            )
        )
    return entries


def _by_id(root: str, table: str, columns: list[str], ids: list[str]) -> dict[str, dict[str, Any]]:
    rows = rows_or_none(root, table, columns, [(columns[0], "in", ids)]) if ids else None
    return {row[columns[0]]: row for row in rows.to_pylist()} if rows is not None else {}
