"""Playlists as files that players read: JSPF as ListenBrainz takes it, and extended M3U."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# https://musicbrainz.org/doc/jspf, https://xspf.org/jspf; ListenBrainz refuses a playlist without a title or `public`,
# and a track whose identifier is no recording of MusicBrainz.
PLAYLIST_EXTENSION = "https://musicbrainz.org/doc/jspf#playlist"
TRACK_EXTENSION = "https://musicbrainz.org/doc/jspf#track"
RECORDING_URI = "https://musicbrainz.org/recording/"
ARTIST_URI = "https://musicbrainz.org/artist/"
SPOTIFY_URI = "https://open.spotify.com/track/"

_MBID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SPOTIFY_ID = re.compile(r"[0-9A-Za-z]{22}")
_LINE_BREAK = re.compile(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")


@dataclass(frozen=True)
class Entry:
    """A place of a playlist.

    Attributes
    ----------
    title, artist : as shown.
    recording_mbid, track_id : of MusicBrainz and of Spotify, None where not known.
    artist_mbids : of MusicBrainz.
    album : its release, None where not known.
    duration_ms : 0 where not known.
    preview_url : where a part of it can be heard, None where not known.
    reason : why it is there.
    """

    title: str
    artist: str
    recording_mbid: str | None = None
    track_id: str | None = None
    artist_mbids: tuple[str, ...] = ()
    album: str | None = None
    duration_ms: int = 0
    preview_url: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class PlaylistFile:
    """A playlist with its heading."""

    title: str
    creator: str
    made_at: datetime
    entries: Sequence[Entry]
    annotation: str = ""
    created_for: str | None = None
    public: bool = False


def to_jspf(playlist: PlaylistFile) -> str:
    """The playlist as JSPF with MusicBrainz' extensions.

    A track's `identifier` is a list: its recording's address at MusicBrainz where the MBID is known, then its address
    at Spotify. ListenBrainz imports tracks of the first kind only; other players match the rest by creator and title.
    Durations are milliseconds.
    """
    when = playlist.made_at.isoformat()
    own: dict[str, Any] = {"creator": playlist.creator, "public": playlist.public, "last_modified_at": when}
    if playlist.created_for:
        own["created_for"] = playlist.created_for
    made: dict[str, Any] = {"title": playlist.title, "creator": playlist.creator, "date": when}
    if playlist.annotation:
        made["annotation"] = playlist.annotation
    made["extension"] = {PLAYLIST_EXTENSION: own}
    made["track"] = [_track(entry, playlist.creator, when) for entry in playlist.entries]
    return json.dumps({"playlist": made}, ensure_ascii=False, indent=2) + "\n"


def _track(entry: Entry, added_by: str, when: str) -> dict[str, Any]:
    identifiers = [RECORDING_URI + entry.recording_mbid] if entry.recording_mbid else []
    if is_spotify_id(entry.track_id):
        identifiers.append(f"{SPOTIFY_URI}{entry.track_id}")
    extension: dict[str, Any] = {"added_by": added_by, "added_at": when}
    if entry.artist_mbids:
        extension["artist_identifiers"] = [ARTIST_URI + mbid for mbid in entry.artist_mbids]
    made: dict[str, Any] = {"identifier": identifiers} if identifiers else {}
    made |= {"title": entry.title, "creator": entry.artist}
    if entry.album:
        made["album"] = entry.album
    if entry.duration_ms:
        made["duration"] = entry.duration_ms
    if entry.preview_url:
        made["location"] = [entry.preview_url]
    if entry.reason:
        made["annotation"] = entry.reason
    return made | {"extension": {TRACK_EXTENSION: extension}}


def to_m3u(playlist: PlaylistFile) -> str:
    """The playlist as extended M3U in UTF-8: seconds, −1 where not known, then artist and title, then an address.

    There is no file, so the address is `spotify:track:ID` where the track is known, else that of its preview, else that
    of its recording at MusicBrainz. A song without any of these is a comment, since a player would take a made-up
    address for a file.
    """
    lines = ["#EXTM3U", "#EXTENC:UTF-8", f"#PLAYLIST:{_one_line(playlist.title)}"]
    for entry in playlist.entries:
        seconds = round(entry.duration_ms / 1000) if entry.duration_ms else -1
        name = f"{_one_line(entry.artist)} - {_one_line(entry.title)}"
        address = m3u_address(entry)
        lines += [f"#EXTINF:{seconds},{name}", address] if address else [f"# no address: {name}"]
    return "\n".join(lines) + "\n"


def m3u_address(entry: Entry) -> str | None:
    """Where a player finds the song, None where nothing is known."""
    if is_spotify_id(entry.track_id):
        return f"spotify:track:{entry.track_id}"
    if entry.preview_url:
        return _one_line(entry.preview_url)
    return RECORDING_URI + entry.recording_mbid if entry.recording_mbid else None


def is_mbid(text: str | None) -> bool:
    """Whether it is an MBID in MusicBrainz' form."""
    return bool(text and _MBID.fullmatch(text))


def is_spotify_id(text: str | None) -> bool:
    """Whether it is an id of Spotify: catalogues without one name tracks by an id of their own."""
    return bool(text and _SPOTIFY_ID.fullmatch(text))


def _one_line(text: str) -> str:
    return _LINE_BREAK.sub(" ", text).strip()
