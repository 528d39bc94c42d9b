"""Songs: what a playlist holds once, however many tracks and recordings of it there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.ranking.smooth_order import Sound

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NONE = -1


def ints(column: pa.ChunkedArray, missing: int) -> Ints:
    """An Arrow column as numpy, `missing` where it is null."""
    return np.asarray(column.cast(pa.int64()).fill_null(missing).to_numpy(), np.int64)


def floats(column: pa.ChunkedArray) -> Floats:
    """An Arrow column as numpy, NaN where it is null."""
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


@dataclass(frozen=True)
class TrackRows:
    """The catalogue's tracks, in any fixed order; a track is named by its row.

    Attributes
    ----------
    song, artist : a number for each song (artist key and title key) and artist key [tracks].
    popularity : NaN where not known [tracks].
    year, duration_ms : 0 where not known [tracks].
    tempo, key, mode, energy : NaN where not known [tracks].
    """

    song: Ints
    artist: Ints
    popularity: Floats
    year: Ints
    duration_ms: Ints
    tempo: Floats
    key: Floats
    mode: Floats
    energy: Floats

    @classmethod
    def of_table(cls, tracks: pa.Table, song: Ints, artist: Ints) -> TrackRows:
        """The other columns of an Arrow table, by their names."""
        return cls(
            song=song,
            artist=artist,
            popularity=floats(tracks["popularity"]),
            year=ints(tracks["year"], 0),
            duration_ms=ints(tracks["duration_ms"], 0),
            tempo=floats(tracks["tempo"]),
            key=floats(tracks["key"]),
            mode=floats(tracks["mode"]),
            energy=floats(tracks["energy"]),
        )


@dataclass(frozen=True)
class ItemRows:
    """Recordings that were played.

    Attributes
    ----------
    item_idx : [items].
    song, artist : numbers as those of the tracks [items].
    track : the row of the track that it is, −1 where it is linked to none [items].
    plays : [items].
    """

    item_idx: Ints
    song: Ints
    artist: Ints
    track: Ints
    plays: Ints


@dataclass(frozen=True)
class Songs:
    """Songs by row, each with the one track and the one recording that stand for it.

    Attributes
    ----------
    track : row of its most popular track, −1 without one [songs].
    item : item_idx of its most played recording, −1 without one [songs].
    artist : a number for each artist [songs].
    year, duration_ms : of its track, 0 where not known [songs].
    tempo, key, mode, energy : of its track, NaN where not known [songs].
    of_track : the song of each track [tracks].
    of_item : the song of each item_idx, −1 where there is none [highest item_idx + 1].
    """

    track: Ints
    item: Ints
    artist: Ints
    year: Ints
    duration_ms: Ints
    tempo: Floats
    key: Floats
    mode: Floats
    energy: Floats
    of_track: Ints
    of_item: Ints

    def __len__(self) -> int:
        return len(self.track)

    def sound(self, rows: Ints) -> Sound:
        """What transitions between some of the songs hear."""
        return Sound(self.tempo[rows], self.key[rows], self.mode[rows], self.energy[rows], self.artist[rows])

    def of_items(self, item_idx: Ints) -> Ints:
        """The song of each item, −1 where there is none."""
        known = (item_idx >= 0) & (item_idx < len(self.of_item))
        return np.where(known, self.of_item[np.where(known, item_idx, 0)] if len(self.of_item) else NONE, NONE)


def make_songs(tracks: TrackRows, items: ItemRows) -> Songs:
    """Tracks and recordings of one song become one row.

    Two tracks are one song where their artist key and title key are equal; a recording is the song of its track, or
    that of its own keys. The most popular track stands for it (of equals the first row) and the most played
    recording (of equals the lowest item_idx). Songs are in the order of their numbers.
    """
    linked = items.track >= 0
    if len(tracks.song):
        at = np.where(linked, items.track, 0)
        item_song = np.where(linked, tracks.song[at], items.song)
    else:
        item_song = items.song
    numbers, of = np.unique(np.concatenate([tracks.song, item_song]), return_inverse=True)
    of_track, of_row = of[: len(tracks.song)], of[len(tracks.song) :]
    track = _first_of_each(of_track, -np.nan_to_num(tracks.popularity, nan=-1.0), len(numbers))
    row = _first_of_each(of_row, np.lexsort((items.item_idx, -items.plays)).argsort().astype(np.float64), len(numbers))
    of_item = np.full(int(items.item_idx.max(initial=NONE)) + 1, NONE, np.int64)
    of_item[items.item_idx] = of_row
    return Songs(
        track=track,
        item=_at(items.item_idx, row, NONE),
        artist=np.where(track >= 0, _at(tracks.artist, track, NONE), _at(items.artist, row, NONE)),
        year=_at(tracks.year, track, 0),
        duration_ms=_at(tracks.duration_ms, track, 0),
        tempo=_at(tracks.tempo, track, np.nan),
        key=_at(tracks.key, track, np.nan),
        mode=_at(tracks.mode, track, np.nan),
        energy=_at(tracks.energy, track, np.nan),
        of_track=of_track,
        of_item=of_item,
    )


def _first_of_each(song: Ints, rank: Floats, n: int) -> Ints:
    """The row with the lowest rank of each song, of equals the first; −1 without a row."""
    order = np.lexsort((np.arange(len(song)), rank, song))
    first = order[np.flatnonzero(np.diff(song[order], prepend=-1))] if len(song) else order
    found = np.full(n, NONE, np.int64)
    found[song[first]] = first
    return found


def _at(values: NDArray[Any], rows: Ints, missing: float) -> NDArray[Any]:
    if not len(values):
        return np.full(len(rows), missing, values.dtype)
    return np.where(rows >= 0, values[np.where(rows >= 0, rows, 0)], np.array(missing, values.dtype))
