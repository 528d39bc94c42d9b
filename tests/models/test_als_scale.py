"""ALS's settings mean the same whatever the weights' unit and however many items, listeners and tasks there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from musicrec.models.als.alone import Vectors, fit_alone
from musicrec.models.als.block import alternate, first_items
from musicrec.models.als.params import AlsParams
from musicrec.models.als.rows import make_block
from musicrec.models.als.scale import Scale
from musicrec.models.collective import Collective
from tests.rings import together

Pairs = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
PARAMS = AlsParams(rank=8, iterations=10)
TASTES, OWN, LISTENERS = 6, 30, 240


def listening(seed: int = 5) -> tuple[Pairs, NDArray[np.bool_]]:
    """Listeners of six tastes with thirty items each play some of theirs, some of any; and which they would like."""
    rng = np.random.default_rng(seed)
    taste, of_item = np.arange(LISTENERS) % TASTES, np.arange(TASTES * OWN) % TASTES
    likes = taste[:, None] == of_item[None, :]
    chance = np.where(likes, 0.4, 0.02)
    user, item = np.nonzero(rng.random(chance.shape) < chance)
    weights = np.log1p(rng.integers(1, 9, len(user))).astype(np.float32)
    return (user.astype(np.int32), item.astype(np.int32), weights), likes


def with_tail(pairs: Pairs, times: int, seed: int = 6) -> Pairs:
    """As many more items as the catalogue has, times over, each played by one listener or two."""
    users, items, weights = pairs
    rng = np.random.default_rng(seed)
    more = np.repeat(np.arange(TASTES * OWN, TASTES * OWN * (times + 1)), 2)
    cells = np.unique(rng.integers(0, LISTENERS, len(more)) << 32 | more)
    added = (cells >> 32).astype(np.int32), (cells & (2**32 - 1)).astype(np.int32), np.ones(len(cells), np.float32)
    return tuple(np.concatenate(both) for both in zip((users, items, weights), added, strict=True))  # type: ignore[return-value]


def share_found(model: Vectors, pairs: Pairs, likes: NDArray[np.bool_]) -> float:
    """Of each listener's best ten of the catalogue that they have not played, how many they would like."""
    known = np.isin(model.item_idx, np.arange(likes.shape[1]))
    scores = np.full(likes.shape, -np.inf)
    scores[model.user_idx[:, None], model.item_idx[known]] = model.users @ model.items[known].T
    users, items, _ = pairs
    inside = items < likes.shape[1]
    scores[users[inside], items[inside]] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return float(np.take_along_axis(likes, best, axis=1).mean())


@pytest.mark.parametrize("factor", [2.0**-30, 2.0**12])
def test_weights_that_are_all_as_many_times_as_large_change_no_bit(factor: float) -> None:
    (users, items, weights), _ = listening()
    one = fit_alone(users, items, weights, PARAMS, 3)
    other = fit_alone(users, items, weights * np.float32(factor), PARAMS, 3)
    np.testing.assert_array_equal(other.users, one.users)
    np.testing.assert_array_equal(other.items, one.items)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_the_unit_of_the_weights_changes_nothing_that_counts(factor: float) -> None:
    (users, items, weights), _ = listening()
    one = fit_alone(users, items, weights, PARAMS, 3)
    other = fit_alone(users, items, weights * np.float32(factor), PARAMS, 3)
    np.testing.assert_allclose(other.users @ other.items.T, one.users @ one.items.T, atol=2e-4)


def test_items_that_no_one_has_played_change_nothing() -> None:
    """Items up to 179 are played; the first are always the same, since an item's first vector is its own."""
    (users, items, weights), _ = listening()
    few = items < 100
    one = fit_alone(users[few], items[few], weights[few], PARAMS, 3)
    last = np.flatnonzero(few)[-1]
    moved = items[few].copy()
    moved[moved == items[last]] = 50_000  # all between are there, but no one has played them
    other = fit_alone(users[few], moved, weights[few], PARAMS, 3)
    scale = Scale.of(Collective(0, 1, None), weights[few], np.bincount(items[few]), LISTENERS)
    assert scale == Scale.of(Collective(0, 1, None), weights[few], np.bincount(moved), LISTENERS)
    stays = one.item_idx != items[last]
    # Another beginning of that one item leads to another, equally good end.
    left, right = one.users @ one.items[stays].T, other.users @ other.items[other.item_idx != 50_000].T
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("times", [10, 100])
def test_a_catalogue_that_grows_by_what_hardly_anyone_plays_keeps_its_lists(times: int) -> None:
    pairs, likes = listening()
    before = share_found(fit_alone(*pairs, PARAMS, 3), pairs, likes)
    grown = with_tail(pairs, times)
    after = share_found(fit_alone(*grown, PARAMS, 3), grown, likes)
    assert before > 0.95
    assert after > 0.97 * before


