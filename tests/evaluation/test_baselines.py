"""The baselines against plain Python that scores everything and sorts it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from pyspark.sql import DataFrame, SparkSession

from musicrec.evaluation.baselines import artist_popular_lists, own_top_lists, popular_lists, popularity
from musicrec.evaluation.splits import Shelf
from musicrec.transforms.interactions import heard_items

START = datetime(2014, 6, 20, tzinfo=UTC)
USERS, ITEMS, NEW_USER = range(25), range(40), 77
SHELVES: tuple[Shelf, ...] = ("discover", "again")


class Pair(NamedTuple):
    user: int
    item: int
    plays: int
    last: datetime


class World:
    """Random plays with many ties; items without an artist; a listener who has heard nothing."""

    def __init__(self, spark: SparkSession, seed: int) -> None:
        rng = random.Random(seed)
        self.pairs = [
            Pair(user, item, rng.randint(1, 3), START + timedelta(hours=rng.randint(0, 2)))
            for user in USERS
            for item in rng.sample(ITEMS[:36], rng.randint(1, 12))
        ]
        self.artist_of = {item: item % 7 for item in ITEMS if item % 9}
        self.heard_of: dict[int, list[int]] = defaultdict(list)
        for pair in self.pairs:
            self.heard_of[pair.user].append(pair.item)
        # A listener may have heard what no training play tells of: a blocked item, an item of no interaction.
        self.heard_of[0] = [*self.heard_of[0], 38]
        self.interactions = spark.createDataFrame(
            self.pairs, "user_idx int, item_idx int, plays long, last_listened_at timestamp"
        ).repartition(3)
        self.heard = spark.createDataFrame(list(self.heard_of.items()), "user_idx int, heard array<int>")
        self.users = spark.createDataFrame([(user,) for user in [*USERS, NEW_USER]], "user_idx int")
        rows = [(item, self.artist_of.get(item)) for item in ITEMS]
        self.items = spark.createDataFrame(rows, "item_idx int, artist_idx int")
        self.listeners = Counter(pair.item for pair in self.pairs)
        self.plays: Counter[int] = Counter()
        for pair in self.pairs:
            self.plays[pair.item] += pair.plays

    def may_get(self, user: int, item: int, shelf: Shelf) -> bool:
        return item in self.listeners and (item in self.heard_of.get(user, [])) == (shelf == "again")


@pytest.fixture(scope="module")
def world(spark: SparkSession) -> World:
    return World(spark, 11)


def collected(lists: DataFrame) -> dict[int, tuple[list[int], list[float]]]:
    rows = lists.collect()
    found = {row["user_idx"]: (row["items"], row["scores"]) for row in rows}
    assert len(found) == len(rows)
    assert lists.schema.simpleString() == "struct<user_idx:int,items:array<int>,scores:array<double>>"
    return found


@pytest.mark.parametrize("shelf", SHELVES)
@pytest.mark.parametrize("n", [4, 100])
def test_popular_is_by_listeners_then_plays_then_item(world: World, shelf: Shelf, n: int) -> None:
    found = collected(popular_lists(popularity(world.interactions), world.users, world.heard, n, shelf))
    assert set(found) == {*USERS, NEW_USER}
    for user, (items, scores) in found.items():
        allowed = [item for item in ITEMS if world.may_get(user, item, shelf)]
        expected = sorted(allowed, key=lambda item: (-world.listeners[item], -world.plays[item], item))[:n]
        assert items == expected
        total = sum(world.plays.values())
        assert scores == pytest.approx([world.listeners[i] + world.plays[i] / (total + 1) for i in expected])


def test_own_top_is_by_plays_then_latest_then_item(world: World) -> None:
    heard = heard_items(world.interactions)
    found = collected(own_top_lists(heard, 5))
    for user in USERS:
        own = [pair for pair in world.pairs if pair.user == user]
        expected = sorted(own, key=lambda pair: (-pair.plays, START - pair.last, pair.item))[:5]
        assert found[user] == ([pair.item for pair in expected], [pair.plays for pair in expected])
    assert collected(own_top_lists(heard, 5, "discover")) == {user: ([], []) for user in USERS}


@pytest.mark.parametrize("shelf", SHELVES)
@pytest.mark.parametrize("n", [1, 4, 100])
def test_artist_popular_is_what_scoring_every_item_gives(world: World, shelf: Shelf, n: int) -> None:
    found = collected(
        artist_popular_lists(world.interactions, popularity(world.interactions), world.items, world.heard, n, shelf)
    )
    assert set(found) == set(world.heard_of)
    for user, (items, scores) in found.items():
        own = [pair for pair in world.pairs if pair.user == user]
        total = sum(pair.plays for pair in own)
        of_artist: Counter[int | None] = Counter()
        for pair in own:
            of_artist[world.artist_of.get(pair.item)] += pair.plays
        scored = []
        for item in ITEMS:
            artist = world.artist_of.get(item)
            if artist is not None and of_artist[artist] and world.may_get(user, item, shelf):
                scored.append((of_artist[artist] / total * (world.listeners[item] / len(USERS)), item))
        scored.sort(key=lambda pair: (-pair[0], -world.plays[pair[1]], pair[1]))
        assert items == [item for _, item in scored[:n]]
        assert scores == pytest.approx([score for score, _ in scored[:n]], abs=1e-15)


def test_nobody_played_anything(spark: SparkSession, world: World) -> None:
    nothing = world.interactions.limit(0)
    lists = popular_lists(popularity(nothing), world.users.limit(1), world.heard, 3, "discover")
    assert [items for items, _ in collected(lists).values()] == [[]]
