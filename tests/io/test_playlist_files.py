from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, StringConstraints

from musicrec.io.playlist_files import Entry, PlaylistFile, is_mbid, to_jspf, to_m3u

WHEN = datetime(2014, 6, 23, 4, 5, 6, tzinfo=UTC)
MBID = "e8f9b188-f819-4e43-ab0f-4bd26ce9ff56"
TRACK = "4u7EnebtmKWzUH433cf5Qv"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Text = Annotated[str, StringConstraints(min_length=1)]


class TrackExtension(Strict):
    """https://musicbrainz.org/doc/jspf: the track's extension."""

    added_by: str | None = None
    added_at: str | None = None
    artist_identifiers: list[
        Annotated[str, StringConstraints(pattern=r"^https://musicbrainz\.org/artist/[0-9a-f-]{36}$")]
    ] = []
    release_identifier: str | None = None
    additional_metadata: dict[str, Any] | None = None


class Track(Strict):
    """https://xspf.org/jspf: a track; identifier and location are lists, duration is milliseconds."""

    location: list[str] = []
    identifier: list[str] = []
    title: Text
    creator: str
    annotation: str | None = None
    album: str | None = None
    duration: Annotated[int, Field(ge=0)] | None = None
    extension: dict[str, TrackExtension]


class PlaylistExtension(Strict):
    """https://musicbrainz.org/doc/jspf: the playlist's extension; ListenBrainz demands `public`, a boolean."""

    public: bool
    creator: str | None = None
    created_for: str | None = None
    collaborators: list[Text] = []
    copied_from: str | None = None
    last_modified_at: str | None = None
    additional_metadata: dict[str, Any] | None = None


class Playlist(Strict):
    title: Text
    creator: str
    annotation: str | None = None
    date: str
    extension: dict[str, PlaylistExtension]
    track: list[Track]


class Jspf(Strict):
    playlist: Playlist


def read_jspf(text: str) -> Jspf:
    """As the two specifications have it, nothing else allowed."""
    made = Jspf.model_validate_json(text)
    assert list(made.playlist.extension) == ["https://musicbrainz.org/doc/jspf#playlist"]
    datetime.fromisoformat(made.playlist.date)
    for track in made.playlist.track:
        assert list(track.extension) == ["https://musicbrainz.org/doc/jspf#track"]
        for address in [*track.identifier, *track.location]:
            AnyUrl(address)
        recordings = [address for address in track.identifier if "musicbrainz" in address]
        assert all(re.fullmatch(r"https://musicbrainz\.org/recording/[0-9a-f-]{36}", one) for one in recordings)
    return made


def read_m3u(text: str) -> list[dict[str, Any]]:
    """Line by line, as a player reads it: an #EXTINF belongs to the next line that is no comment."""
    lines = text.split("\n")
    assert lines[0] == "#EXTM3U"
    found, info = [], None
    for line in lines[1:]:
        if line.startswith("#EXTINF:"):
            seconds, _, name = line.removeprefix("#EXTINF:").partition(",")
            artist, _, title = name.partition(" - ")
            info = {"seconds": int(seconds), "artist": artist, "title": title}
        elif line and not line.startswith("#"):
            assert info is not None
            found.append(info | {"address": line})
            info = None
    assert info is None
    return found


def playlist(*entries: Entry) -> PlaylistFile:
    return PlaylistFile("Été [1]", "musicrec", WHEN, entries, "three songs", "me", True)


def test_jspf_holds_what_is_known() -> None:
    full = Entry("Dreams", "Fleetwood Mac", MBID, TRACK, (MBID,), "Rumours", 257_800, "https://p.example/1", "loved")
    made = read_jspf(to_jspf(playlist(full, Entry("Þú", "Sigur Rós")))).playlist
    assert (made.title, made.creator, made.annotation) == ("Été [1]", "musicrec", "three songs")
    own = made.extension["https://musicbrainz.org/doc/jspf#playlist"]
    assert (own.public, own.created_for) == (True, "me")
    first, second = made.track
    assert first.identifier == [f"https://musicbrainz.org/recording/{MBID}", f"https://open.spotify.com/track/{TRACK}"]
    assert (first.album, first.duration, first.location) == ("Rumours", 257_800, ["https://p.example/1"])
    assert first.extension["https://musicbrainz.org/doc/jspf#track"].artist_identifiers == [
        f"https://musicbrainz.org/artist/{MBID}"
    ]
    assert (second.identifier, second.duration, second.title) == ([], None, "Þú")


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        (Entry("a", "b", MBID, TRACK, preview_url="https://p.example/1"), f"spotify:track:{TRACK}"),
        (Entry("a", "b", MBID, "TRABC", preview_url="https://p.example/1"), "https://p.example/1"),
        (Entry("a", "b", MBID), f"https://musicbrainz.org/recording/{MBID}"),
    ],
)
def test_the_address_in_an_m3u(entry: Entry, address: str) -> None:
    assert [row["address"] for row in read_m3u(to_m3u(playlist(entry)))] == [address]


def test_a_song_without_an_address_is_a_comment() -> None:
    text = to_m3u(playlist(Entry("Nowhere", "Nobody"), Entry("x", "y", None, TRACK, duration_ms=61_500)))
    assert "# no address: Nobody - Nowhere" in text
    assert read_m3u(text) == [{"seconds": 62, "artist": "y", "title": "x", "address": f"spotify:track:{TRACK}"}]


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
entries = st.builds(Entry, names, names.filter(lambda name: " - " not in name), st.just(MBID), st.just(TRACK))


@settings(max_examples=60, deadline=None)
@given(st.lists(entries, max_size=5))
def test_any_name_comes_back(found: list[Entry]) -> None:
    made = read_jspf(to_jspf(playlist(*found)).encode("utf-8").decode("utf-8")).playlist.track
    assert [(track.title, track.creator) for track in made] == [(entry.title, entry.artist) for entry in found]
    rows = read_m3u(to_m3u(playlist(*found)))
    assert len(rows) == len(found)
    assert [row["seconds"] for row in rows] == [-1] * len(found)


def test_ids() -> None:
    assert is_mbid(MBID)
    assert not is_mbid(MBID.upper())
    assert not is_mbid(None)