def test_what_is_unobserved_counts_by_what_listeners_have_in_common() -> None:
    """Four listeners; three items have two of them, one has three, one has one: by hand."""
    counts = np.array([2, 2, 2, 1, 0, 3])
    scale = Scale.of(Collective(0, 1, None), np.full(10, 3.0, np.float32), counts, 4)
    assert scale.mean_weight == 3.0
    assert scale.shared_items == pytest.approx((2 + 2 + 2 + 0 + 6) / (4 * 3))
    assert scale.heard_items == 10 / 4
    compared = 2.5 * 1.0
    params = AlsParams(unobserved=0.8, regularization=0.5, regularization_exponent=0.25)
    alpha = 0.8 * compared / (compared + 50)
    assert params.unobserved_weight(scale) == pytest.approx(alpha)
    np.testing.assert_allclose(params.penalties(np.array([1, 16]), scale), 0.5 * alpha**0.75 * np.array([1, 2]), 1e-6)


def test_more_listeners_of_the_same_habits_leave_the_scale_as_it_is() -> None:
    (_, items, weights), _ = listening()
    twice = np.bincount(np.concatenate([items, items]))
    one = Scale.of(Collective(0, 1, None), weights, np.bincount(items), LISTENERS)
    two = Scale.of(Collective(0, 1, None), np.concatenate([weights, weights]), twice, 2 * LISTENERS)
    assert PARAMS.unobserved_weight(two) == pytest.approx(PARAMS.unobserved_weight(one), rel=0.02)


def test_listeners_with_nothing_in_common_still_have_a_model() -> None:
    """Two of them, and one by themselves: α₀ is small but not 0, and every vector is a number."""
    for users in ([0, 0, 1, 1], [0, 0, 0, 0]):
        pairs = np.array(users, np.int32), np.arange(4, dtype=np.int32), np.ones(4, np.float32)
        model = fit_alone(*pairs, AlsParams(rank=2), 1)
        assert np.isfinite(model.users).all()
        scores = model.users @ model.items.T
        assert (scores[model.user_idx.searchsorted(pairs[0]), np.arange(4)] > 0.05).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(2.0**-60, 2.0**60, width=32), min_size=1, max_size=60), st.randoms())
def test_the_mean_weight_has_the_same_bits_in_any_order(values: list[float], chance: object) -> None:
    weights = np.array(values, np.float32)
    mixed = weights.copy()
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    counts = np.array([len(values)])
    one, other = (Scale.of(Collective(0, 1, None), own, counts, len(values)) for own in (weights, mixed))
    assert one == other
    assert one.mean_weight == pytest.approx(weights.astype(np.float64).mean(), rel=1e-9)


@pytest.mark.parametrize("tasks", [2, 3])
def test_scale_and_vectors_have_the_same_bits_in_any_number_of_tasks(tasks: int) -> None:
    (users, items, weights), _ = listening()
    one = fit_alone(users, items, weights, PARAMS, 3)

    def fit(ring: Collective) -> tuple[Scale, NDArray[np.float32], NDArray[np.float32]]:
        own = users // 64 % tasks == ring.rank
        block = make_block(ring, users[own], items[own], weights[own], int(items.max()) + 1)
        start = first_items(block, PARAMS.rank, 3)
        found = alternate(ring, block, PARAMS, start, PARAMS.iterations, False, lambda _: None)
        return block.scale, found.users, found.items

    found = together(tasks, fit)
    whole = make_block(Collective(0, 1, None), users, items, weights, int(items.max()) + 1)
    assert {scale for scale, _, _ in found} == {whole.scale}
    for _, _, vectors in found:
        np.testing.assert_array_equal(vectors[one.item_idx], one.items)
    for number, (_, vectors, _) in enumerate(found):
        np.testing.assert_array_equal(vectors, one.users[one.user_idx // 64 % tasks == number])


def test_the_scale_is_kept_among_a_models_figures() -> None:
    scale = Scale(0.7, 1.25, 31.0)
    assert Scale.read({**scale.figures, "loss": 3.0}) == scale
    assert Scale.read({"loss": 3.0}) is None
