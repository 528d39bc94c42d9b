"""Every listener's playlists, made where the listeners are: the songs go to each executor once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec.models.blocks import Ragged, read_lists
from musicrec.models.shared_arrays import SharedArrays
from musicrec.ranking.listener_playlists import ListenerPlaylistParams, Playlist, Taste, listener_playlists
from musicrec.ranking.songs import Songs

Ints = NDArray[np.int64]
Unsigned = NDArray[np.uint64]

PLAYLIST_ROWS = "user_idx int, playlist string, position int, song int, kind string, because int, plays long"
_LISTS = ("heard", "plays", "offered", "hidden", "hidden_artists")


def batch_playlists(
    listeners: DataFrame, songs: Songs, near: Ragged, params: ListenerPlaylistParams, salt: int
) -> DataFrame:
    """The playlists of each listener; the same for the same listener, whatever the partitions.

    Parameters
    ----------
    listeners : DataFrame (user_idx int, heard array<int>, plays array<long>, offered array<int>, hidden array<int>,
        hidden_artists array<long>), one row per listener: items and how often they were played, side by side; items
        that a model offers, best first; items and artists that they may not be offered. Null is none.
    songs : all songs.
    near : the songs that sound most like each song, nearest first; none for a song that nobody played.
    params : settings.
    salt : varies what is drawn of the songs that a listener loves: the week, the seed.

    Returns
    -------
    DataFrame (user_idx int, playlist string, position int from 1, song int, kind string, because int or null, plays
    long): rows of songs, why each is there, by which song it was found, and how often the listener played it.
    """
    arrays = {field.name: getattr(songs, field.name) for field in fields(Songs)}
    shared = SharedArrays(listeners.sparkSession, {**arrays, "near": near.values, "near_starts": near.starts})

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        flat = shared.read()
        all_songs = Songs(**{name: flat[name] for name in arrays})
        near_songs = Ragged(flat["near"], flat["near_starts"])
        for batch in batches:
            lists = {name: read_lists(batch[name]) for name in _LISTS}
            rows = []
            for place, user_idx in enumerate(batch["user_idx"].to_pylist()):
                own = {name: values[place] for name, values in lists.items()}
                taste = taste_of(user_idx, own, all_songs, salt)
                made = list(listener_playlists(taste, all_songs, near_songs.__getitem__, params))
                if made:
                    rows.append(_rows(user_idx, taste, made))
            if rows:
                yield from pa.Table.from_batches(rows).combine_chunks().to_batches()

    return listeners.select("user_idx", *_LISTS).mapInArrow(make, PLAYLIST_ROWS)


def taste_of(user_idx: int, own: Mapping[str, NDArray[Any]], songs: Songs, salt: int) -> Taste:
    """A listener's row as songs; several recordings of one song count together."""
    song = songs.of_items(own["heard"].astype(np.int64))
    played, of = np.unique(song[song >= 0], return_inverse=True)
    plays = np.bincount(of, weights=own["plays"][song >= 0], minlength=len(played)).astype(np.int64)
    hidden = songs.of_items(own["hidden"].astype(np.int64))
    if len(own["hidden_artists"]):
        hidden = np.concatenate([hidden, np.flatnonzero(np.isin(songs.artist, own["hidden_artists"]))])
    return Taste(
        played=played,
        plays=plays,
        draw=hashed_draw(user_idx, songs.item[played], salt),
        offered=_once(songs.of_items(own["offered"].astype(np.int64))),
        hidden=hidden,
    )


def hashed_draw(user_idx: int, items: Ints, salt: int) -> NDArray[np.float64]:
    """A number from 0 to 1 for each item of a listener, by hash: the same whatever else they played."""
    mixed = _mix(np.uint64(salt & (2**64 - 1)) + _mix(np.full(len(items), user_idx, np.uint64)))
    return (_mix(mixed + items.astype(np.uint64)) >> np.uint64(11)).astype(np.float64) / 2.0**53 + 2.0**-54


def _mix(x: Unsigned) -> Unsigned:
    """SplitMix64's output function (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014)."""
    with np.errstate(over="ignore"):
        z = x + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)), np.uint64)


def _once(songs: Ints) -> Ints:
    """The songs in order without those that are not known or came before."""
    known = songs[songs >= 0]
    return np.asarray(known[np.sort(np.unique(known, return_index=True)[1])], np.int64)


def _rows(user_idx: int, taste: Taste, made: list[Playlist]) -> pa.RecordBatch:
    sizes = [len(one.songs) for one in made]
    songs = np.concatenate([one.songs for one in made])
    because = np.concatenate([one.because for one in made])
    at = np.minimum(np.searchsorted(taste.played, songs), max(len(taste.played) - 1, 0))
    plays = np.where(taste.played[at] == songs, taste.plays[at], 0) if len(taste.played) else np.zeros_like(songs)
    columns = [
        pa.array(np.full(len(songs), user_idx, np.int32)),
        pa.array([one.name for one in made for _ in one.songs]),
        pa.array(np.concatenate([np.arange(1, size + 1) for size in sizes]).astype(np.int32)),
        pa.array(songs.astype(np.int32)),
        pa.array([kind for one in made for kind in one.kinds]),
        pa.array(because.astype(np.int32), mask=because < 0),
        pa.array(plays.astype(np.int64)),
    ]
    return pa.RecordBatch.from_arrays(columns, [part.split()[0] for part in PLAYLIST_ROWS.split(", ")])


def near_lists(asking: Ints, ranks: Ints, found: Ints, n: int) -> Ragged:
    """Neighbours by song from rows (asking song, rank, found song), −1 for a song that is not known.

    Several recordings of one song may ask: their lists are joined by rank, a song stands once, and never in its own.
    """
    kept = (asking >= 0) & (found >= 0) & (asking != found)
    asking, ranks, found = asking[kept], ranks[kept], found[kept]
    order = np.lexsort((ranks, found, asking))
    asking, ranks, found = asking[order], ranks[order], found[order]
    first = np.ones(len(asking), np.bool_)
    first[1:] = (asking[1:] != asking[:-1]) | (found[1:] != found[:-1])
    asking, ranks, found = asking[first], ranks[first], found[first]
    order = np.lexsort((found, ranks, asking))
    starts = np.searchsorted(asking[order], np.arange(n + 1)).astype(np.int64)
    return Ragged(found[order].astype(np.int64), starts)
