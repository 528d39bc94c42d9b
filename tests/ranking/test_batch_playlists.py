from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from musicrec.models.blocks import Ragged
from musicrec.ranking.batch_playlists import hashed_draw, near_lists, taste_of
from musicrec.ranking.listener_playlists import (
    LOVED,
    SOUND,
    TASTE,
    ListenerPlaylistParams,
    Taste,
    favourite_decades,
    listener_playlists,
    weighted_draw,
)
from musicrec.ranking.songs import Songs, make_songs
from tests.ranking.test_playlist import no_items, tracks_of

N = 120


def songs_of(seed: int) -> Songs:
    rng = np.random.default_rng(seed)
    rows = tracks_of(list(range(N)), rng.integers(0, 40, N).tolist(), [1.0] * N)
    return make_songs(rows, no_items())


def taste(seed: int, played: int) -> Taste:
    rng = np.random.default_rng(seed)
    order = rng.permutation(N)
    return Taste(
        played=np.sort(order[:played]),
        plays=rng.integers(1, 30, played),
        draw=rng.random(played),
        offered=order[played : played + 60],
        hidden=order[[0, played]],
    )


def near(song: int) -> np.ndarray:
    return np.random.default_rng(song).permutation(N)[:20]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 50), st.integers(1, 3))
def test_what_each_playlist_holds(seed: int, played: int, cap: int) -> None:
    songs, own = songs_of(seed), taste(seed, played)
    params = ListenerPlaylistParams(songs=20, artist_cap=cap, shortest=8)
    made = {one.name: one for one in listener_playlists(own, songs, near, params)}
    assert list(made)[:2] == ["daily-jams", "discovery"]
    for one in made.values():
        assert len(set(one.songs.tolist())) == len(one.songs) == len(one.kinds) == len(one.because)
        assert max(Counter(songs.artist[one.songs].tolist()).values()) <= cap
        assert not set(one.songs.tolist()) & set(own.hidden.tolist())
        for song, kind, because in zip(one.songs.tolist(), one.kinds, one.because.tolist(), strict=True):
            assert (kind == LOVED) == (song in own.played)
            assert (kind == SOUND) == (because >= 0)
            assert kind in (LOVED, SOUND, TASTE)
            if kind == SOUND:
                assert because in own.played
                assert song in near(because)
    assert not set(made["discovery"].songs.tolist()) & set(own.played.tolist())
    assert len(made["daily-jams"].songs) == 20
    loved = sum(kind == LOVED for kind in made["daily-jams"].kinds)
    assert loved == min(12, loved_within(own, songs, cap))
    for name in list(made)[2:]:
        first = int(name.removesuffix("s"))
        assert {int(year) // 10 * 10 for year in songs.year[made[name].songs]} == {first}
        assert len(made[name].songs) >= 8
        assert first in favourite_decades(own, songs, 2)


def loved_within(own: Taste, songs: Songs, cap: int) -> int:
    left = own.played[~np.isin(own.played, own.hidden)]
    return sum(min(cap, count) for count in Counter(songs.artist[left].tolist()).values())


def test_favourite_decades_are_those_of_most_plays() -> None:
    songs = songs_of(1)  # song i is of the year 1960 + i
    own = Taste(np.array([1, 2, 15, 31]), np.array([3, 3, 6, 9]), np.full(4, 0.5), np.zeros(0, int), np.array([31]))
    assert favourite_decades(own, songs, 3) == [1970, 1960]


def test_a_draw_is_uniform_and_its_own_for_each_listener_item_and_week() -> None:
    items = np.arange(2000)
    first = hashed_draw(3, items, 77)
    assert kstest(first, "uniform").pvalue > 0.01
    assert ((first > 0) & (first < 1)).all()
    assert hashed_draw(3, items[500:600], 77).tolist() == first[500:600].tolist()
    for other in (hashed_draw(4, items, 77), hashed_draw(3, items, 78)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.08


def test_what_is_played_most_is_drawn_first_most_often() -> None:
    plays = np.array([1, 1, 30])
    firsts = Counter(int(weighted_draw(plays, hashed_draw(user, np.arange(3), 5))[0]) for user in range(3000))
    weights = np.log1p(plays)
    expected = 3000 * weights / weights.sum()
    assert all(abs(firsts[row] - expected[row]) < 4 * np.sqrt(expected[row]) for row in range(3))
    assert weighted_draw(np.array([2, 9, 9]), np.full(3, 0.5)).tolist() == [1, 2, 0]


def test_neighbours_by_song() -> None:
    rows = [(0, 1, 5), (0, 2, 6), (0, 3, 5), (0, 1, 7), (2, 1, 2), (2, 2, 0), (-1, 1, 3), (2, 1, -1)]
    asking, ranks, found = (np.array(column) for column in zip(*rows, strict=True))
    made = near_lists(asking, ranks, found, 8)
    assert [made[song].tolist() for song in range(8)] == [[5, 7, 6], [], [0], [], [], [], [], []]
    none = np.zeros(0, np.int64)
    assert len(near_lists(none, none, none, 3)) == 3


def test_a_row_as_a_taste() -> None:
    songs = songs_of(2)
    of_item = np.array([4, 9, 4, -1, 11])
    songs = Songs(**{**songs.__dict__, "of_item": of_item, "item": np.arange(N)})
    own = {
        "heard": np.array([0, 1, 2, 3], np.int32),
        "plays": np.array([2, 3, 5, 7]),
        "offered": np.array([4, 3, 4], np.int32),
        "hidden": np.array([1], np.int32),
        "hidden_artists": songs.artist[[11]],
    }
    made = taste_of(5, own, songs, 1)
    assert (made.played.tolist(), made.plays.tolist()) == ([4, 9], [7, 3])
    assert made.offered.tolist() == [11]
    assert set(made.hidden.tolist()) == {9, *np.flatnonzero(songs.artist == songs.artist[11]).tolist()}
    assert isinstance(near_lists(np.array([1]), np.array([1]), np.array([2]), 3), Ragged)
