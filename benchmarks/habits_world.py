"""An invented world whose listeners have habits: hours of the day, artists they are loyal to, and what is new.

Nobody played any of it. `benchmarks.listening` draws what a listener plays from a library fixed beforehand, at any
hour; here what is played depends on when, on which artists the listener has come to play, and on how new a track is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.simulate import SCHEMA

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FIRST_DAY = datetime(2021, 3, 1, tzinfo=UTC)
_GENRES, _PARTS = 12, 4  # parts of the day, six hours each
_TRACKS_AN_ARTIST = 10
_REPEATED = 0.5  # share of plays that are repeats
_LOYAL = 0.35  # share of the other plays that are of an artist whom the listener plays already
_OTHER_GENRE = 0.1
_BY_HOUR = 0.8  # how much less a track is played outside its part of the day
_LATE = 0.3  # share of tracks that come out during the days that are simulated
_BURST, _BURST_DAYS = 12.0, 1.5  # how much more a new track is played, and how soon that fades


@dataclass(frozen=True)
class HabitsWorld:
    """Who listens and what there is.

    Attributes
    ----------
    genre, artist, part, weight, out : of each track; `out` is the day on which it comes out.
    genres, hours : of each listener: the two they love [listeners × 2], and when they listen [listeners × 4] (shares).
    activity : plays a day.
    """

    genre: Ints
    artist: Ints
    part: Ints
    weight: Floats
    out: Ints
    genres: Ints
    hours: Floats
    activity: Floats


def make_habits_world(listeners: int, tracks: int, days: int, seed: int) -> HabitsWorld:
    """Draw the listeners and tracks."""
    rng = np.random.default_rng([seed, 11])
    artists = tracks // _TRACKS_AN_ARTIST
    artist = np.arange(tracks) % artists
    genre_of_artist = rng.integers(0, _GENRES, artists)
    is_late = rng.random(tracks) < _LATE
    return HabitsWorld(
        genre=genre_of_artist[artist],
        artist=artist,
        part=rng.integers(0, _PARTS, tracks),
        weight=(rng.permutation(tracks) + 20.0) ** -0.8,
        out=np.where(is_late, rng.integers(1, days, tracks), -60),
        genres=rng.integers(0, _GENRES, (listeners, 2)),
        hours=rng.dirichlet(np.full(_PARTS, 0.4), listeners),
        activity=rng.lognormal(2.3, 0.6, listeners),
    )


def write_habits(out: Path, listeners: int, tracks: int, days: int, seed: int) -> int:
    """Write `out`/full-dump-1 in the form of ListenBrainz' dumps for Spark; gives the number of listens."""
    world = make_habits_world(listeners, tracks, days, seed)
    folder = out / "full-dump-1"
    folder.mkdir(parents=True)
    library: list[list[int]] = [[] for _ in range(listeners)]
    columns: list[tuple[Ints, Ints, Ints]] = []
    for day in range(days):
        columns.append(_day(world, library, day, np.random.default_rng([seed, day, 12])))
    user, track, second = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((track, user, second))
    user, track, second = user[order], track[order], second[order]
    once = np.unique(user * 10**9 + second, return_index=True)[1]
    once.sort()
    _write(folder / "0.parquet", world, user[once], track[once], second[once])
    marks = {"START_TIMESTAMP": FIRST_DAY, "END_TIMESTAMP": FIRST_DAY + timedelta(days=days)}
    for name, moment in marks.items():
        (folder / name).write_text(f"{moment:%Y-%m-%d %H:%M:%S}.000000", encoding="utf-8")
    (folder / "SCHEMA_SEQUENCE").write_text("1", encoding="utf-8")
    return len(once)


def _day(world: HabitsWorld, library: list[list[int]], day: int, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """The listener, track and second of each play of a day; what is new to a listener joins their library."""
    age = day - world.out
    hot = np.where(age >= 0, world.weight * (1 + _BURST * np.exp(-age / _BURST_DAYS) * (world.out >= 0)), 0.0)
    # Where each genre's and artist's tracks are, and how likely each is in each part of the day.
    likely = [hot * np.where(world.part == part, 1.0, 1 - _BY_HOUR) for part in range(_PARTS)]
    of_genre = [np.flatnonzero(world.genre == genre) for genre in range(_GENRES)]
    of_artist = [np.flatnonzero(world.artist == artist) for artist in range(int(world.artist.max()) + 1)]
    users, tracks, seconds = [], [], []
    for user, mean in enumerate(world.activity):
        for _ in range(rng.poisson(mean)):
            part = int(rng.choice(_PARTS, p=world.hours[user]))
            own = library[user]
            if own and rng.random() < _REPEATED:
                track = own[int(len(own) * rng.random() ** 1.5)]
            elif own and rng.random() < _LOYAL:
                track = _draw(rng, of_artist[world.artist[own[rng.integers(len(own))]]], likely[part])
            else:
                genre = world.genres[user, rng.integers(2)]
                genre = rng.integers(_GENRES) if rng.random() < _OTHER_GENRE else genre
                track = _draw(rng, of_genre[genre], likely[part])
            if track not in own:
                own.append(track)
            users.append(user)
            tracks.append(track)
            seconds.append(day * 86_400 + part * 21_600 + int(rng.integers(21_600)))
    return np.array(users, np.int64), np.array(tracks, np.int64), np.array(seconds, np.int64)


def _draw(rng: np.random.Generator, tracks: Ints, likely: Floats) -> int:
    until = np.cumsum(likely[tracks])
    return int(tracks[min(int(np.searchsorted(until, rng.random() * until[-1])), len(tracks) - 1)])


def _write(path: Path, world: HabitsWorld, user: Ints, track: Ints, second: Ints) -> None:
    at = pa.array(second * 10**9 + int(FIRST_DAY.timestamp()) * 10**9, pa.timestamp("ns"))
    titles = np.array([f"Song {n}" for n in range(len(world.artist))])
    artists = np.array([f"Artist {n}" for n in range(int(world.artist.max()) + 1)])
    known = {
        "listened_at": at,
        "created": at,
        "user_id": user + 1,
        "recording_msid": np.char.add("msid-", track.astype(str)),
        "artist_name": artists[world.artist[track]],
        "recording_name": titles[track],
    }
    rows = {
        field.name: pa.array(known[field.name], field.type) if field.name in known else pa.nulls(len(user), field.type)
        for field in SCHEMA
    }
    pq.write_table(pa.table(rows, schema=SCHEMA), path, compression="SNAPPY", use_deprecated_int96_timestamps=True)
