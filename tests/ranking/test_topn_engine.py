"""The engine against every score computed one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from musicrec.models.blocks import Ragged
from musicrec.models.significant import significant
from musicrec.ranking import topn_kernels
from musicrec.ranking.catalogue import Metric, arrange
from musicrec.ranking.engine import Block, Engine, no_lists

Pairs = list[tuple[int, float]]


@dataclass(frozen=True)
class Problem:
    users: np.ndarray
    ids: np.ndarray
    vectors: np.ndarray
    bias: np.ndarray
    artists: np.ndarray
    heard: list[list[int]]
    artists_out: list[list[int]]
    metric: Metric
    again: bool
    cap: int
    n: int
    tile: int


def ragged(lists: list[list[int]]) -> Ragged:
    starts = np.cumsum([0] + [len(one) for one in lists]).astype(np.int64)
    return Ragged(np.array([i for one in lists for i in one], dtype=np.int32), starts)


def lists_of(engine: Engine, block: Block) -> list[Pairs]:
    items, scores = engine.best(block)
    return [list(zip(items[u].tolist(), scores[u].tolist(), strict=True)) for u in range(len(items))]


def found(p: Problem) -> list[Pairs]:
    catalogue = arrange(p.ids, p.vectors, p.bias, p.artists, p.metric, 1.0)
    heard, out = ragged(p.heard), ragged(p.artists_out)
    block = Block(p.users, no_lists(len(p.users)), out, heard) if p.again else Block(p.users, heard, out)
    return lists_of(Engine(catalogue, p.metric, p.n, p.cap, p.tile), block)


def nine_digits(score: float) -> float:
    """To 30 significant bits, by exact fractions."""
    fraction, exponent = math.frexp(score)
    return float(round(Fraction(fraction) * 2**30) * Fraction(2) ** (exponent - 30))


def brute_force(p: Problem) -> list[Pairs]:
    made = []
    for user, heard, out in zip(p.users.tolist(), p.heard, p.artists_out, strict=True):
        scored = []
        for item, vector, bias, artist in zip(
            p.ids.tolist(), p.vectors.tolist(), p.bias.tolist(), p.artists.tolist(), strict=True
        ):
            if (item in heard) != p.again or artist in out:
                continue
            score = math.fsum(a * b for a, b in zip(user, vector, strict=True))
            if p.metric == "cosine":
                size = math.hypot(*user) * math.hypot(*vector)
                score = score / size if size else 0.0
            scored.append((item, nine_digits(score + bias), artist))
        kept: Pairs = []
        taken: dict[int, int] = {}
        for item, score, artist in sorted(scored, key=lambda one: (-one[1], one[0])):
            if p.cap and artist >= 0 and taken.get(artist, 0) >= p.cap:
                continue
            taken[artist] = taken.get(artist, 0) + 1
            kept.append((item, score))
        made.append(kept[: p.n])
    return made


GRID = st.sampled_from([-1.0, 0.0, 0.5, 1.0])
WIDE = st.floats(-1e3, 1e3, width=32, allow_subnormal=False)


@st.composite
def problems(draw: st.DrawFn, values: st.SearchStrategy[float], metrics: tuple[Metric, ...]) -> Problem:
    n_users, n_items, d = draw(st.integers(1, 5)), draw(st.integers(0, 40)), draw(st.integers(1, 6))

    def ints(most: int, size: int) -> list[list[int]]:
        return [sorted(draw(st.sets(st.integers(0, most), max_size=size))) for _ in range(n_users)]

    return Problem(
        users=draw(hnp.arrays(np.float32, (n_users, d), elements=values)),
        ids=np.array(draw(st.permutations(range(3 * n_items)))[:n_items], dtype=np.int32),
        vectors=draw(hnp.arrays(np.float32, (n_items, d), elements=values)),
        bias=draw(hnp.arrays(np.float32, n_items, elements=values)),
        artists=draw(hnp.arrays(np.int32, n_items, elements=st.integers(-1, 4))),
        heard=ints(3 * n_items, n_items),
        artists_out=ints(4, 2),
        metric=draw(st.sampled_from(metrics)),
        again=draw(st.booleans()),
        cap=draw(st.integers(0, 3)),
        n=draw(st.integers(1, 9)),
        tile=draw(st.integers(1, 50)),
    )


ALL_TIED = Problem(
    users=np.zeros((2, 2), np.float32),
    ids=np.arange(40, dtype=np.int32)[::-1].copy(),
    vectors=np.ones((40, 2), np.float32),
    bias=np.zeros(40, np.float32),
    artists=np.arange(40, dtype=np.int32) % 3,
    heard=[[0, 1], list(range(40))],
    artists_out=[[], [2]],
    metric="dot",
    again=False,
    cap=2,
    n=9,
    tile=7,
)


@settings(max_examples=300, deadline=None)
@given(problems(GRID, ("dot",)))
@example(ALL_TIED)
def test_lists_equal_brute_force_where_scores_are_exact(problem: Problem) -> None:
    assert found(problem) == brute_force(problem)


@settings(max_examples=200, deadline=None)
@given(problems(WIDE, ("dot", "cosine")))
def test_scores_equal_brute_force_at_any_scale(problem: Problem) -> None:
    for mine, wanted in zip(found(problem), brute_force(problem), strict=True):
        # Sums of other orders may round apart in the last bit, or where nearly nothing is left of large terms.
        np.testing.assert_allclose([s for _, s in mine], [s for _, s in wanted], atol=1e-8, rtol=2.0**-29)
        assert len({i for i, _ in mine}) == len(mine)


def random_problem(
    items: int, users: int, d: int, *, metric: Metric, bias: float, again: bool = False, cap: int = 0, n: int = 50
) -> Problem:
    rng = np.random.default_rng(3)
    spread = rng.lognormal(0, 1.5, (items, 1))
    return Problem(
        users=rng.standard_normal((users, d)).astype(np.float32),
        ids=rng.permutation(2 * items)[:items].astype(np.int32),
        vectors=(rng.standard_normal((items, d)) * spread).astype(np.float32),
        bias=(rng.standard_normal(items) * bias).astype(np.float32),
        artists=rng.integers(-1, items // 20, items).astype(np.int32),
        heard=[sorted(rng.choice(2 * items, 60, replace=False).tolist()) for _ in range(users)],
        artists_out=[[0, 1] if cap else [] for _ in range(users)],
        metric=metric,
        again=again,
        cap=cap,
        n=n,
        tile=256 if cap else 1024,
    )


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize(("bias", "cap", "n"), [(0.0, 0, 50), (3.0, 0, 50), (1.0, 1, 50), (0.0, 2, 1000)])
def test_lists_equal_brute_force_on_many_items(metric: Metric, bias: float, cap: int, n: int) -> None:
    problem = random_problem(3000, 12, 24, metric=metric, bias=bias, cap=cap, n=n)
    assert found(problem) == brute_force(problem)


def test_float32_noise_decides_nothing() -> None:
    """Scores nearer to each other than float32's error: the rough order is wrong, the list is not."""
    rng = np.random.default_rng(1)
    user = (rng.standard_normal(64) * 100).astype(np.float32)
    vectors = (rng.standard_normal((2000, 64)) * 100).astype(np.float32)
    # The first coordinate brings every score to about the same number.
    vectors[:, 0] = -(vectors[:, 1:].astype(np.float64) @ user[1:].astype(np.float64)) / float(user[0])
    ids, none = np.arange(2000, dtype=np.int32), np.zeros(2000, np.float32)
    exact = significant(vectors.astype(np.float64) @ user.astype(np.float64))
    best = np.lexsort((ids, -exact))[:10].tolist()
    rough = np.argsort(-(vectors @ user), kind="stable")[:10].tolist()
    assert sorted(best) != sorted(rough)
    catalogue = arrange(ids, vectors, none, np.full(2000, -1, np.int32), "dot", 1.0)
    for tile in (7, 64, 2000):
        made = lists_of(Engine(catalogue, "dot", 10, 0, tile), Block(user[None, :], no_lists(1), no_lists(1)))
        assert [i for i, _ in made[0]] == best


