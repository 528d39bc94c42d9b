from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.ranking.smooth_order import OrderParams, Sound, camelot, roughness, smooth_order, transitions

C, G, A, F_SHARP = 0.0, 7.0, 9.0, 6.0
MAJOR, MINOR = 1.0, 0.0


def sound(n: int, seed: int, unknown: float = 0.0) -> Sound:
    rng = np.random.default_rng(seed)
    columns = [
        rng.uniform(60, 200, n),
        rng.integers(0, 12, n).astype(float),
        rng.integers(0, 2, n).astype(float),
        rng.uniform(0, 1, n),
    ]
    for column in columns:
        column[rng.random(n) < unknown] = np.nan
    return Sound(*columns, artist=rng.integers(0, max(1, n // 2), n))


def pair(tempo: tuple[float, float], key: tuple[float, float], mode: tuple[float, float]) -> float:
    two = Sound(np.array(tempo), np.array(key), np.array(mode), np.array([0.5, 0.5]), np.array([1, 2]))
    return float(transitions(two, OrderParams())[0, 1])


def test_the_camelot_wheel() -> None:
    # https://mixedinkey.com/harmonic-mixing-guide: 8B = C, 9B = G, 8A = A minor, 2B = F sharp, 5A = C minor.
    keys, modes = np.array([C, G, A, F_SHARP, C]), np.array([MAJOR, MAJOR, MINOR, MAJOR, MINOR])
    assert camelot(keys, modes).tolist() == [8, 9, 8, 2, 5]
    assert len({(camelot(np.array([float(k)]), np.array([m]))[0], m) for k in range(12) for m in (0.0, 1.0)}) == 24


@pytest.mark.parametrize(
    ("tempo", "key", "mode", "wanted"),
    [
        ((70, 140), (C, C), (MAJOR, MAJOR), 0.0),  # an octave of tempo is none
        ((100, 100 * 2**0.5), (C, C), (MAJOR, MAJOR), 1.0),  # half an octave is the furthest
        ((100, 100), (C, G), (MAJOR, MAJOR), 1 / 7),  # a fifth
        ((100, 100), (C, A), (MAJOR, MINOR), 1 / 7),  # the relative minor
        ((100, 100), (C, F_SHARP), (MAJOR, MAJOR), 6 / 7),  # half round the circle
    ],
)
def test_a_transition(
    tempo: tuple[float, float], key: tuple[float, float], mode: tuple[float, float], wanted: float
) -> None:
    assert pair(tempo, key, mode) == pytest.approx(wanted, abs=1e-9)


def test_what_is_not_known_counts_as_the_mean() -> None:
    tempo = np.array([100, 110, 120, np.nan])
    rest = np.zeros(4)
    made = transitions(Sound(tempo, rest, rest, rest, np.arange(4)), OrderParams())
    known = [made[i, j] for i in range(3) for j in range(3) if i != j]
    assert made[3, 0] == made[3, 1] == pytest.approx(np.mean(known))
    nothing = Sound(np.full(3, np.nan), np.full(3, -1.0), np.full(3, np.nan), np.full(3, np.nan), np.arange(3))
    assert transitions(nothing, OrderParams()).tolist() == np.zeros((3, 3)).tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 30), st.integers(0, 10**6), st.sampled_from([0.0, 0.3]))
def test_an_order_holds_each_song_once_and_is_no_rougher_than_random(n: int, seed: int, unknown: float) -> None:
    costs = transitions(sound(n, seed, unknown), OrderParams())
    order = smooth_order(costs)
    assert sorted(order.tolist()) == list(range(n))
    assert np.array_equal(order, smooth_order(costs))
    rng = np.random.default_rng(seed)
    for _ in range(3):
        assert roughness(costs, order) <= roughness(costs, rng.permutation(n)) + 1e-9
    if n:
        fixed = smooth_order(costs, first=n // 2)
        assert fixed[0] == n // 2
        assert sorted(fixed.tolist()) == list(range(n))


def test_beside_brute_force_and_chance() -> None:
    over, share = [], []
    for seed in range(60):
        n = 4 + seed % 4
        costs = transitions(sound(n, seed), OrderParams())
        every = [roughness(costs, np.array(path)) for path in itertools.permutations(range(n))]
        best = roughness(costs, smooth_order(costs))
        over.append(best / min(every) - 1)
        share.append(best / np.mean(every))
        held = [roughness(costs, np.array((0, *path))) for path in itertools.permutations(range(1, n))]
        assert roughness(costs, smooth_order(costs, first=0)) <= min(held) * 1.1
    assert max(over) < 0.05
    assert np.mean(share) < 0.7


def test_it_stops_when_the_time_is_over() -> None:
    costs = transitions(sound(80, 1), OrderParams())
    ticks = itertools.count()
    asked: list[int] = []

    def clock() -> float:
        asked.append(next(ticks))
        return float(asked[-1])

    order = smooth_order(costs, seconds=0.0, clock=clock)
    assert sorted(order.tolist()) == list(range(80))
    assert len(asked) < 5
    assert roughness(costs, smooth_order(costs)) <= roughness(costs, order)
