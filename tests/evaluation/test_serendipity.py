from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from musicrec.evaluation.serendipity import serendipity
from musicrec.models.blocks import Ragged

item_lists = st.lists(st.integers(0, 9), unique=True, max_size=8)


def ragged(lists: list[list[int]]) -> Ragged:
    return Ragged(
        np.array([item for own in lists for item in own], np.int32), np.cumsum([0, *map(len, lists)]).astype(np.int64)
    )


@given(st.lists(st.tuples(item_lists, item_lists, item_lists), min_size=1, max_size=4), st.integers(1, 9))
def test_a_serendipitous_hit_is_one_that_the_popular_lacks(
    listeners: list[tuple[list[int], list[int], list[int]]], k: int
) -> None:
    found = serendipity(*(ragged([one[c] for one in listeners]) for c in range(3)), k)
    for (own, relevant, popular), value in zip(listeners, found, strict=True):
        assert value == sum(item in relevant and item not in popular[:k] for item in own[:k]) / k
