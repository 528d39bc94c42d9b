"""One playlist for one request, answered from a lakehouse's tables without Spark."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.errors import InputError
from musicrec.io.delta_rows import read_rows, rows_or_none
from musicrec.models.blocks import read_vectors
from musicrec.pipelines.song_catalogue import SongCatalogue, Vectors, unit_rows
from musicrec.ranking.listener_playlists import (
    LOVED,
    SOUND,
    TASTE,
    ListenerPlaylistParams,
    Taste,
    loved_and_new,
)
from musicrec.ranking.playlist import Source, in_smooth_order, interleave, join_sources, pick_minutes, pick_songs
from musicrec.ranking.smooth_order import roughness, transitions

Ints = NDArray[np.int64]
# A kind of reason, and the song that it names or −1.
Why = tuple[str, int]

SEED, PLAYED_WITH = "seed", "played_with"
# The model whose factors say what is played together, and what a listener may like.
_MODEL = "als"
# Candidates from each list: enough for hours under a cap by artist.
_DEPTH = 500


@dataclass(frozen=True)
class Request:
    """What a playlist is to be.

    Attributes
    ----------
    seeds : rows of songs; the playlist begins with the first and holds them all.
    user_id : a listener, for whom it is.
    minutes : how long, in place of `songs`.
    songs : how many.
    unheard : of the songs that are added, only those that the listener has not played.
    seconds : no search for a better order begins after so long.
    tolerance_seconds : how near `minutes` has to be reached.
    """

    seeds: tuple[int, ...]
    user_id: str | None
    songs: int
    minutes: float | None = None
    unheard: bool = False
    seconds: float = 2.0
    tolerance_seconds: float = 20.0


@dataclass(frozen=True)
class Made:
    """A playlist: rows of songs in order, a reason for each, and how smooth it is beside the order of the ranks."""

    songs: Ints
    reasons: list[str]
    roughness: float
    roughness_by_rank: float


def make_playlist(
    catalogue: SongCatalogue,
    request: Request,
    params: ListenerPlaylistParams,
    clock: Callable[[], float] = time.monotonic,
) -> Made:
    """The playlist that a request asks for; shorter only where the candidates under the cap are fewer.

    From seeds: what sounds like each (the cosine of the content), and what is played with it (the cosine of the
    factors), joined by ranks. From a listener: what they played most, what sounds like it, and what the factors offer
    them. From both: what is near the seeds, in an order in which the listener's factors have a say too.

    Raises
    ------
    InputError : neither seeds nor a listener; more seeds of one artist than the cap; a listener who is not known;
        nothing is found.
    """
    began = clock()
    songs = catalogue.songs
    seeds = np.array(request.seeds, np.int64)
    _check(catalogue, request, params)
    item_songs, vectors, bias = catalogue.factors(_MODEL)
    factors = Vectors(item_songs, unit_rows(vectors))
    taste = read_taste(catalogue, request.user_id, item_songs, vectors, bias) if request.user_id else None
    ranked, whys = _candidates(catalogue, factors, taste, request, params)
    cap = params.artist_cap
    if request.minutes is None:
        places = pick_songs(ranked, songs.artist, request.songs - len(seeds), cap, seeds)
    else:
        target, tolerance = round(request.minutes * 60_000), round(request.tolerance_seconds * 1000)
        places = pick_minutes(ranked, songs, target, tolerance, cap, seeds)
    picked = np.concatenate([seeds, ranked[places]])
    if not len(picked):
        raise InputError("musicrec playlist", "songs to choose from", "none")
    because = [(SEED, -1)] * len(seeds) + [whys[place] for place in places.tolist()]
    left = max(0.0, request.seconds - (clock() - began))
    order = in_smooth_order(picked, songs, params.order, first=0 if len(seeds) else None, seconds=left, clock=clock)
    costs = transitions(songs.sound(picked), params.order)
    return Made(
        picked[order],
        [_reason(catalogue, taste, int(picked[place]), *because[place]) for place in order.tolist()],
        roughness(costs, order),
        roughness(costs, np.arange(len(picked))),
    )


def read_taste(
    catalogue: SongCatalogue,
    user_id: str,
    item_songs: Ints,
    vectors: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> Taste:
    """What a listener played, what the factors offer them, and what they hate.

    Raises
    ------
    InputError : the listener has played nothing.
    """
    root, songs = catalogue.root, catalogue.songs
    wanted = [("item_kind", "=", "recording"), ("user_id", "=", user_id)]
    rows = read_rows(root, "silver.interactions", ["user_idx", "item_idx", "plays"], wanted)
    if not rows.num_rows:
        raise InputError(f"table silver.interactions at {root}", f"plays of the listener {user_id}", "none")
    song = songs.of_items(rows["item_idx"].to_numpy().astype(np.int64))
    played, of = np.unique(song[song >= 0], return_inverse=True)
    plays = np.bincount(of, weights=rows["plays"].to_numpy()[song >= 0], minlength=len(played)).astype(np.int64)
    user_idx = int(rows["user_idx"][0].as_py())
    filters = [("model", "=", _MODEL), ("user_idx", "=", user_idx)]
    own = rows_or_none(root, "models.user_vectors", ["vector"], filters)
    offered = np.zeros(0, np.int64)
    if own is not None and own.num_rows and len(vectors):
        vector = read_vectors(own["vector"].combine_chunks())[0]
        # The bias is one more number of an item, which every listener weighs by 1.
        offered = Vectors(item_songs, np.column_stack([vectors, bias])).best(np.append(vector, 1.0), len(songs))
    return Taste(played, plays, np.full(len(played), 0.5), offered, hated_songs(catalogue, user_id))


def hated_songs(catalogue: SongCatalogue, user_id: str) -> Ints:
    """The songs that a listener hates, and those of the artists whom they blocked."""
    root, songs = catalogue.root, catalogue.songs
    filters = [("user_id", "=", user_id), ("score", "=", -1)]
    rows = rows_or_none(root, "silver.feedback", ["item_kind", "item_id"], filters)
    if rows is None or not rows.num_rows:
        return np.zeros(0, np.int64)
    hated = [row["item_id"] for row in rows.to_pylist() if row["item_kind"] == "recording"]
    found = [catalogue.names.by_id[item] for item in hated if item in catalogue.names.by_id]
    blocked = [row["item_id"] for row in rows.to_pylist() if row["item_kind"] == "artist"]
    if blocked:
        theirs = read_rows(root, "silver.recordings", ["recording_id"], [("artist_id", "in", blocked)])
        own = [
            catalogue.names.by_id[item] for item in theirs["recording_id"].to_pylist() if item in catalogue.names.by_id
        ]
        found += np.flatnonzero(np.isin(songs.artist, songs.artist[own])).tolist()
    return np.array(sorted(set(found)), np.int64)


def _check(catalogue: SongCatalogue, request: Request, params: ListenerPlaylistParams) -> None:
    if not request.seeds and request.user_id is None:
        raise InputError("musicrec playlist", "--seed, --user or both", "neither")
    artists = catalogue.songs.artist[list(request.seeds)]
    crowd = np.bincount(artists).max() if len(artists) else 0
    if crowd > params.artist_cap:
        raise InputError("--seed", f"at most {params.artist_cap} songs of one artist (--artist-cap)", str(crowd))
    if request.minutes is None and len(request.seeds) > request.songs:
        raise InputError("-n", f"as many songs as seeds ({len(request.seeds)}) or more", str(request.songs))


def _candidates(
    catalogue: SongCatalogue,
    factors: Vectors,
    taste: Taste | None,
    request: Request,
    params: ListenerPlaylistParams,
) -> tuple[Ints, list[Why]]:
    """Songs that may be added, best first, and why each."""
    if taste is not None and not request.seeds:
        return _of_listener(catalogue, taste, request, params)
    sources = _near_seeds(catalogue, factors, request.seeds)
    hidden = np.array(request.seeds, np.int64)
    if taste is not None:
        hidden = np.concatenate([hidden, taste.hidden, taste.played if request.unheard else taste.played[:0]])
        near = np.unique(np.concatenate([source.songs for source in sources]))
        known = taste.offered[np.isin(taste.offered, near)]
        sources.append(Source(known, len(request.seeds), TASTE))
    found = join_sources(sources, hidden)
    return found.songs, [(sources[at].kind, sources[at].because) for at in found.source.tolist()]


def _near_seeds(catalogue: SongCatalogue, factors: Vectors, seeds: tuple[int, ...]) -> list[Source]:
    found = []
    for seed in seeds:
        found.append(Source(catalogue.content.near(seed, _DEPTH), 1.0, SOUND, seed))
        found.append(Source(factors.near(seed, _DEPTH), 1.0, PLAYED_WITH, seed))
    return found


def _of_listener(
    catalogue: SongCatalogue, taste: Taste, request: Request, params: ListenerPlaylistParams
) -> tuple[Ints, list[Why]]:
    """What they love and what is new to them, mixed as in their daily jams."""
    loved, new, because = loved_and_new(taste, lambda song: catalogue.content.near(song, _DEPTH), params)
    own = loved.songs[:0] if request.unheard else loved.songs
    ranked, is_own = interleave(own, new.songs, params.familiar_share)
    of_new = [(SOUND if at == 0 else TASTE, int(by)) for at, by in zip(new.source, because, strict=True)]
    rest = iter(of_new)
    return ranked, [(LOVED, -1) if own_song else next(rest) for own_song in is_own.tolist()]


def _reason(catalogue: SongCatalogue, taste: Taste | None, song: int, kind: str, because: int) -> str:
    if kind == SEED:
        return "you asked for it"
    if taste is not None and song in taste.played:
        plays = int(taste.plays[np.searchsorted(taste.played, song)])
        if kind in (LOVED, TASTE):
            return "you played it once" if plays == 1 else f"you played it {plays} times"
    if kind == SOUND:
        return f"sounds like {catalogue.names.shown(because)}"
    if kind == PLAYED_WITH:
        return f"played by those who play {catalogue.names.shown(because)}"
    return "played by listeners of your taste"
