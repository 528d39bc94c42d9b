"""Models that cannot tell items apart are refused; data that cannot is not their fault."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from musicrec.errors import DegenerateModelError
from musicrec.evaluation.told_apart import Sample, check_told_apart, different_by_plays

RNG = np.random.default_rng(3)
LISTENERS, ITEMS = 50, 300


def check(users: np.ndarray, items: np.ndarray, plays: np.ndarray, bias: np.ndarray | None = None) -> None:
    """As a model of these vectors is looked at, of lists of 20, that learnt from plays [listeners × items]."""
    sample = Sample(users, items, np.zeros(len(items), np.float32) if bias is None else bias)
    rows, columns = np.arange(len(users)), np.arange(len(items))
    check_told_apart(
        "als",
        "als.rank = 4",
        sample.different_scores(),
        20,
        lambda: different_by_plays(csr_matrix(plays), rows, columns),
    )


def vectors(count: int, width: int = 4) -> np.ndarray:
    return RNG.standard_normal((count, width)).astype(np.float32)


PLAYS = np.where(RNG.random((LISTENERS, ITEMS)) < 0.1, RNG.integers(1, 9, (LISTENERS, ITEMS)), 0).astype(float)
THREE_KINDS = vectors(3)[np.arange(ITEMS) % 3]


@pytest.mark.parametrize(
    ("users", "items", "bias", "words"),
    [
        (np.zeros((LISTENERS, 4), np.float32), vectors(ITEMS), None, "1 different score for 20 places for 100 %"),
        (vectors(LISTENERS), np.zeros((ITEMS, 4), np.float32), None, "1 different score for 20"),
        (vectors(LISTENERS), np.ones((ITEMS, 4), np.float32), None, "1 different score for 20"),
        (vectors(LISTENERS), THREE_KINDS, None, "3 different scores for 20 places for 100 % of 50 listeners"),
        (vectors(LISTENERS), vectors(ITEMS) * np.float32(np.inf), None, "scores that are not finite"),
        (vectors(LISTENERS) * 1e-6, vectors(ITEMS) * 1e-6, np.full(ITEMS, 1e3, np.float32), "for 20 places"),
    ],
)
def test_scores_that_are_the_same_for_all_are_refused(
    users: np.ndarray, items: np.ndarray, bias: np.ndarray | None, words: str
) -> None:
    with pytest.raises(DegenerateModelError, match=words) as error:
        check(users, items, PLAYS, bias)
    assert str(error.value).startswith("model als: its scores cannot tell items apart: ")
    assert str(error.value).endswith("fitted with als.rank = 4")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("scale", [1e-15, 1e-4, 1.0, 1e15])
def test_the_scale_of_scores_is_nothing_to_refuse(scale: float) -> None:
    check(vectors(LISTENERS) * np.float32(scale), vectors(ITEMS) * np.float32(scale), PLAYS)


def test_one_direction_tells_items_apart() -> None:
    check(vectors(LISTENERS, 1), vectors(ITEMS, 1), PLAYS)


def test_some_listeners_of_whom_nothing_is_known_are_no_reason() -> None:
    users = vectors(LISTENERS)
    users[:25] = 0
    check(users, vectors(ITEMS), PLAYS)
    users[25] = 0
    with pytest.raises(DegenerateModelError, match="for 52 % of 50 listeners"):
        check(users, vectors(ITEMS), PLAYS)


def test_fewer_items_than_places_are_enough() -> None:
    for items in (1, 2, 5):
        plays = np.arange(1.0, 1.0 + items) * np.ones((LISTENERS, 1))
        check(vectors(LISTENERS), vectors(items), plays)
    check(np.zeros((LISTENERS, 4), np.float32), vectors(1), np.ones((LISTENERS, 1)))
    with pytest.raises(DegenerateModelError, match="1 different score for 5 places"):
        check(np.zeros((LISTENERS, 4), np.float32), vectors(5), np.arange(1.0, 6.0) * np.ones((LISTENERS, 1)))


def test_items_that_the_same_listeners_play_as_often_need_not_differ() -> None:
    plays = PLAYS[:, np.arange(ITEMS) % 3]
    check(vectors(LISTENERS), THREE_KINDS, plays)
    # Ten listeners who all play the same, once each.
    check(np.ones((10, 4), np.float32), np.ones((40, 4), np.float32), np.ones((10, 40)))
    # Two listeners with nothing in common: of the other's items nothing is known.
    apart = np.kron(np.eye(2), np.ones(40))
    check(np.eye(2, dtype=np.float32), np.repeat(np.eye(2, dtype=np.float32), 40, axis=0), apart)
    # The same two, but how often they play what would tell their own items apart.
    often = apart * np.arange(1, 81)
    with pytest.raises(DegenerateModelError, match="2 different scores for 20 places"):
        check(np.eye(2, dtype=np.float32), np.repeat(np.eye(2, dtype=np.float32), 40, axis=0), often)


def test_what_is_not_in_the_plays_tells_nothing() -> None:
    plays = csr_matrix(PLAYS)
    found = different_by_plays(plays, np.array([0, -1]), np.array([-1, 0, -1]))
    assert found.tolist() == [1 + (PLAYS[0] @ PLAYS.T @ PLAYS[:, 0] > 0), 1]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 30))
def test_plays_tell_items_apart_as_all_pairs_do(seed: int, listeners: int, items: int) -> None:
    rng = np.random.default_rng(seed)
    plays = np.where(rng.random((listeners, items)) < 0.3, rng.integers(1, 3, (listeners, items)), 0).astype(float)
    wanted = [len({float(score) for score in plays[u] @ plays.T @ plays}) for u in range(listeners)]
    assert different_by_plays(csr_matrix(plays), np.arange(listeners), np.arange(items)).tolist() == wanted


def test_two_items_may_happen_to_have_one_score() -> None:
    """Twelve items for twenty places: all of them differ by the plays, two do not by the model."""
    items, plays = vectors(12), np.arange(1.0, 13.0) * np.ones((LISTENERS, 1))
    items[1] = items[0]
    check(vectors(LISTENERS), items, plays)
    items[2:5] = items[0]
    with pytest.raises(DegenerateModelError, match="8 different scores for 11 places"):
        check(vectors(LISTENERS), items, plays)
