from __future__ import annotations

import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.models import links
from musicrec.models.collective import Collective, even_bounds
from musicrec.models.links import _call
from tests.rings import together


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 23), st.sampled_from([np.add, np.maximum]))
def test_every_task_gets_the_whole(size: int, length: int, combine: Any) -> None:
    arrays = np.random.default_rng(length).standard_normal((size, length, 3))
    wanted = combine.reduce(arrays)
    for found in together(size, lambda member: member.reduce(arrays[member.rank].copy(), combine)):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(0, 23))
def test_slices_are_reduced_to_their_owners_and_gathered_again(size: int, rows: int) -> None:
    arrays = np.random.default_rng(rows).integers(0, 99, (size, rows, 2)).astype(np.float64)
    bounds = even_bounds(rows, size)

    def act(member: Collective) -> np.ndarray:
        own = member.reduce_rows(arrays[member.rank].copy(), bounds)
        np.testing.assert_array_equal(own, arrays.sum(axis=0)[bounds[member.rank] : bounds[member.rank + 1]])
        whole = np.full((rows, 2), np.nan)
        whole[bounds[member.rank] : bounds[member.rank + 1]] = own
        member.gather_rows(whole, bounds)
        return whole

    for found in together(size, act):
        np.testing.assert_array_equal(found, arrays.sum(axis=0))


def test_arrays_larger_than_any_buffer_pass_both_ways_at_once() -> None:
    big = np.ones(3_000_000)
    for found in together(2, lambda member: member.reduce(big * (member.rank + 1))):
        assert found.min() == found.max() == 3.0


def test_a_task_that_goes_away_is_an_error_not_a_wait() -> None:
    def act(member: Collective) -> None:
        if member.rank == 1:
            member.close()
            return
        with pytest.raises(OSError, match=r"gone away|Broken pipe|reset"):
            member.reduce(np.ones(8))

    together(2, act)


@dataclass
class StageOfThreads:
    """What a task is told of its barrier stage where each task is a thread of this process."""

    rank: int
    size: int

    def partitionId(self) -> int:
        return self.rank

    def getTaskInfos(self) -> list[None]:
        return [None] * self.size


@pytest.mark.parametrize("size", [1, 2, 5])
def test_tasks_of_one_machine_meet_by_a_secret(size: int) -> None:
    secret = secrets.token_hex(16)

    def act(rank: int) -> Any:
        time.sleep(0.02 * (size - rank))  # the later ones come first, and call those who do not listen yet
        with Collective.join(StageOfThreads(rank, size), secret) as member:
            return member.reduce(np.array([10.0**rank]))[0]

    with ThreadPoolExecutor(size) as pool:
        assert set(pool.map(act, range(size))) == {float("1" * size)}


def test_a_stranger_who_knows_the_name_only_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def call(name: bytes) -> socket.socket:
        stranger = _call(name)
        stranger.sendall(b"x" * 32)
        called.append(stranger)
        return _call(name)

    monkeypatch.setattr(links, "_call", call)
    with ThreadPoolExecutor(2) as pool:
        joined = pool.map(lambda rank: Collective.join(StageOfThreads(rank, 2), "a secret"), range(2))
        found = list(pool.map(lambda member: member.reduce(np.array([member.rank + 1.0]))[0], list(joined)))
    assert found == [3.0, 3.0]
    assert [stranger.recv(1) for stranger in called] == [b"", b""]
