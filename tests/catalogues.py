"""Tiny catalogue files in every published layout, each with the traps that the real ones hold."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from musicrec.io.spotify_schemas import CATALOGUE_SCHEMAS

FEATURES: Mapping[str, str] = {
    "danceability": "0.5",
    "energy": "0.6",
    "key": "7",
    "loudness": "-5.5",
    "mode": "1",
    "speechiness": "0.05",
    "acousticness": "0.1",
    "instrumentalness": "0",
    "liveness": "0.2",
    "valence": "0.3",
    "tempo": "120.5",
    "duration_ms": "200000",
}

_ROWS: Mapping[str, Sequence[Mapping[str, str]]] = {
    "spotify_songs": (
        {"track_id": "s1", "track_name": "Layla, \"Live\"\nAgain", "track_artist": "Derek & The Dominos",
         "track_popularity": "66.0", "key": "6.0", "mode": "1.0", "duration_ms": "194754.0",
         "track_album_release_date": "1970-11", "playlist_genre": "rock", "playlist_subgenre": "classic rock"},
        {"track_id": "s1", "track_name": "Layla, \"Live\"\nAgain", "track_artist": "Derek & The Dominos",
         "track_popularity": "66.0", "key": "6.0", "mode": "1.0", "duration_ms": "194754.0",
         "track_album_release_date": "1970-11", "playlist_genre": "pop", "playlist_subgenre": "dance pop"},
        {"track_id": "s2", "track_name": "", "track_artist": "", "track_album_release_date": "2012"},
        {"track_id": "x1", "track_name": "None", "track_artist": "NA", "track_popularity": "10",
         "track_album_release_date": "2012-01-05", "playlist_genre": "r&b"},
    ),
    "hit_predictor": (
        {"track": "Nobody's \"Fool\"", "artist": "Cinderella", "uri": "spotify:track:x1", "target": "1"},
        {"track": "Bad", "artist": "Loud", "uri": "spotify:track:h2", "target": "0", "loudness": "99"},
    ),
    "music_info": (
        {"track_id": "TR1", "spotify_id": "x2", "name": "Wonderwall, again", "artist": "Oasis", "tags": "rock, 90s",
         "genre": "", "year": "1995", "spotify_preview_url": "http://p/1"},
        {"track_id": "TR2", "spotify_id": "", "name": "No tags", "artist": "Some", "tags": "", "genre": "Rock",
         "year": "0"},
    ),
    "tracks_600k": (
        {"id": "k1", "name": "Duo", "artists": "['Uli', \"Sinead O'Connor\"]", "id_artists": "['a1', 'a2']",
         "release_date": "1922", "explicit": "0", "popularity": "6"},
        {"id": "k2", "name": "Broken list", "artists": "['Uli", "id_artists": "[]", "release_date": "1922-02-22",
         "explicit": "1", "popularity": "6"},
    ),
    "spotify_1million": (
        {"artist_name": "Jason, Mraz", "track_name": "I Won't Give Up", "track_id": "m1", "popularity": "68",
         "year": "2012", "genre": "acoustic"},
    ),
    "dataset_114k": (
        {"track_id": "d1", "artists": "Gen Hoshino;Ingrid", "album_name": "Comedy", "track_name": "Comedy",
         "popularity": "73", "explicit": "False", "track_genre": "acoustic"},
        {"track_id": "d1", "artists": "Gen Hoshino;Ingrid", "album_name": "Comedy", "track_name": "Comedy",
         "popularity": "73", "explicit": "False", "track_genre": "j-pop"},
        {"track_id": "d2", "artists": "Someone", "album_name": "", "track_name": "Odd tempo", "popularity": "1",
         "explicit": "True", "track_genre": "", "tempo": "fast"},
    ),
    "artists": (
        {"id": "a1", "name": "Uli", "followers": "12.0", "genres": "['Krautrock', \"drum'n'bass\"]", "popularity": "3"},
        {"id": "a2", "name": "Sinead O'Connor", "followers": "", "genres": "[]", "popularity": "60"},
        {"id": "", "name": "Nobody", "followers": "1", "genres": "[]", "popularity": "0"},
    ),
    "user_listening_history": (
        {"track_id": "TR1", "user_id": "b80344d063b5ccb3", "playcount": "3"},
        {"track_id": "TR1", "user_id": "b80344d063b5ccb3", "playcount": "3"},
        {"track_id": "TR2", "user_id": "", "playcount": "1"},
        {"track_id": "TR2", "user_id": "85c1f87fea955d09", "playcount": "0"},
    ),
}  # fmt: skip

# rows in, kept, duplicate, quarantined of each file that `write_catalogue` writes by default.
COUNTS: Mapping[str, tuple[int, int, int, int]] = {
    "spotify_songs": (4, 2, 1, 1),
    "hit_predictor": (2, 1, 0, 1),
    "music_info": (2, 2, 0, 0),
    "tracks_600k": (2, 1, 0, 1),
    "spotify_1million": (1, 1, 0, 0),
    "dataset_114k": (3, 1, 1, 1),
    "artists": (3, 2, 0, 1),
    "user_listening_history": (4, 1, 1, 2),
}

_INDEXED = frozenset({"spotify_1million", "dataset_114k"})


def write_catalogue(
    folder: Path,
    schema_name: str,
    rows: Sequence[Mapping[str, str]] | None = None,
    name: str | None = None,
    bom: bool = False,
    append: str = "",
) -> Path:
    """Write a CSV of a layout: `rows` (default: with its traps) over plain features; `append` is raw text behind it.

    A name that ends in .gz is packed; `bom` puts a byte order mark first. Two layouts get their unnamed index column.
    """
    columns = [*(["", ] if schema_name in _INDEXED else []), *CATALOGUE_SCHEMAS[schema_name].columns]  # fmt: skip
    rows = _ROWS[schema_name] if rows is None else rows
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for place, row in enumerate(rows):
        full = {"": str(place), "time_signature": "4", **FEATURES, **row}
        writer.writerow({column: full.get(column, "") for column in columns})
    content = (text.getvalue() + append).encode("utf-8-sig" if bom else "utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"{schema_name}.csv")
    path.write_bytes(gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)
    return path
