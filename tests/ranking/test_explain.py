from __future__ import annotations

import math
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from musicrec.evaluation.baselines import popularity
from musicrec.ranking.explain import explain_again, explain_discover
from musicrec.transforms.interactions import heard_items

ARTISTS = ["Boston", "Foghat", "Rush", "Yes", None, ""]
N_ITEMS, N_USERS = 40, 8
FALLBACK = r"(popular: played by (\d+) listeners?|new: no listener has played it yet)"


@pytest.fixture(scope="module")
def world() -> dict:
    """Random plays and vectors; the last listener is new, the last two items have no plays, item 5 has no vector."""
    rng = np.random.default_rng(8)
    artist = [ARTISTS[i % len(ARTISTS)] for i in range(N_ITEMS)]
    vectors = {i: rng.integers(-2, 3, 3).astype(float) for i in range(N_ITEMS) if i != 5}
    plays = {
        u: {int(i): int(rng.integers(1, 20)) for i in rng.choice(N_ITEMS - 2, 9, replace=False)}
        for u in range(N_USERS - 1)
    }
    offers = []
    for u in range(N_USERS):
        unheard = [i for i in range(N_ITEMS) if i not in plays.get(u, {})]
        offers += [(u, r + 1, unheard[-1 - r], r >= 10, 1.0 / (r + 1)) for r in range(12)]
    return {"artist": artist, "vectors": vectors, "plays": plays, "offers": offers}


def frames(spark: SparkSession, world: dict) -> tuple[DataFrame, ...]:
    """Lists, what was heard, item vectors, titles, popularity."""
    at = datetime(2014, 6, 20, 23, 30, tzinfo=UTC)
    pairs = [(u, i, n, at) for u, own in world["plays"].items() for i, n in own.items()]
    interactions = spark.createDataFrame(pairs, "user_idx int, item_idx int, plays long, last_listened_at timestamp")
    lists: dict[int, tuple[list, list, list]] = {}
    for user, _, item, filled, score in world["offers"]:
        for column, value in zip(lists.setdefault(user, ([], [], [])), (item, score, filled), strict=True):
            column.append(value)
    return (
        spark.createDataFrame(
            [(user, *columns) for user, columns in lists.items()],
            "user_idx int, items array<int>, scores array<double>, filled array<boolean>",
        ),
        heard_items(interactions),
        spark.createDataFrame(
            [(i, v.tolist(), 0.0) for i, v in world["vectors"].items()],
            "item_idx int, vector array<float>, bias float",
        ),
        spark.createDataFrame(
            [(i, f"Song {i}", a) for i, a in enumerate(world["artist"])], "item_idx int, title string, artist string"
        ),
        popularity(interactions),
    )


Reasoned = tuple[int, int, int, bool, float, str]


def in_rows(explained: DataFrame) -> list[Reasoned]:
    """(user_idx, rank, item_idx, filled, score, reason) of every place of every list."""
    return [
        (row.user_idx, place + 1, item, row.filled[place], row.scores[place], row.reasons[place])
        for row in explained.collect()
        for place, item in enumerate(row["items"])
    ]


def cosine_of(v: np.ndarray, w: np.ndarray) -> float:
    """0 where a vector is zero."""
    return float(v @ w) / math.sqrt(float(v @ v) * float(w @ w)) if v.any() and w.any() else 0.0


