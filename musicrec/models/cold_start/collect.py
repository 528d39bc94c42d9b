"""From tables to the arrays that the map is learned from."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.models.blocks import Ragged, read_lists, read_vectors
from musicrec.models.cold_start.inputs import Ints, Matrix, Played, Tracks
from musicrec.models.numbered import numbered


@dataclass(frozen=True)
class World:
    """A catalogue and the items of a model, on the driver: 4 (p + 2) bytes a track and 8 (d + 6) an item.

    Attributes
    ----------
    track_idx, ids : of the catalogue's tracks, by track_idx [n].
    tracks : what is known of them; `song` is their place.
    played : the model's items, in the order of item_idx; one that is no track of the catalogue is a song of its own.
    known : places of the tracks that were played at least `min_plays` times, in the order of a hash of track_id [k].
    factors : theirs, the mean over the items that are this track, weighted by plays [k × (d + 1)].
    plays : theirs [k].
    """

    track_idx: Ints
    ids: list[str]
    tracks: Tracks
    played: Played
    known: Ints
    factors: Matrix
    plays: Matrix

    @property
    def training(self) -> Tracks:
        """The tracks that were played."""
        return self.tracks.take(self.known)


def collect_world(features: DataFrame, items: DataFrame, min_plays: int) -> World:
    """Read the catalogue and the items.

    Parameters
    ----------
    features : silver.track_features (track_id, track_idx, artist_key, genres, popularity, vector), one row a track.
    items : DataFrame (item_idx int, vector array<float>, bias float, plays, artist_key, track_id string or null), one
        row an item of the model.
    min_plays : tracks with fewer are not `known`.
    """
    names = ("track_id", "track_idx", "artist_key", "genres", "popularity", "vector")
    found = features.select(*names).toArrow().sort_by("track_idx").combine_chunks()
    made = items.select("item_idx", "vector", "bias", F.col("plays").cast("double"), "artist_key", "track_id")
    table = made.toArrow().sort_by("item_idx").combine_chunks()
    artists = _numbers(found["artist_key"], table["artist_key"])
    genres = _genres(found["genres"])
    tracks = Tracks(
        read_vectors(found["vector"].combine_chunks()).astype(np.float64),
        pc.cast(found["popularity"], pa.float64()).to_numpy(),
        artists[: len(found)],
        genres,
        np.arange(len(found), dtype=np.int64),
    )
    ids = found["track_id"].to_pylist()
    place = dict(zip(ids, range(len(ids)), strict=True))
    own = np.array([place.get(track, -1) for track in table["track_id"].to_pylist()], np.int64)
    played = _played(table, own, artists[len(found) :], tracks)
    known, factors, plays = known_tracks(played, ids, min_plays)
    return World(found["track_idx"].to_numpy(), ids, tracks, played, known, factors, plays)


def _played(table: pa.Table, own: Ints, artists: Ints, tracks: Tracks) -> Played:
    vectors = read_vectors(table["vector"].combine_chunks()).astype(np.float64)
    factors = np.hstack([vectors.reshape(len(own), -1), table["bias"].to_numpy()[:, None]])
    plays = pc.fill_null(table["plays"], 0.0).to_numpy()
    is_track = own >= 0
    rows = tracks.take(np.where(is_track, own, 0)) if len(tracks) else None
    lengths = np.diff(rows.genres.starts) * is_track if rows else np.zeros(len(own), np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = rows.genres.values[np.repeat(is_track, np.diff(rows.genres.starts))] if rows else np.zeros(0, np.int64)
    song = np.where(is_track, own, len(tracks) + np.arange(len(own)))
    return Played(factors, plays, artists, Ragged(values, starts), song)


def known_tracks(played: Played, ids: list[str], min_plays: int) -> tuple[Ints, Matrix, Matrix]:
    """`World.known`, `factors` and `plays` of tracks with these ids, which are the songs 0 .. n − 1 of `played`."""
    size = len(ids)
    own, is_track = played.song, played.song < size
    plays = np.bincount(own[is_track], played.plays[is_track], minlength=size)
    total = np.zeros((size, played.factors.shape[1]))
    np.add.at(total, own[is_track], played.plays[is_track, None] * played.factors[is_track])
    places = np.flatnonzero(plays >= min_plays)
    known = by_hash(places, ids)
    return known, np.asarray(total[known] / plays[known, None]), np.asarray(plays[known], np.float64)


def by_hash(places: NDArray[np.int64], ids: list[str]) -> Ints:
    """The places in the order of a hash of their ids."""
    order = sorted(places.tolist(), key=lambda at: (blake2b(ids[at].encode(), digest_size=8).digest(), ids[at]))
    return np.array(order, np.int64)


def _numbers(*columns: pa.ChunkedArray) -> Ints:
    """A number for each different text, −1 for none, over all columns one after the other."""
    chunks = [chunk.cast(pa.large_string()) for column in columns for chunk in column.chunks]
    different, numbers = numbered(pa.chunked_array(chunks, pa.large_string()))
    # The empty text, where it is there, is the first.
    return np.where(numbers == 0, -1, numbers) if different[:1] == [""] else numbers


def _genres(column: pa.ChunkedArray) -> Ragged:
    lists = column.combine_chunks()
    return Ragged(numbered(lists.flatten())[1], read_lists(lists).starts)
