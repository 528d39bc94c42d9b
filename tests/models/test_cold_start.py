"""The learned map beside scikit-learn and brute force, and on factors that are known functions of content; no Spark."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge as SklearnKernelRidge
from sklearn.linear_model import Ridge as SklearnRidge

from musicrec.models.blocks import Ragged
from musicrec.models.cold_start.content_map import Choice, Training, choose_map, fit_map
from musicrec.models.cold_start.inputs import Played, Tracks, group_means, make_inputs
from musicrec.models.cold_start.params import ColdStartParams
from musicrec.models.cold_start.regress import KernelRidge, Ridge, gaussian

RNG = np.random.default_rng(5)
N, P, D = 120, 6, 4
X, Y, W = RNG.normal(size=(N, P)), RNG.normal(size=(N, D)), RNG.uniform(0.2, 5, N)
PARAMS = ColdStartParams(folds=3)


def ragged(lists: list[list[int]]) -> Ragged:
    starts = np.concatenate([[0], np.cumsum([len(own) for own in lists])]).astype(np.int64)
    return Ragged(np.array([value for own in lists for value in own], np.int64), starts)


def test_ridge_is_that_of_scikit_learn() -> None:
    expected = SklearnRidge(alpha=7.0).fit(X, Y, sample_weight=W / W.mean()).predict(X)
    np.testing.assert_allclose(Ridge.fit(X, Y, W, 7.0).predict(X), expected, atol=1e-9)


def test_kernel_ridge_with_every_row_a_landmark_is_that_of_scikit_learn() -> None:
    w = W / W.mean()
    centre = (w[:, None] * Y).mean(axis=0)
    oracle = SklearnKernelRidge(alpha=0.5, kernel="rbf", gamma=0.1).fit(X, Y - centre, sample_weight=w)
    found = KernelRidge.fit(X, Y, W, 0.5, 0.1, X).predict(X[:9] + 0.1)
    np.testing.assert_allclose(found, oracle.predict(X[:9] + 0.1) + centre, atol=1e-4)
    assert gaussian(X, X, 0.1).max() == pytest.approx(1)


NONE = Tracks(np.zeros((0, P)), np.zeros(0), np.zeros(0, np.int64), ragged([]), np.zeros(0, np.int64))


def some_played() -> tuple[Tracks, Played]:
    """Thirty tracks of six artists; the first four are songs of two recordings each, and ten items have no track."""
    song = np.concatenate([np.arange(30), np.arange(4), np.arange(30, 40)])
    artist = np.concatenate([np.arange(30) % 6, np.arange(4) % 6, np.full(10, 2)])
    genres = [[i % 3, 3 + i % 2] if i % 5 else [] for i in range(30)]
    factors = RNG.normal(size=(44, D + 1))
    plays = RNG.integers(1, 50, 44).astype(float)
    all_genres = ragged([*genres, *genres[:4], *[[] for _ in range(10)]])
    played = Played(factors, plays, artist, all_genres, song)
    tracks = Tracks(RNG.normal(size=(30, P)), np.full(30, np.nan), artist[:30], ragged(genres), song[:30])
    return tracks, played


def test_means_leave_out_all_items_of_the_own_song() -> None:
    tracks, played = some_played()
    artists, genres = group_means(played, 2.0)
    inputs = make_inputs(tracks, artists, genres)
    weight = np.log1p(played.plays)
    mean = (weight[:, None] * played.factors).sum(axis=0) / weight.sum()

    def expected(members: np.ndarray, song: int) -> np.ndarray:
        others = members & (played.song != song)
        total = (weight[others, None] * played.factors[others]).sum(axis=0)
        return (total + 2.0 * mean) / (weight[others].sum() + 2.0)

    for row in range(len(tracks)):
        members = played.artist == tracks.artist[row]
        np.testing.assert_allclose(inputs.prior[row], expected(members, row), atol=1e-9)
        others = members & (played.song != row)
        songs = [weight[others & (played.song == song)].sum() for song in np.unique(played.song[others])]
        np.testing.assert_allclose(inputs.plain[row, -2:], [max(songs), np.log1p(others.sum())])
        own = tracks.genres[row]
        each = [expected(np.array([g in played.genres[j] for j in range(44)]), row) for g in own]
        np.testing.assert_allclose(inputs.means[row, D + 1 :], np.mean(each, axis=0) if each else mean, atol=1e-9)


def test_tracks_of_an_unknown_artist_get_the_mean_of_all() -> None:
    tracks, played = some_played()
    artists, genres = group_means(played, 1.0)
    for artist in (-1, 99):
        new = Tracks(
            tracks.content[:2], np.zeros(2), np.array([artist, 0]), ragged([[], [77]]), np.full(2, -1, np.int64)
        )
        inputs = make_inputs(new, artists, genres)
        np.testing.assert_allclose(inputs.prior[0], artists.mean)
        np.testing.assert_allclose(inputs.means[:, D + 1 :], np.tile(genres.mean, (2, 1)))
        assert np.abs(inputs.prior[1] - artists.mean).max() > 0.01


def linear_world(noise: float) -> tuple[Tracks, np.ndarray, Played, np.ndarray]:
    """Factors that are a linear map of content, 200 tracks of 40 artists; 60 more of them are new."""
    rng = np.random.default_rng(2)
    content = rng.normal(size=(260, P))
    factors = np.hstack([content @ rng.normal(size=(P, D)) + 1.0, np.zeros((260, 1))])
    factors[:, :D] += noise * rng.normal(size=(260, D))
    artist, song = rng.integers(0, 40, 260), np.arange(260)
    tracks = Tracks(content, rng.normal(size=260), artist, ragged([[] for _ in range(260)]), song)
    plays = rng.integers(3, 60, 200).astype(float)
    old = tracks.take(np.arange(200))
    return tracks, factors, Played(factors[:200], plays, old.artist, old.genres, old.song), rng.normal(size=(30, D))


def test_a_linear_map_is_found_and_ranks_new_tracks_as_the_true_factors_do() -> None:
    tracks, factors, played, listeners = linear_world(0.01)
    old, new = tracks.take(np.arange(200)), tracks.take(np.arange(200, 260))
    choice, explained = choose_map(old, factors[:200], played.plays, played, NONE, listeners, PARAMS)
    assert choice.kind == "ridge"
    assert explained[choice] > 0.95 > 0.3 > explained[Choice("artist")]
    fitted = fit_map(Training.of(old, factors[:200], played.plays, played, NONE, PARAMS), choice, 1000)
    predicted = fitted.predict(new)
    assert not predicted[:, D].any()
    true, found = listeners @ factors[200:, :D].T, listeners @ predicted[:, :D].T
    best = [len(set(a[:10]) & set(b[:10])) for a, b in zip(np.argsort(-true), np.argsort(-found), strict=True)]
    assert np.mean(best) > 8.5


def test_where_content_says_nothing_the_artist_is_enough() -> None:
    tracks, factors, played, listeners = linear_world(0.0)
    rng = np.random.default_rng(9)
    of_artist = rng.normal(size=(40, D + 1))
    factors = of_artist[tracks.artist] + 0.3 * rng.normal(size=(260, D + 1))
    played = Played(factors[:200], played.plays, played.artist, played.genres, played.song)
    noise = Tracks(rng.normal(size=(260, P)), tracks.popularity, tracks.artist, tracks.genres, tracks.song)
    old = noise.take(np.arange(200))
    _, explained = choose_map(old, factors[:200], played.plays, played, NONE, listeners, PARAMS)
    assert explained[Choice("artist")] > 0.6


def test_a_track_s_own_plays_never_reach_its_own_prediction() -> None:
    tracks, _, played, _ = linear_world(0.0)
    asked = tracks.take(np.arange(3))
    other = played.factors.copy()
    other[:3] += 100.0
    # Plays in the mean of all would tell: it is taken as given, and its weight as nothing.
    before = make_inputs(asked, *group_means(played, 1e-12))
    after = make_inputs(asked, *group_means(Played(other, played.plays, *played._rest()), 1e-12))
    np.testing.assert_allclose(before.prior, after.prior, atol=1e-6)


@pytest.mark.parametrize("kind", ["ridge", "kernel"])
def test_what_is_like_nothing_that_was_played_is_promised_little(kind: str) -> None:
    tracks, factors, played, _ = linear_world(0.0)
    old = tracks.take(np.arange(200))
    rng = np.random.default_rng(8)
    # Another corner of the catalogue: far from all that was played, and its artists are unknown.
    far = Tracks(rng.normal(size=(80, P)) + 4, np.zeros(80), np.full(80, -1), ragged([[]] * 80), np.full(80, -1))
    choice = Choice("ridge" if kind == "ridge" else "kernel", "log", 3.0)

    def length(unplayed: Tracks) -> float:
        training = Training.of(old, factors[:200], played.plays, played, unplayed, PARAMS)
        return float(
            np.linalg.norm(fit_map(training, choice, 1000).predict(far.take(np.arange(40, 80))), axis=1).mean()
        )

    assert length(far.take(np.arange(40))) < 0.5 * length(NONE)


def test_the_unplayed_weigh_their_share_and_are_half_of_the_landmarks() -> None:
    tracks, factors, played, _ = linear_world(0.0)
    old, new = tracks.take(np.arange(200)), tracks.take(np.arange(200, 260))
    training = Training.of(old, factors[:200], played.plays, played, new, PARAMS)
    weights = training.weights("plays")
    np.testing.assert_allclose(weights[:200], played.plays)
    assert weights[200:].sum() == pytest.approx(PARAMS.unplayed_weight * played.plays.sum())
    assert training.landmarks(50).tolist() == [*range(25), *range(200, 225)]
    assert training.landmarks(150).tolist() == [*range(90), *range(200, 260)]
    assert training.landmarks(1000).tolist() == list(range(260))
