"""Which songs a playlist holds: candidates from several lists, no song twice, few of one artist, as long as asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from musicrec.models.significant import significant
from musicrec.params import Params
from musicrec.ranking.smooth_order import OrderParams, smooth_order, transitions
from musicrec.ranking.songs import Songs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Dampens the first ranks of the lists that are joined, as in ranking/fusion.py.
_DAMPING = 60
# So many of the songs that were not picked are tried in pairs.
_PAIRED = 60


class PlaylistParams(Params):
    """What every playlist keeps to.

    Attributes
    ----------
    songs : how many.
    artist_cap : at most so many songs of one artist.
    order : what makes a transition rough.
    """

    songs: int = Field(default=25, ge=1, le=500)
    artist_cap: int = Field(default=2, ge=1)
    order: OrderParams = OrderParams()


@dataclass(frozen=True)
class Source:
    """A list of candidates, best first.

    Attributes
    ----------
    songs : rows of Songs, none twice.
    weight : its say.
    kind : why its songs are offered.
    because : the row of the song that it was found by, −1 for none.
    """

    songs: Ints
    weight: float
    kind: str
    because: int = -1


@dataclass(frozen=True)
class Candidates:
    """Songs, best first, and the source that speaks most for each (its place among the sources)."""

    songs: Ints
    scores: Floats
    source: Ints

    def only(self, wanted: NDArray[np.bool_]) -> Candidates:
        """Some of them, in the same order."""
        return Candidates(self.songs[wanted], self.scores[wanted], self.source[wanted])


def join_sources(sources: Sequence[Source], without: Ints) -> Candidates:
    """Reciprocal rank fusion of the sources: a song's score is Σ weight / (60 + rank); ties go to the lower row.

    Ranks need no common scale, which a distance in sound and a factor model's score do not have (Cormack, Clarke and
    Büttcher, 2009). `without` are songs that may not be offered.
    """
    if not sources:
        none = np.zeros(0, np.int64)
        return Candidates(none, none.astype(np.float64), none)
    songs = np.concatenate([source.songs for source in sources]).astype(np.int64)
    of = np.repeat(np.arange(len(sources)), [len(source.songs) for source in sources])
    parts = np.concatenate([source.weight / (_DAMPING + 1 + np.arange(len(source.songs))) for source in sources])
    kept = ~np.isin(songs, without)
    songs, of, parts = songs[kept], of[kept], parts[kept]
    # The largest part of each song first, so that its source is found beside the sum.
    order = np.lexsort((of, -parts, songs))
    songs, of, parts = songs[order], of[order], parts[order]
    first = np.flatnonzero(np.diff(songs, prepend=-1))
    scores = significant(np.add.reduceat(parts, first)) if len(songs) else parts
    songs, of = songs[first], of[first]
    best = np.lexsort((songs, -scores))
    return Candidates(songs[best], scores[best], of[best])


def interleave(first: Ints, second: Ints, share: float) -> tuple[Ints, NDArray[np.bool_]]:
    """Two lists as one in which, from the top on, `share` of the places are the first's; and which those are.

    Where one ends the other goes on.
    """
    with np.errstate(divide="ignore"):
        turns = [
            (np.arange(len(part)) + 0.5) / part_share for part, part_share in ((first, share), (second, 1 - share))
        ]
    is_first = np.repeat([True, False], [len(first), len(second)])
    order = np.lexsort((np.arange(len(is_first)), np.concatenate(turns)))
    return np.concatenate([first, second])[order], is_first[order]


def pick_songs(ranked: Ints, artist: Ints, n: int, cap: int, before: Ints) -> NDArray[np.int64]:
    """Places of the first n songs of a list that keep the cap together with those picked before.

    Parameters
    ----------
    ranked : rows of songs, best first, none twice.
    artist : the artist of every song, by row.
    n : how many; fewer where there are no more.
    cap : at most so many songs of one artist.
    before : rows of songs that are in the playlist already; they are not picked again.
    """
    places = np.flatnonzero(~np.isin(ranked, before))
    own = artist[np.concatenate([before, ranked[places]]).astype(np.int64)]
    order = np.argsort(own, kind="stable")
    count = np.arange(len(own)) - np.searchsorted(own[order], own[order])
    of_artist = np.empty(len(own), np.int64)
    of_artist[order] = count
    return places[of_artist[len(before) :] < cap][:n]


def pick_minutes(
    ranked: Ints, songs: Songs, target_ms: int, tolerance_ms: int, cap: int, before: Ints
) -> NDArray[np.int64]:
    """Places of the songs of a list that, with those picked before, last as long as asked, as exactly as it can.

    The best songs that fit are taken in order. Where the rest is too short for any song, one of them makes way for
    one or two others that fill it. Songs of unknown length are passed over. Where no choice lasts long enough there
    are fewer: the caller says what it found.
    """
    places = np.flatnonzero((songs.duration_ms[ranked] > 0) & ~np.isin(ranked, before))
    lasting = songs.duration_ms[ranked]
    left = target_ms - int(songs.duration_ms[before].sum())
    used: dict[int, int] = {}
    for song in before.tolist():
        used[int(songs.artist[song])] = used.get(int(songs.artist[song]), 0) + 1
    picked: list[int] = []
    for place in places.tolist():
        if left <= tolerance_ms:
            break
        artist = int(songs.artist[ranked[place]])
        if lasting[place] <= left + tolerance_ms and used.get(artist, 0) < cap:
            picked.append(place)
            used[artist] = used.get(artist, 0) + 1
            left -= int(lasting[place])
    if abs(left) > tolerance_ms and picked:
        picked = _exchanged(picked, places, ranked, songs, left, tolerance_ms, cap, used)
    return np.array(sorted(picked), np.int64)


def _exchanged(
    picked: list[int],
    places: Ints,
    ranked: Ints,
    songs: Songs,
    left: int,
    tolerance_ms: int,
    cap: int,
    used: dict[int, int],
) -> list[int]:
    """The picks with one of them exchanged for one or two others, so that the time left is within the tolerance.

    Of the exchanges that do the one whose songs stand highest is made, the latest pick first; where none does, the one
    that leaves least, if that is less than without.
    """
    lasting, artist = songs.duration_ms[ranked], songs.artist[ranked]
    others = places[~np.isin(places, picked)]
    is_full = np.array([used.get(int(a), 0) >= cap for a in artist[others]], np.bool_)
    nearest, best = abs(left), picked
    for out in reversed(picked):
        free = others[~is_full | (artist[others] == artist[out])]
        for chosen, rest in _fillings(free, lasting, artist, left + int(lasting[out])):
            within = rest <= tolerance_ms
            at = int(np.argmax(within)) if within.any() else int(np.argmin(rest))
            if rest[at] < nearest:
                nearest = int(rest[at])
                best = [*(place for place in picked if place != out), *chosen[at].tolist()]
            if within.any():
                return best
    return best


def _fillings(free: Ints, lasting: Ints, artist: Ints, gap: int) -> Iterator[tuple[Ints, Ints]]:
    """Places that could fill a gap, the highest first, and what each leaves or is over: songs alone, then in pairs."""
    if len(free):
        yield free[:, None], np.abs(gap - lasting[free])
    i, j = np.triu_indices(min(len(free), _PAIRED), 1)
    order = np.argsort(i + j, kind="stable")
    pairs = np.stack([free[i[order]], free[j[order]]], axis=1)
    pairs = pairs[artist[pairs[:, 0]] != artist[pairs[:, 1]]]
    if len(pairs):
        yield pairs, np.abs(gap - lasting[pairs].sum(axis=1))


def in_smooth_order(
    picked: Ints,
    songs: Songs,
    params: OrderParams,
    *,
    first: int | None = None,
    most_starts: int = 200,
    seconds: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
) -> NDArray[np.int64]:
    """Places of the picked songs (rows) in an order in which each goes well into the next; `first` is a place."""
    costs = transitions(songs.sound(picked), params)
    return smooth_order(costs, first=first, most_starts=most_starts, seconds=seconds, clock=clock)
