"""A lakehouse of six bands, written by delta-rs: four are rock of the seventies, two are techno of the nineties."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

BANDS = ("Abba Cus", "Bolero", "Crank", "Delta Five", "Echo Unit", "Flux")
SONGS = 8  # of each band
MBID = "0a1b2c3d-0000-4000-8000-00000000000{}"
ME, NEW = "me", "new"

FLOATS = ("energy", "tempo", "danceability", "valence", "acousticness", "instrumentalness", "loudness", "key", "mode")


def spotify_id(band: int, song: int) -> str:
    return f"{band}{song}".rjust(22, "x")


def title(band: int, song: int) -> str:
    return "Hello" if (band, song) in {(0, 7), (1, 7)} else f"Song {BANDS[band].split()[0]} {song}"


def tracks() -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    rows = []
    for band in range(len(BANDS)):
        is_rock = band < 4
        for song in range(SONGS):
            near = np.array([1.0, 0.1] if is_rock else [0.1, 1.0]) + rng.normal(0, 0.05, 2)
            values = {name: float(rng.uniform(0, 1)) for name in FLOATS}
            values |= {"energy": 0.9 if is_rock else 0.3, "tempo": float(rng.uniform(80, 160))}
            values |= {"key": float(rng.integers(12)), "mode": float(rng.integers(2))}
            rows.append(
                {
                    "track_id": spotify_id(band, song),
                    "track_idx": band * SONGS + song,
                    "name": title(band, song),
                    "artists": [BANDS[band]],
                    "artist_key": BANDS[band].lower(),
                    "title_key": title(band, song).lower(),
                    "year": 1970 + song if is_rock else 1990 + song,
                    "popularity": 10.0 * band + song,
                    "duration_ms": int(rng.integers(150_000, 330_000)),
                    "genres": ["classic rock", "rock"] if is_rock else ["techno"],
                    "tags": [],
                    "vector": near.astype(np.float32).tolist(),
                    **values,
                }
            )
    # The first song again, on a compilation.
    rows.append(rows[0] | {"track_id": "compilation0000000000a", "track_idx": 99, "popularity": 0.0})
    return rows


def recordings() -> list[dict[str, Any]]:
    """Songs 0-3 of each band were played; the last band's are linked to no track."""
    return [
        {
            "recording_id": f"r{band}{song}",
            "title": title(band, song),
            "artist_name": BANDS[band],
            "artist_id": f"a{band}",
            "artist_key": BANDS[band].lower(),
            "title_key": title(band, song).lower() if band < 5 else f"unlinked {song}",
            "recording_mbid": MBID.format(song) if band == 0 else None,
            "artist_mbids": [MBID.format(9)] if band == 0 else None,
            "release_name": "First" if band == 0 else None,
            "plays": 5,
        }
        for band in range(len(BANDS))
        for song in range(4)
    ]


def write_lake(root: Path, with_popularity: bool = True) -> str:
    """Returns the root."""
    known, songs = tracks(), recordings()
    idx_of = {row["recording_id"]: idx for idx, row in enumerate(songs)}
    _write(root, "silver.track_features", known)
    _write(root, "silver.tracks", [
        {"track_id": row["track_id"], "album_name": "Album", "preview_url": None} for row in known
    ])  # fmt: skip
    _write(root, "silver.recordings", songs)
    _write(root, "silver.item_index", [
        {"item_kind": "recording", "item_id": item, "item_idx": idx} for item, idx in idx_of.items()
    ])  # fmt: skip
    _write(root, "silver.links", [
        {"recording_id": f"r{band}{song}", "track_id": spotify_id(band, song), "confidence": 1.0}
        for band in range(5) for song in range(4)
    ])  # fmt: skip
    mine = {"r00": 9, "r01": 4, "r10": 3, "r11": 1, "r20": 2, "r50": 6}
    _write(root, "silver.interactions", [
        {"item_kind": "recording", "user_id": ME, "item_id": item, "user_idx": 0, "item_idx": idx_of[item], "plays": n}
        for item, n in mine.items()
    ])  # fmt: skip
    _write(root, "silver.feedback", [
        {"user_id": ME, "item_kind": "recording", "item_id": "r12", "score": -1},
        {"user_id": ME, "item_kind": "artist", "item_id": "a3", "score": -1},
        {"user_id": ME, "item_kind": "recording", "item_id": "r00", "score": 1},
    ])  # fmt: skip
    rng = np.random.default_rng(3)
    vectors = [(idx, (np.array([1.0, 0.0]) + rng.normal(0, 0.1, 2)).tolist()) for idx in idx_of.values()]
    _write(root, "models.item_vectors", [
        {"model": "als", "item_idx": idx, "vector": vector, "bias": 0.0} for idx, vector in vectors
    ], bias=pa.float32(), vector=pa.list_(pa.float32()), item_idx=pa.int32())  # fmt: skip
    own = [{"model": "als", "user_idx": 0, "vector": [1.0, 0.0]}]
    _write(root, "models.user_vectors", own, vector=pa.list_(pa.float32()))
    _write(root, "gold.similar_tracks", [
        {"model": model, "item": "r00", "rank": 1, "title": title(1, 0), "artist": BANDS[1], "score": 0.5}
        for model in ("knn", "content")
    ])  # fmt: skip
    _write(root, "gold.playlists", _stored())
    if with_popularity:
        _write(root, "gold.popularity", [
            {"track_id": row["track_id"], "predicted_popularity": 100.0 - row["popularity"]} for row in known
        ])  # fmt: skip
    return str(root)


def _stored() -> list[dict[str, Any]]:
    rows = []
    for day, playlist in ((16, "daily-jams"), (23, "daily-jams"), (23, "discovery"), (23, "1970s"), (23, "1990s")):
        for place in (2, 1):  # not in order
            rows.append(
                {
                    "as_of": date(2014, 6, day),
                    "playlist": playlist,
                    "user_id": ME,
                    "position": place,
                    "item": f"r0{place}",
                    "track_id": spotify_id(0, place),
                    "title": f"{title(0, place)} [{day}]",
                    "artist": BANDS[0],
                    "duration_ms": 200_000,
                    "year": 1971,
                    "reason": "you played it 9 times",
                }
            )
    return rows


def _write(root: Path, name: str, rows: list[dict[str, Any]], **types: pa.DataType) -> None:
    table = pa.Table.from_pylist(rows)
    for column, kind in types.items():
        at = table.schema.get_field_index(column)
        table = table.set_column(at, column, table[column].cast(kind))
    # delta-rs has no type for a column of nothing but null.
    for at, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            table = table.set_column(at, field.name, table[field.name].cast(pa.string()))
        elif field.type == pa.list_(pa.null()):
            table = table.set_column(at, field.name, table[field.name].cast(pa.list_(pa.string())))
    write_deltalake(f"{root}/{name.replace('.', '/')}", table)