def test_a_product_beyond_float32_is_still_ranked() -> None:
    """1e30 × 1e30 overflows to ∞ and ∞ − ∞ to NaN in float32; the float64 scores decide."""
    users = np.array([[1e30, 1e30]], np.float32)
    vectors = np.array([[1e30, -1e30], [2.0, 1.0], [1e30, 1e20], [1.0, 1.0]], np.float32)
    catalogue = arrange(np.arange(4), vectors, np.zeros(4), np.full(4, -1), "dot", 1.0)
    made = lists_of(Engine(catalogue, "dot", 2, 0, 2), Block(users, no_lists(1), no_lists(1)))
    assert [i for i, _ in made[0]] == [2, 1]


def test_low_items_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where few items are long, the tiles of the others are never multiplied."""
    vectors = np.full((4096, 2), 1e-4, np.float32)
    vectors[:100] = 1 + np.arange(200, dtype=np.float32).reshape(100, 2) / 200
    catalogue = arrange(np.arange(4096), vectors, np.zeros(4096), np.full(4096, -1), "dot", 1.0)
    seen: list[int] = []
    scan = topn_kernels.scan_tile
    monkeypatch.setattr(
        topn_kernels, "scan_tile", lambda rough, *rest: (seen.append(rough.shape[1]), scan(rough, *rest))
    )
    lists_of(Engine(catalogue, "dot", 20, 0, 256), Block(np.ones((3, 2), np.float32), no_lists(3), no_lists(3)))
    assert seen == [256]


# Both sides' vectors, and what that does to a bias.
SCALES = (2.0**-40, 2.0**-13, 2.0**13, 2.0**40)
DECADES = (1e-12, 1e-4, 1e4, 1e12)
# What is still a normal float32 after that.
NOT_TINY = WIDE.map(lambda value: value if abs(value) > 1e-9 else 0.0)


def at_scale(problem: Problem, of_users: float, of_items: float) -> Problem:
    """The same problem where every score is of_users × of_items times as large."""
    size = 1.0 if problem.metric == "cosine" else of_users * of_items
    return replace(
        problem,
        users=(problem.users * of_users).astype(np.float32),
        vectors=(problem.vectors * of_items).astype(np.float32),
        bias=(problem.bias * size).astype(np.float32),
    )


@settings(max_examples=150, deadline=None)
@given(problems(st.one_of(GRID, NOT_TINY), ("dot", "cosine")), st.sampled_from(SCALES), st.sampled_from(SCALES))
@example(ALL_TIED, 2.0**-40, 2.0**-40)
def test_lists_are_the_same_at_any_scale(problem: Problem, of_users: float, of_items: float) -> None:
    """Powers of two change no bit: the scores are those of the plain vectors times the scale, ties included."""
    size = 1.0 if problem.metric == "cosine" else of_users * of_items
    wanted = [[(item, score * size) for item, score in own] for own in found(problem)]
    assert found(replace(at_scale(problem, of_users, of_items), tile=11)) == wanted


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize("of_users", DECADES)
@pytest.mark.parametrize("of_items", DECADES)
def test_lists_are_the_same_in_any_unit(metric: Metric, of_users: float, of_items: float) -> None:
    problem = random_problem(3000, 12, 24, metric=metric, bias=1.0, n=50)
    lists = [[item for item, _ in own] for own in found(problem)]
    assert all(len(set(own)) == 50 for own in lists)
    scaled = found(at_scale(problem, of_users, of_items))
    assert [[item for item, _ in own] for own in scaled] == lists
    assert all(score != 0.0 for own in scaled for _, score in own)


def test_products_below_float32_are_still_ranked() -> None:
    """Vectors of 1e-30 have products of 1e-60, which are 0 in float32; the float64 scores decide."""
    problem = random_problem(300, 5, 8, metric="dot", bias=0.0, n=20)
    lists = [[item for item, _ in own] for own in found(problem)]
    assert [[item for item, _ in own] for own in found(at_scale(problem, 1e-30, 1e-30))] == lists


def test_an_item_beyond_all_others_hides_none() -> None:
    """One vector 1e30 times as long as the others takes no digit from their scores."""
    problem = random_problem(300, 5, 8, metric="dot", bias=0.0, n=300)
    lists = found(problem)
    vectors = problem.vectors.copy()
    vectors[17] *= np.float32(1e30)
    long = found(replace(problem, vectors=vectors))
    hidden = int(problem.ids[17])
    assert [[pair for pair in own if pair[0] != hidden] for own in long] == [
        [pair for pair in own if pair[0] != hidden] for own in lists
    ]


@given(st.lists(st.floats(-1e100, 1e100, allow_subnormal=False), max_size=20), st.integers(-300, 300))
def test_thirty_significant_bits_at_any_scale(scores: list[float], power: int) -> None:
    values = np.array([score for score in scores if score == 0 or abs(score) > 1e-200])
    rounded = significant(values)
    assert rounded.tolist() == pytest.approx([nine_digits(value) for value in values], rel=2.0**-29, abs=0)
    assert significant(rounded).tolist() == rounded.tolist()
    assert significant(values * 2.0**power).tolist() == (rounded * 2.0**power).tolist()
    order = np.argsort(values, kind="stable")
    assert (np.diff(rounded[order]) >= 0).all()
