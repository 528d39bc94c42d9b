from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.ranking.playlist import Source, in_smooth_order, join_sources, pick_minutes, pick_songs
from musicrec.ranking.smooth_order import OrderParams
from musicrec.ranking.songs import ItemRows, Songs, TrackRows, make_songs

NOBODY = np.zeros(0, np.int64)


def tracks_of(
    song: list[int], artist: list[int], popularity: list[float], duration: list[int] | None = None
) -> TrackRows:
    n, rng = len(song), np.random.default_rng(1)
    return TrackRows(
        song=np.array(song, np.int64),
        artist=np.array(artist, np.int64),
        popularity=np.array(popularity, float),
        year=np.arange(1960, 1960 + n),
        duration_ms=np.array(duration or [200_000] * n, np.int64),
        tempo=rng.uniform(60, 200, n),
        key=rng.integers(0, 12, n).astype(float),
        mode=rng.integers(0, 2, n).astype(float),
        energy=rng.uniform(0, 1, n),
    )


def no_items() -> ItemRows:
    return ItemRows(*(np.zeros(0, np.int64) for _ in range(5)))


def made(n: int, seed: int = 0, artists: int = 5) -> Songs:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(120_000, 360_000, n).tolist()
    return make_songs(tracks_of(list(range(n)), rng.integers(0, artists, n).tolist(), [1.0] * n, lengths), no_items())


def test_tracks_and_recordings_of_one_song_are_one() -> None:
    tracks = tracks_of([70, 50, 70, 60], [7, 5, 7, 6], [10.0, float("nan"), 30.0, 1.0])
    items = ItemRows(
        item_idx=np.array([4, 0, 2, 9]),
        song=np.array([70, 99, 98, 97]),  # the first has the keys of a song, the second is linked, the others alone
        artist=np.array([7, 8, 8, 4]),
        track=np.array([-1, 2, -1, 3]),
        plays=np.array([3, 3, 5, 1]),
    )
    songs = make_songs(tracks, items)
    assert songs.of_track.tolist() == [2, 0, 2, 1]
    assert songs.track.tolist() == [1, 3, 2, -1]  # the most popular of the two tracks of song 70
    assert songs.item.tolist() == [-1, 9, 0, 2]  # of equally played ones the lowest
    assert songs.artist.tolist() == [5, 6, 7, 8]
    assert songs.of_items(np.array([0, 1, 2, 4, 9, 10, -1])).tolist() == [2, -1, 3, 2, 1, -1, -1]
    assert songs.duration_ms.tolist() == [200_000, 200_000, 200_000, 0]
    assert np.isnan(songs.tempo[3])
    assert len(make_songs(tracks_of([], [], []), items)) == 4


def test_sources_are_joined_by_their_ranks() -> None:
    sources = [Source(np.array([5, 3, 8]), 1.0, "sound", 0), Source(np.array([3, 9]), 2.0, "taste")]
    found = join_sources(sources, np.array([8]))
    scores = {5: 1 / 61, 3: 1 / 62 + 2 / 61, 9: 2 / 62}
    wanted = sorted(scores, key=lambda song: -scores[song])
    assert found.songs.tolist() == wanted
    np.testing.assert_allclose(found.scores, [scores[song] for song in wanted])
    assert found.source.tolist() == [1, 1, 0]
    assert join_sources([], NOBODY).songs.tolist() == join_sources(sources, np.arange(10)).songs.tolist() == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(1, 20), st.integers(1, 3), st.integers(0, 1000))
def test_picks_keep_the_cap_and_repeat_nothing(size: int, n: int, cap: int, seed: int) -> None:
    songs = made(40, seed)
    rng = np.random.default_rng(seed)
    ranked, before = rng.permutation(40)[:size], rng.permutation(40)[:2]
    if songs.artist[before[0]] == songs.artist[before[1]] and cap == 1:
        before = before[:1]
    picked = pick_songs(ranked, songs.artist, n, cap, before)
    # The plain way: down the list, whatever is allowed.
    taken, wanted = [int(song) for song in before], []
    for place, song in enumerate(ranked.tolist()):
        used = Counter(int(songs.artist[other]) for other in taken)
        if len(wanted) < n and song not in taken and used[int(songs.artist[song])] < cap:
            taken.append(song)
            wanted.append(place)
    assert picked.tolist() == wanted


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 90), st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 2))
def test_a_playlist_lasts_as_long_as_asked(minutes: int, seed: int, cap: int, seeds: int) -> None:
    songs = made(200, seed, artists=60)
    rng = np.random.default_rng(seed)
    ranked, before = rng.permutation(200), rng.permutation(200)[:seeds]
    if len(set(songs.artist[before].tolist())) < seeds:
        before = before[:1]
    picked = ranked[pick_minutes(ranked, songs, minutes * 60_000, 20_000, cap, before)]
    every = np.concatenate([before, picked])
    assert len(set(every.tolist())) == len(every)
    assert max(Counter(songs.artist[every].tolist()).values()) <= cap
    assert abs(int(songs.duration_ms[every].sum()) - minutes * 60_000) <= 20_000


def test_too_few_songs_last_as_long_as_they_do() -> None:
    songs = make_songs(tracks_of([0, 1, 2], [0, 1, 2], [1.0] * 3, [100_000, 90_000, 200_000]), no_items())
    assert pick_minutes(np.arange(3), songs, 3_600_000, 20_000, 2, NOBODY).tolist() == [0, 1, 2]
    # 300 s of songs of 100, 90 and 200 s: the second makes way for the third.
    assert pick_minutes(np.arange(3), songs, 300_000, 5_000, 2, NOBODY).tolist() == [0, 2]
    # 250 s: no choice is exact, 100 and 200 s are the nearest that one exchange reaches.
    found = songs.duration_ms[pick_minutes(np.arange(3), songs, 250_000, 1_000, 2, NOBODY)].sum()
    assert found == 290_000
    unknown = make_songs(tracks_of([0, 1], [0, 1], [1.0] * 2, [0, 100_000]), no_items())
    assert pick_minutes(np.arange(2), unknown, 100_000, 1_000, 2, NOBODY).tolist() == [1]


def test_the_order_is_of_the_picked() -> None:
    songs = made(30)
    picked = np.array([20, 3, 11, 7])
    order = in_smooth_order(picked, songs, OrderParams(), first=2)
    assert order[0] == 2
    assert sorted(order.tolist()) == [0, 1, 2, 3]