def expected_reason(world: dict, user: int, item: int, filled: bool) -> str:
    count = sum(item in own for own in world["plays"].values())
    popular = f"popular: played by {count} listener{'' if count == 1 else 's'}"
    popular = popular if count else "new: no listener has played it yet"
    if filled:
        return popular + "; your plays gave too few personal picks"
    own = {
        heard: plays
        for heard, plays in world["plays"].get(user, {}).items()
        if world["artist"][heard] and heard in world["vectors"]
    }
    centre = sum(world["vectors"].values()) / len(world["vectors"])
    if item not in world["vectors"] or not own:
        return popular
    v = world["vectors"][item] - centre
    cosine = {heard: cosine_of(v, world["vectors"][heard] - centre) for heard in own}
    usual = max(sum(cosine.values()) / len(own), 0.0)
    voices: dict[str, float] = {}
    weight: dict[str, float] = {}
    for heard, plays in own.items():
        artist = world["artist"][heard]
        voices[artist] = voices.get(artist, 0.0) + max(cosine[heard] - usual, 0) * math.log(1 + plays)
        weight[artist] = weight.get(artist, 0.0) + math.log(1 + plays)
    voices = {artist: voice / (weight[artist] + sum(weight.values()) / len(weight)) for artist, voice in voices.items()}
    named = sorted((a for a in voices if voices[a] > 1e-6), key=lambda a: (-round(voices[a], 5), a))[:2]
    if not named:
        return popular
    if named[0] == world["artist"][item]:
        return f"more of {named[0]}, which you play"
    return "because you play " + " and ".join(named)


@pytest.fixture(scope="module")
def discovered(spark: SparkSession, world: dict) -> list[Reasoned]:
    return in_rows(explain_discover(*frames(spark, world)))


def test_reasons_equal_the_formula(world: dict, discovered: list[Reasoned]) -> None:
    found = {row[:5]: row[5] for row in discovered}
    assert found == {offer: expected_reason(world, offer[0], offer[2], offer[3]) for offer in world["offers"]}
    kinds = {re.sub(r"\d+|Boston|Foghat|Rush|Yes", "*", reason) for reason in found.values()}
    assert {"because you play * and *", "more of *, which you play", "popular: played by * listeners"} <= kinds


def test_every_sentence_is_true(world: dict, discovered: list[Reasoned]) -> None:
    for user, _, item, filled, _, reason in discovered:
        own = world["plays"].get(user, {})
        heard_artists = {world["artist"][i] for i in own}
        if match := re.fullmatch(r"because you play (.+?)(?: and (.+))?", reason):
            assert {name for name in match.groups() if name} <= heard_artists
        elif match := re.fullmatch(r"more of (.+), which you play", reason):
            assert match[1] in heard_artists
            assert match[1] == world["artist"][item]
        else:
            match = re.fullmatch(FALLBACK + "(; your plays gave too few personal picks)?", reason)
            assert match, reason
            assert int(match[2] or 0) == sum(item in plays for plays in world["plays"].values())
            assert filled == bool(match[3])


def test_other_partitions_change_nothing(spark: SparkSession, world: dict, discovered: list[Reasoned]) -> None:
    lists, heard, vectors, titles, known = frames(spark, world)
    again = explain_discover(lists.repartition(3, "scores"), heard.repartition(5), vectors, titles, known)
    assert sorted(in_rows(again)) == sorted(discovered)


def test_again_tells_counts_and_days(spark: SparkSession) -> None:
    at = datetime(2014, 6, 20, 23, 30, tzinfo=UTC)
    pairs = [(1, 10, 12, at), (1, 11, 1, at), (2, 10, 3, None), (2, 12, 1000, at)]
    interactions = spark.createDataFrame(pairs, "user_idx int, item_idx int, plays long, last_listened_at timestamp")
    lists = spark.createDataFrame(
        [
            (1, [10, 11, 12], [0.0] * 3, [False] * 3),
            (2, [10, 12], [0.0] * 2, [False] * 2),
            (3, [12, 9], [0.0] * 2, [False] * 2),
        ],
        "user_idx int, items array<int>, scores array<double>, filled array<boolean>",
    )
    rows = in_rows(explain_again(lists, heard_items(interactions), popularity(interactions)))
    assert sorted((user, rank, item, reason) for user, rank, item, _, _, reason in rows) == [
        (1, 1, 10, "you played it 12 times, last on 2014-06-20"),
        (1, 2, 11, "you played it once, on 2014-06-20"),
        (1, 3, 12, "popular: played by 1 listener"),
        (2, 1, 10, "you played it 3 times"),
        (2, 2, 12, "you played it 1000 times, last on 2014-06-20"),
        (3, 1, 12, "popular: played by 1 listener"),
        (3, 2, 9, "new: no listener has played it yet"),
    ]
