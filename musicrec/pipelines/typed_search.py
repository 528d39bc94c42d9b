"""Tracks that match what somebody typed, the ones that will be popular first. No Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.errors import InputError
from musicrec.io.delta_rows import read_rows, rows_or_none
from musicrec.pipelines.song_catalogue import SongCatalogue
from musicrec.ranking.song_names import near_words
from musicrec.ranking.typed_match import Wish, match

FEATURES = ("energy", "tempo", "danceability", "valence", "acousticness", "instrumentalness", "loudness")


@dataclass(frozen=True)
class Query:
    """What is looked for.

    Attributes
    ----------
    genres : one of these, as a genre or tag or a word of one; none for all.
    years : first and last; None for all.
    wishes : by feature.
    """

    genres: Sequence[str]
    years: tuple[int, int] | None
    wishes: Mapping[str, Wish]


@dataclass(frozen=True)
class Found:
    """Songs, best first: how well each matches (0 to 1), its popularity (NaN unknown) and whether it is predicted."""

    songs: NDArray[np.int64]
    match: NDArray[np.float64]
    popularity: NDArray[np.float64]
    is_predicted: bool
    facts: list[dict[str, Any]]


def search_typed(catalogue: SongCatalogue, query: Query, n: int) -> Found:
    """The n songs that match best, of equally good ones the most popular by what is predicted, then the first row.

    Popularity is gold.popularity's where there is that table, else the published one. A match is the mean of those of
    the wishes, to two decimals, so that popularity has its say.

    Raises
    ------
    TableMissingError : silver.track_features was not built.
    InputError : a genre that no track has, with the nearest; or nothing is left.
    """
    columns = ["track_id", "genres", "tags", *FEATURES]
    tracks = read_rows(catalogue.root, "silver.track_features", columns).sort_by("track_id")
    songs = np.flatnonzero(catalogue.songs.track >= 0)
    rows = catalogue.songs.track[songs]
    wanted = np.ones(len(songs), np.bool_)
    if query.years:
        years = catalogue.songs.year[songs]
        wanted &= (years >= query.years[0]) & (years <= query.years[1])
    if query.genres:
        wanted &= _of_genres(tracks, query.genres)[rows]
    if not wanted.any():
        raise InputError("musicrec similar", "a track of this genre and these years", "none")
    fits = [match(_column(tracks, name)[rows], wish) for name, wish in sorted(query.wishes.items())]
    fit = np.round(np.mean(fits, axis=0), 2) if fits else np.ones(len(songs))
    popularity, is_predicted = _popularity(catalogue)
    of_songs = popularity[songs]
    order = np.lexsort((songs, -np.nan_to_num(of_songs, nan=-1.0), -fit))
    best = order[wanted[order]][:n]
    facts = tracks.take(pa.array(rows[best])).to_pylist()
    return Found(songs[best], fit[best], of_songs[best], is_predicted, facts)


def _of_genres(tracks: pa.Table, genres: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each track has one of the genres.

    Raises
    ------
    InputError : a genre that no track has.
    """
    labels = [
        {*(own or ()), *(tags or ())}
        for own, tags in zip(tracks["genres"].to_pylist(), tracks["tags"].to_pylist(), strict=True)
    ]
    known = sorted(set().union(*labels)) if labels else []
    found = np.zeros(len(labels), np.bool_)
    for genre in genres:
        words = _words(genre)
        meant = {label for label in known if words <= _words(label)}
        if not words or not meant:
            near = ", ".join(near_words(genre, known)) or "none"
            raise InputError("--genre", f"a genre or tag that a track has (nearest: {near})", genre)
        found |= np.array([not own.isdisjoint(meant) for own in labels], np.bool_)
    return found


def _words(label: str) -> frozenset[str]:
    return frozenset(label.casefold().replace("-", " ").replace("_", " ").split())


def _popularity(catalogue: SongCatalogue) -> tuple[NDArray[np.float64], bool]:
    """Of each song, and whether it is predicted."""
    rows = rows_or_none(catalogue.root, "gold.popularity", ["track_id", "predicted_popularity"])
    if rows is None or not rows.num_rows:
        return catalogue.popularity, False
    of_track = dict(zip(rows["track_id"].to_pylist(), rows["predicted_popularity"].to_pylist(), strict=True))
    return np.array([of_track.get(track, np.nan) for track in catalogue.track_id], np.float64), True


def _column(tracks: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(tracks[name].cast(pa.float64()).to_numpy(), np.float64)
