"""A listener's playlists from what they played, what is near it and what a model offers them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from musicrec.ranking.playlist import Candidates, PlaylistParams, Source, in_smooth_order, join_sources, pick_songs
from musicrec.ranking.songs import Songs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Why a song is in a playlist.
LOVED, SOUND, TASTE = "loved", "sound", "taste"
KINDS = (LOVED, SOUND, TASTE)

DAILY_JAMS, DISCOVERY, BY_DECADE = "daily-jams", "discovery", "by-decade"

# Orders are searched from so many songs; from all of them they are 1 % shorter and take five times as long.
_STARTS = 5


class ListenerPlaylistParams(PlaylistParams):
    """What a listener's playlists hold.

    Attributes
    ----------
    familiar_share : share of the daily jams, and of a decade's, that the listener has played; the rest is near it.
    loved_songs : the songs that the listener played most, by whose sound others are found.
    sound_weight : the say of what sounds near, beside that of the model, which is 1.
    decades : playlists of so many of the listener's decades.
    shortest : a decade's playlist with fewer songs is not made.
    """

    familiar_share: float = Field(default=0.6, ge=0, le=1)
    loved_songs: int = Field(default=10, ge=0)
    sound_weight: float = Field(default=0.5, ge=0)
    decades: int = Field(default=2, ge=0)
    shortest: int = Field(default=10, ge=1)


@dataclass(frozen=True)
class Taste:
    """A listener.

    Attributes
    ----------
    played : rows of the songs that they played, none twice [played].
    plays : of each [played].
    draw : a number from 0 to 1 for each, which varies a playlist from week to week; .5 for the order of plays [played].
    offered : songs that a model offers them, best first; what they played among them is passed over.
    hidden : songs that they may not be offered.
    """

    played: Ints
    plays: Ints
    draw: Floats
    offered: Ints
    hidden: Ints


@dataclass(frozen=True)
class Playlist:
    """Songs in the order in which they are to be heard.

    Attributes
    ----------
    name : `daily-jams`, `discovery` or a decade such as `1970s`.
    songs : rows of songs.
    kinds : why each is there.
    because : the song that each was found by, −1 for none.
    """

    name: str
    songs: Ints
    kinds: tuple[str, ...]
    because: Ints


# The songs that sound most like a song, nearest first.
Near = Callable[[int], Ints]


def listener_playlists(taste: Taste, songs: Songs, near: Near, params: ListenerPlaylistParams) -> Iterator[Playlist]:
    """The listener's playlists, those without a song left out."""
    builder = _Builder(taste, songs, params, *loved_and_new(taste, near, params))
    everything = np.ones(len(songs), np.bool_)
    yield from builder.mixed(DAILY_JAMS, everything, 1)
    yield from builder.ordered(
        DISCOVERY,
        builder.new,
        pick_songs(builder.new.songs, songs.artist, params.songs, params.artist_cap, np.zeros(0, np.int64)),
    )
    for decade in favourite_decades(taste, songs, params.decades):
        of_decade = (songs.year >= decade) & (songs.year < decade + 10)
        yield from builder.mixed(f"{decade}s", of_decade, params.shortest)


