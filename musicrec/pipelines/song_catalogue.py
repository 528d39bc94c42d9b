"""Every song of a lakehouse in memory, read by delta-rs: names, sound, and vectors of content and factors. No Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.errors import InputError
from musicrec.io.delta_rows import read_rows, rows_or_none
from musicrec.models.blocks import read_vectors
from musicrec.models.numbered import numbered
from musicrec.models.significant import significant
from musicrec.ranking.song_names import SongNames
from musicrec.ranking.songs import ItemRows, Songs, TrackRows, make_songs
from musicrec.transforms.song_rows import SURE_LINK

Array = NDArray[Any]
Ints = NDArray[np.int64]

_TRACK_COLUMNS = (
    "track_id", "name", "artists", "artist_key", "title_key", "year", "popularity", "duration_ms",
    "tempo", "key", "mode", "energy", "vector",
)  # fmt: skip
_BETWEEN_KEYS = "\x1f"


@dataclass(frozen=True)
class Vectors:
    """Vectors of length 1 by row: of tracks (content) or of items (factors).

    Attributes
    ----------
    song : the song of each [n].
    unit : float32 [n × d]; all zeros stay zeros.
    """

    song: Ints
    unit: NDArray[np.float32]

    def near(self, song: int, depth: int) -> Ints:
        """The songs with the highest cosine to a song, best first, without it; none where it has no vector."""
        own = np.flatnonzero(self.song == song)
        return self.best(self.unit[own[0]], depth, song) if len(own) else np.zeros(0, np.int64)

    def likeness(self, song: int, other: int) -> float:
        """The cosine of two songs, NaN where one has no vector."""
        rows = [np.flatnonzero(self.song == wanted) for wanted in (song, other)]
        if not all(len(row) for row in rows):
            return float("nan")
        first, second = (self.unit[row[0]].astype(np.float64) for row in rows)
        return float(first @ second)

    def best(self, vector: NDArray[np.float32], depth: int, without: int = -1) -> Ints:
        """The songs with the highest product, best first, of equals the lower row."""
        rough = self.unit @ vector.astype(np.float32)
        # A song's items are several rows, so more than `depth` of them are looked at; these exactly.
        wanted = min(len(rough), 4 * depth + 16)
        rows = np.argpartition(-rough, wanted - 1)[:wanted] if wanted else np.zeros(0, np.int64)
        scores = significant(self.unit[rows].astype(np.float64) @ vector.astype(np.float64))
        songs = self.song[rows[np.lexsort((self.song[rows], -scores))]]
        first = np.sort(np.unique(songs, return_index=True)[1])
        found = songs[first]
        return np.asarray(found[(found != without) & (found >= 0)][:depth], np.int64)


@dataclass(frozen=True)
class SongCatalogue:
    """All songs.

    Attributes
    ----------
    songs : what is compared.
    names : what they are called.
    track_id, recording_id : of each song, None without one.
    popularity : published, 0 to 100, NaN where not known [songs].
    content : the vectors of tracks.
    """

    root: str
    songs: Songs
    names: SongNames
    track_id: Sequence[str | None]
    recording_id: Sequence[str | None]
    popularity: NDArray[np.float64]
    content: Vectors

    def factors(self, model: str) -> tuple[Ints, NDArray[np.float32], NDArray[np.float32]]:
        """The items (their songs), vectors and biases of a model; nothing where it was never trained."""
        columns = ["item_idx", "vector", "bias"]
        rows = rows_or_none(self.root, "models.item_vectors", columns, [("model", "=", model)])
        if rows is None or not rows.num_rows:
            return np.zeros(0, np.int64), np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
        item_idx = rows["item_idx"].to_numpy()
        order = np.argsort(item_idx, kind="stable")
        vectors = read_vectors(rows["vector"].combine_chunks())[order]
        return self.songs.of_items(item_idx[order].astype(np.int64)), vectors, rows["bias"].to_numpy()[order]


def load_songs(root: str) -> SongCatalogue:
    """All songs of the tracks with features and of the recordings that were played.

    Raises
    ------
    TableMissingError : no listens were taken in yet.
    InputError : there is no song.
    """
    tracks = rows_or_none(root, "silver.track_features", _TRACK_COLUMNS)
    if tracks is None:
        tracks = pa.table({name: pa.array([], pa.null()) for name in _TRACK_COLUMNS})
    tracks = tracks.sort_by("track_id")
    facts = {name: tracks[name].to_pylist() for name in ("track_id", "name", "artists", "artist_key", "title_key")}
    recordings = _recordings(root)
    keys = _keys(facts["artist_key"], facts["title_key"], facts["track_id"])
    own = [[row[name] for row in recordings] for name in ("artist_key", "title_key", "recording_id")]
    own_keys = _keys(own[0], own[1], own[2])
    song, artist = _codes([*keys, *own_keys])
    track_rows = TrackRows.of_table(tracks, song[: len(keys)], artist[: len(keys)])
    item_rows = _item_rows(recordings, facts["track_id"], song[len(keys) :], artist[len(keys) :])
    songs = make_songs(track_rows, item_rows)
    if not len(songs):
        raise InputError(f"tables silver.track_features and silver.recordings at {root}", "a song", "none")
    item_songs = songs.of_items(item_rows.item_idx).tolist()
    by_key = dict(zip([*keys, *own_keys], [*songs.of_track.tolist(), *item_songs], strict=True))
    by_id = dict(zip([*facts["track_id"], *own[2]], [*songs.of_track.tolist(), *item_songs], strict=True))
    popularity = np.full(len(songs), np.nan)
    has_track = songs.track >= 0
    popularity[has_track] = track_rows.popularity[songs.track[has_track]]
    titles, artists, recording_id = _shown(songs, facts, recordings)
    return SongCatalogue(
        root=root,
        songs=songs,
        names=SongNames(titles, artists, by_key, by_id, np.nan_to_num(popularity, nan=-1.0).tolist()),
        track_id=[facts["track_id"][track] if track >= 0 else None for track in songs.track.tolist()],
        recording_id=recording_id,
        popularity=popularity,
        content=_content(tracks, songs),
    )


def _keys(artists: Sequence[str | None], titles: Sequence[str | None], ids: Sequence[str]) -> list[tuple[str, str]]:
    """What tells songs apart; what has no title is a song of its own."""
    return [(artist or "", title or own_id) for artist, title, own_id in zip(artists, titles, ids, strict=True)]


def _item_rows(recordings: list[dict[str, Any]], track_ids: Sequence[str], song: Ints, artist: Ints) -> ItemRows:
    row_of = {track_id: row for row, track_id in enumerate(track_ids)}
    return ItemRows(
        item_idx=np.array([row["item_idx"] for row in recordings], np.int64),
        song=song,
        artist=artist,
        track=np.array([row_of.get(row["track_id"], -1) for row in recordings], np.int64),
        plays=np.array([row["plays"] or 0 for row in recordings], np.int64),
    )


def _shown(
    songs: Songs, facts: Mapping[str, list[Any]], recordings: list[dict[str, Any]]
) -> tuple[list[str], list[str], list[str | None]]:
    """Title, artist and recording_id of each song: as its recording is called where it has one."""
    by_item = {row["item_idx"]: row for row in recordings}
    titles, artists, ids = [], [], []
    for item, track in zip(songs.item.tolist(), songs.track.tolist(), strict=True):
        row = by_item.get(item)
        titles.append((row["title"] if row else facts["name"][track]) or "")
        artists.append((row["artist_name"] if row else ", ".join(facts["artists"][track] or [])) or "")
        ids.append(row["recording_id"] if row else None)
    return titles, artists, ids


def _recordings(root: str) -> list[dict[str, Any]]:
    """Recordings that were played, with item_idx and, where surely linked, track_id."""
    columns = ["recording_id", "title", "artist_name", "title_key", "artist_key", "plays"]
    rows = read_rows(root, "silver.recordings", columns).to_pylist()
    index = read_rows(root, "silver.item_index", ["item_id", "item_idx"], [("item_kind", "=", "recording")])
    idx_of = dict(zip(index["item_id"].to_pylist(), index["item_idx"].to_pylist(), strict=True))
    links = rows_or_none(root, "silver.links", ["recording_id", "track_id"], [("confidence", ">=", SURE_LINK)])
    track_of = (
        {} if links is None else dict(zip(*(links[name].to_pylist() for name in links.schema.names), strict=True))
    )
    known = [row | {"item_idx": idx_of[row["recording_id"]]} for row in rows if row["recording_id"] in idx_of]
    return [row | {"track_id": track_of.get(row["recording_id"])} for row in sorted(known, key=lambda r: r["item_idx"])]


def _codes(keys: Sequence[tuple[str, str]]) -> tuple[Ints, Ints]:
    """A number for each song and for each artist."""
    if not keys:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    songs = numbered([_BETWEEN_KEYS.join(key) for key in keys])[1]
    # Songs without an artist have one each: nothing says that it is the same.
    return songs, numbered([artist or _BETWEEN_KEYS + title for artist, title in keys])[1]


def _content(tracks: pa.Table, songs: Songs) -> Vectors:
    if not tracks.num_rows:
        return Vectors(np.zeros(0, np.int64), np.zeros((0, 0), np.float32))
    vectors = read_vectors(tracks["vector"].combine_chunks())
    # One track stands for a song.
    standing = np.flatnonzero(songs.track[songs.of_track] == np.arange(len(vectors)))
    return Vectors(songs.of_track[standing], unit_rows(vectors[standing]))


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors with length 1; those of zeros stay."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), np.float32)
