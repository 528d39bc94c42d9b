from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.errors import InputError, LeakError
from musicrec.evaluation.popularity_keys import artist_keys
from musicrec.evaluation.popularity_trial import split_tracks
from musicrec.evaluation.track_leaks import find_leaks
from musicrec.evaluation.track_splits import grouped_split, one_row_a_song, out_of_fold_means, year_split

ARTISTS = st.lists(st.sampled_from([f"a{n}" for n in range(12)]), min_size=1, max_size=3, unique=True)
TRACKS = st.lists(
    st.tuples(ARTISTS, st.sampled_from("xyz"), st.integers(0, 90), st.integers(0, 5), st.integers(2000, 2004)),
    min_size=1,
    max_size=60,
    unique_by=lambda row: row[2],
).map(lambda rows: rows + rows[::2])  # a track stands on several playlists, the same each time


def frame(rows: list[tuple[list[str], str, int, int, int]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "track_id": [f"t{track}" for _, _, track, _, _ in rows],
            "artist_keys": [artists for artists, *_ in rows],
            "artist_key": [artists[0] for artists, *_ in rows],
            "title_key": [title for _, title, *_ in rows],
            "popularity": [float(popularity) for *_, popularity, _ in rows],
            "year": [year for *_, year in rows],
        }
    )


@settings(max_examples=60, deadline=None)
@given(TRACKS, st.integers(0, 5))
def test_no_artist_and_no_duplicate_is_on_both_sides(
    rows: list[tuple[list[str], str, int, int, int]], seed: int
) -> None:
    tracks, split, _ = split_tracks(frame(rows), "grouped", 0.4, seed)
    train, test = tracks[split.train], tracks[split.test]
    sides = [{key for keys in side["artist_keys"] for key in keys} for side in (train, test)]
    assert sides[0].isdisjoint(sides[1])
    songs = [set(zip(side["artist_key"], side["title_key"], strict=True)) for side in (train, test)]
    assert songs[0].isdisjoint(songs[1])
    assert len(tracks) == len(train) + len(test) + split.left_out
    find_leaks(train, test).check(("tracks", "songs", "artists"))
    # The same rows in another order are drawn alike.
    again, other, _ = split_tracks(frame(rows[::-1]), "grouped", 0.4, seed)
    assert tracks["track_id"].tolist() == again["track_id"].tolist()
    assert other.test.tolist() == split.test.tolist()


@settings(max_examples=60, deadline=None)
@given(TRACKS)
def test_collapsed_rows_are_the_most_popular_of_each_song(rows: list[tuple[list[str], str, int, int, int]]) -> None:
    tracks = frame(rows)
    songs = one_row_a_song(tracks)
    assert not songs["track_id"].duplicated().any()
    assert not songs.duplicated(["artist_key", "title_key"]).any()
    best = tracks.groupby("track_id")["popularity"].max()
    assert (songs.set_index("track_id")["popularity"] == best[songs["track_id"]]).all()


def test_a_grouped_split_takes_its_share_of_artists() -> None:
    train, test = grouped_split([[f"artist {n}"] for n in range(4000)], 0.2, 1, "test")
    assert test.mean() == pytest.approx(0.2, abs=0.02)
    assert (train ^ test).all()
    assert grouped_split([["a", "b"]] * 3, 0.5, 1, "test")[0].tolist() in ([True] * 3, [False] * 3)


def test_a_year_split_trains_before_and_tests_after() -> None:
    years = pd.Series([2000] * 5 + [2001] * 3 + [2002, 2003, None])
    train, test, year = year_split(years, 0.2)
    assert (year, train.sum(), test.sum()) == (2002, 8, 2)
    assert not (train | test)[-1]
    # The last year alone is more than the share: it is the test.
    assert year_split(pd.Series([2000, 2001, 2001]), 0.2)[2] == 2001
    with pytest.raises(InputError, match="two years"):
        year_split(pd.Series([2000, 2000]), 0.2)


def test_the_detector_goes_off_on_planted_leaks() -> None:
    train = frame([(["a"], "x", 1, 5, 2000), (["b", "c"], "y", 2, 5, 2001)])
    test = frame(
        [
            (["a"], "x", 1, 5, 2001),  # the same track
            (["b"], "y", 9, 5, 2002),  # the same song under another id
            (["d", "c"], "z", 3, 5, 2002),  # a guest of the training side
            (["e"], "z", 4, 5, 2002),
        ]
    )
    leaks = find_leaks(train, test)
    assert (leaks.tracks, leaks.songs, leaks.artists, leaks.years, leaks.rows) == (1, 2, 3, 1, 4)
    assert "1 of 4 test rows are training tracks, 2 training songs" in leaks.warning()
    for kind, count in {"tracks": 1, "songs": 2, "artists": 3, "years": 1}.items():
        with pytest.raises(LeakError, match=f"of 4 test tracks the training side knows {count} by their {kind}"):
            leaks.check((kind,))
    clean = find_leaks(train, test.iloc[3:])
    clean.check(("tracks", "songs", "artists", "years"))
    assert clean.warning() == ""


def test_out_of_fold_means_leave_a_track_out_of_its_own() -> None:
    groups = pd.Series(["a"] * 400 + ["b"] * 4 + ["new"])
    values = pd.Series([10.0] * 400 + [100.0] * 4 + [50.0])
    train = np.array([True] * 403 + [False, False])
    made = out_of_fold_means(groups, values, train, seed=1, folds=4, strength=0.5)
    overall = values[train].mean()
    assert made[-1] == pytest.approx(overall)  # of no training track
    assert made[403] == pytest.approx((300 + 0.5 * overall) / 3.5)  # a test track: all three of the training side
    for own in made[400:403]:  # a training track: those of the other folds, so fewer than three
        assert any(own == pytest.approx((100 * n + 0.5 * overall) / (n + 0.5)) for n in (0, 1, 2))
    # What is not on the training side is never looked at.
    changed = out_of_fold_means(groups, values.where(train, -1e6), train, seed=1, folds=4, strength=0.5)
    assert (made == changed).all()


def test_all_artists_of_a_track_are_named() -> None:
    assert artist_keys(["The Beatles"], "Help!") == ["beatles"]
    assert artist_keys(["Ed Sheeran"], "I Don't Care (with Justin Bieber) - Remix") == ["ed sheeran", "justin bieber"]
    assert artist_keys(["A feat. B"], "Song (feat. C & D)") == ["a", "b", "c", "d"]
    assert artist_keys(["U2"], "With or Without You") == ["u2"]