def favourite_decades(taste: Taste, songs: Songs, most: int) -> list[int]:
    """The first years of the decades from which the listener played most, best first, of equals the later."""
    allowed = ~np.isin(taste.played, taste.hidden)
    years, plays = songs.year[taste.played[allowed]], taste.plays[allowed]
    decades, of = np.unique(years[years > 0] // 10 * 10, return_inverse=True)
    total = np.bincount(of, weights=plays[years > 0], minlength=len(decades))
    return [int(decades[row]) for row in np.lexsort((-decades, -total))[:most]]


def weighted_draw(plays: Ints, draw: Floats) -> Ints:
    """Places in the order of a draw without putting back, in which a song's chance is as ln(1 + plays).

    Efraimidis and Spirakis, "Weighted Random Sampling with a Reservoir", 2006: by −ln(u) / weight, of equals the first.
    """
    with np.errstate(divide="ignore"):
        waits = -np.log(draw) / np.log1p(np.maximum(plays, 1))
    return np.asarray(np.lexsort((np.arange(len(plays)), np.round(waits, 12))), np.int64)


def near_loved(taste: Taste, near: Near, most: int) -> list[Source]:
    """What sounds like each of the songs that the listener played most, with the weight ln(1 + plays)."""
    top = np.lexsort((taste.played, -taste.plays))[:most]
    found = [(near(int(taste.played[row])), row) for row in top]
    return [
        Source(songs, float(np.log1p(taste.plays[row])), SOUND, int(taste.played[row]))
        for songs, row in found
        if len(songs)
    ]


def loved_and_new(taste: Taste, near: Near, params: ListenerPlaylistParams) -> tuple[Candidates, Candidates, Ints]:
    """What the listener loves, what is new to them (source 0 by sound, 1 by the model), and the song that each of the
    new was found by, −1 for none."""
    order = weighted_draw(taste.plays, taste.draw)
    none = np.zeros(0, np.int64)
    loved = join_sources([Source(taste.played[order], 1.0, LOVED)], taste.hidden)
    not_new = np.concatenate([taste.played, taste.hidden])
    sources = near_loved(taste, near, params.loved_songs)
    like = join_sources(sources, not_new)
    new = join_sources(
        [Source(like.songs, params.sound_weight, SOUND), Source(taste.offered, 1.0, TASTE)],
        not_new,
    )
    found_by = np.array([sources[source].because for source in like.source.tolist()], np.int64)
    because = np.full(len(new.songs), -1, np.int64)
    by_sound = new.source == 0
    if by_sound.any():
        sorting = np.argsort(like.songs, kind="stable")
        at = np.searchsorted(like.songs[sorting], new.songs[by_sound])
        because[by_sound] = found_by[sorting][at]
    return loved, new, because if len(because) else none


class _Builder:
    """Makes playlists of one listener's candidates."""

    def __init__(
        self,
        taste: Taste,
        songs: Songs,
        params: ListenerPlaylistParams,
        loved: Candidates,
        new: Candidates,
        because: Ints,
    ) -> None:
        self.taste, self.songs, self.params = taste, songs, params
        self.loved, self.new, self.because = loved, new, because

    def mixed(self, name: str, wanted: NDArray[np.bool_], shortest: int) -> Iterator[Playlist]:
        """What they love and what is near it, of the wanted songs; where one is too little, more of the other."""
        n, cap, artist = self.params.songs, self.params.artist_cap, self.songs.artist
        none = np.zeros(0, np.int64)
        own = np.flatnonzero(wanted[self.loved.songs])
        new = np.flatnonzero(wanted[self.new.songs])
        familiar = round(n * self.params.familiar_share)
        kept = own[pick_songs(self.loved.songs[own], artist, familiar, cap, none)]
        before = self.loved.songs[kept]
        added = new[pick_songs(self.new.songs[new], artist, n - len(kept), cap, before)]
        before = np.concatenate([before, self.new.songs[added]])
        more = own[pick_songs(self.loved.songs[own], artist, n - len(before), cap, before)]
        picked = np.concatenate([before, self.loved.songs[more]])
        if len(picked) < shortest:
            return
        kinds = [LOVED] * len(kept) + self._kinds(added) + [LOVED] * len(more)
        because = np.concatenate([np.full(len(kept), -1), self.because[added], np.full(len(more), -1)])
        yield from self._in_order(name, picked, kinds, because)

    def ordered(self, name: str, candidates: Candidates, picked: Ints) -> Iterator[Playlist]:
        """The picked places of what is new."""
        yield from self._in_order(name, candidates.songs[picked], self._kinds(picked), self.because[picked])

    def _kinds(self, places: Ints) -> list[str]:
        return [SOUND if source == 0 else TASTE for source in self.new.source[places].tolist()]

    def _in_order(self, name: str, picked: Ints, kinds: list[str], because: Ints) -> Iterator[Playlist]:
        if not len(picked):
            return
        order = in_smooth_order(picked, self.songs, self.params.order, most_starts=_STARTS)
        named = tuple(kinds[place] for place in order.tolist())
        yield Playlist(name, picked[order], named, because[order].astype(np.int64))
