"""An invented world of listeners and tracks, and what is played in it on a day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DAY_SECONDS = 86_400

_GENRES = 40
_OWN_GENRE = 0.85  # share of a listener's library that is of the genres they love
_LONGEST_SESSION = 40
_MEAN_SESSION = 9.0
_RUN_GOES_ON = 0.35  # the next play is the artist's next track
# How much is played in each hour of the listener's day.
_HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 8, 8, 8, 8, 8, 9, 10, 11, 12, 12, 11, 10, 8, 5], dtype=float)


@dataclass(frozen=True)
class World:
    """Who listens and what there is.

    Tracks stand by genre, then by artist, so an artist is a range of tracks and a genre a range of artists.

    Attributes
    ----------
    weight_until : how much is played of the tracks up to and with each [tracks].
    artist_of : [tracks]. first_track : of each artist, and the number of tracks [artists + 1].
    genre_start : first track of each genre, and the number of tracks [genres + 1].
    activity : how much each listener plays [listeners]. joined : the day that they first do.
    genres : the two that they love [listeners × 2]. hours_ahead : of UTC [listeners].
    library : how many different tracks they play sooner or later [listeners].
    """

    seed: int
    weight_until: Floats
    artist_of: Ints
    first_track: Ints
    genre_start: Ints
    activity: Floats
    joined: Ints
    genres: Ints
    hours_ahead: Ints
    library: Ints


@dataclass(frozen=True)
class Day:
    """A day's plays, each listener and second once: `second` counts from the first day's midnight (UTC)."""

    day: int
    user: Ints
    track: Ints
    second: Ints


def make_world(listeners: int, tracks: int, days: int, seed: int) -> World:
    """Draw the listeners and tracks; popularity follows Zipf's law over artists and over each artist's tracks."""
    rng = np.random.default_rng([seed, 0])
    sizes = np.minimum(rng.zipf(1.6, int(tracks)), 300)
    first = np.concatenate([[0], np.cumsum(sizes)])
    artists = int(np.searchsorted(first, tracks))
    first = np.append(first[:artists], tracks)
    artist_of = np.repeat(np.arange(artists), np.diff(first))
    # Artists of rank r are played in proportion to 1 / (r + 8)^.9, their k-th track to 1 / k^.8.
    artist_weight = (rng.permutation(artists) + 8.0) ** -0.9
    weight = artist_weight[artist_of] * (np.arange(tracks) - first[artist_of] + 1.0) ** -0.8
    cuts = np.unique(np.linspace(0, artists, min(_GENRES, artists) + 1).astype(np.int64))
    is_late = rng.random(listeners) < 0.3
    # So many different tracks that about half of all plays are repeats.
    activity = rng.lognormal(0.0, 1.1, listeners)
    return World(
        seed=seed,
        weight_until=np.cumsum(weight),
        artist_of=artist_of,
        first_track=first,
        genre_start=first[cuts],
        activity=activity,
        joined=np.where(is_late, rng.integers(0, days, listeners), 0),
        genres=rng.integers(0, len(cuts) - 1, (listeners, 2)),
        hours_ahead=rng.integers(-8, 10, listeners),
        library=np.maximum(60 * activity**0.8, 12).astype(np.int64),
    )


def make_day(world: World, day: int, size: int) -> Day:
    """`size` plays of one day: sessions that keep to an hour of the listener's day, with runs of one artist."""
    rng = np.random.default_rng([world.seed, day, 0])
    here = np.flatnonzero(world.joined <= day)
    share = np.cumsum(world.activity[here])
    parts: list[tuple[Ints, Ints, Ints]] = []
    keys: Ints = np.zeros(0, np.int64)
    while len(keys) < size:
        sessions = max(int((size - len(keys)) / _MEAN_SESSION * 1.15), 64)
        user = here[np.searchsorted(share, rng.random(sessions) * share[-1])]
        rows = _sessions(world, rng, user, day)
        parts.append(rows)
        users, _, seconds = (np.concatenate(column) for column in zip(*parts, strict=True))
        keys = np.unique(users * DAY_SECONDS + seconds % DAY_SECONDS, return_index=True)[1]
    users, tracks, seconds = (np.concatenate(column) for column in zip(*parts, strict=True))
    kept = np.sort(keys)[:size]
    return Day(day, users[kept], tracks[kept], seconds[kept])


def _sessions(world: World, rng: np.random.Generator, user: Ints, day: int) -> tuple[Ints, Ints, Ints]:
    """The listener, track and second of each play of these sessions."""
    length = np.minimum(rng.geometric(1 / _MEAN_SESSION, len(user)), _LONGEST_SESSION)
    owner = np.repeat(np.arange(len(user)), length)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(length) - length, length)
    gap = rng.integers(120, 330, len(owner))
    gap[place == 0] = 0
    offset = np.cumsum(gap)
    offset -= np.repeat(offset[np.cumsum(length) - length], length)
    span = offset[np.cumsum(length) - 1]
    hour = rng.choice(24, len(user), p=_HOURS / _HOURS.sum()) - world.hours_ahead[user]
    start = hour % 24 * 3600 + rng.integers(0, 3600, len(user))
    start = np.clip(start, 0, DAY_SECONDS - 1 - span)  # a session ends with its day
    # The slot of the library: low ones are played again and again; the artist's run goes on from the last slot played.
    slot = (world.library[user][owner] * rng.random(len(owner)) ** 2.2).astype(np.int64)
    runs = (place > 0) & (rng.random(len(owner)) < _RUN_GOES_ON)
    head = np.maximum.accumulate(np.where(runs, 0, np.arange(len(owner))))
    base = _library_track(world, user[owner], slot)[head]
    artist = world.artist_of[base]
    first = world.first_track[artist]
    step = np.arange(len(owner)) - head
    track = first + (base - first + step) % (world.first_track[artist + 1] - first)
    return user[owner], track, day * DAY_SECONDS + start[owner] + offset


def _library_track(world: World, user: Ints, slot: Ints) -> Ints:
    """What stands in a slot of a listener's library: a function of listener and slot, so it is the same each day."""
    genre = world.genres[user, (_uniform(world.seed, user, slot, 1) < 0.35).astype(np.int64)]
    is_own = _uniform(world.seed, user, slot, 2) < _OWN_GENRE
    start = np.where(is_own, world.genre_start[genre], 0)
    stop = np.where(is_own, world.genre_start[genre + 1], len(world.artist_of))
    low = np.where(start > 0, world.weight_until[start - 1], 0.0)
    high = world.weight_until[stop - 1]
    wanted = low + _uniform(world.seed, user, slot, 3) * (high - low)
    return np.clip(np.searchsorted(world.weight_until, wanted, side="right"), start, stop - 1)


def _uniform(seed: int, user: Ints, slot: Ints, purpose: int) -> Floats:
    """Numbers in [0, 1) that follow from the arguments alone (splitmix64's finaliser)."""
    salt = (seed * 0x9E3779B97F4A7C15 + purpose * 0xD1342543DE82EF95) % 2**64
    mixed = user.astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9) + slot.astype(np.uint64) + np.uint64(salt)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
