from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from musicrec.models.significant import significant
from musicrec.ranking.context import PARTS, ContextParams, context_lists, part_of_day

# Listener 0 plays artist 0 in the mornings and artist 1 in the evenings, listener 1 the other way round, listener 2
# only at night; everyone plays item 8 in the afternoon and item 9, by the same artist, at any time.
START = datetime(2021, 8, 2, tzinfo=UTC)
HOUR = {"night": 1, "morning": 7, "afternoon": 13, "evening": 19}
ARTIST_OF = {**dict.fromkeys((0, 1, 2, 3), 0), **dict.fromkeys((4, 5, 6, 7), 1), 8: 2, 9: 3, 10: None}


def plays() -> list[tuple[int, int, datetime]]:
    rows = []

    def play(user: int, item: int, part: str, times: int) -> None:
        for _ in range(times):
            rows.append((user, item, START + timedelta(days=len(rows) % 6, hours=HOUR[part], seconds=len(rows))))

    for user, (early, late) in enumerate([(0, 4), (4, 0)]):
        for place in range(2):
            play(user, early + place, "morning", 15)
            play(user, late + place, "evening", 15)
        play(user, 8, "afternoon", 20)
        for part in PARTS:
            play(user, 9, part, 3)
    play(2, 0, "night", 25)
    play(2, 4, "night", 25)
    return rows


def brute_force(
    rows: list[tuple[int, int, datetime]], user: int, listed: list[int], part: int, params: ContextParams
) -> list[int]:
    """By the definition, one play at a time."""
    kappa, parts = params.smoothing, range(len(PARTS))
    said = [(u, i, at.hour // 6) for u, i, at in rows]
    base = [sum(p == q for _, _, q in said) / len(said) for p in parts]

    def share(u: int, p: int) -> float:
        own = [q for v, _, q in said if v == u]
        return (own.count(p) + kappa * base[p]) / (len(own) + kappa)

    def ratio(chosen: list[tuple[int, int, int]], prior: float) -> float:
        observed = sum(q == part for _, _, q in chosen)
        return (observed + kappa * prior) / (sum(share(u, part) for u, _, _ in chosen) + kappa)

    def affinity(i: int) -> float:
        of_artist = [x for x in said if ARTIST_OF[i] is not None and ARTIST_OF[x[1]] == ARTIST_OF[i]]
        everyone = ratio([x for x in said if x[1] == i], ratio(of_artist, 1.0))
        return ratio([x for x in of_artist if x[0] == user], everyone)

    scores = [affinity(i) ** params.strength / (params.damping + r) for r, i in enumerate(listed, 1)]
    return [listed[r] for r in np.argsort(-significant(np.array(scores)), kind="stable")]


def test_lists_lean_to_what_is_played_at_that_time(spark: SparkSession) -> None:
    rows = plays()
    made_of = "user_idx int, item_idx int, listened_at timestamp"
    frame = spark.createDataFrame(rows, made_of)
    items = spark.createDataFrame(list(ARTIST_OF.items()), "item_idx int, artist_idx int")
    listed = [10, 6, 2, 7, 3, 8]
    lists = spark.createDataFrame([(u, listed) for u in range(3)], "user_idx int, items array<int>")
    params = ContextParams(damping=2)
    found = []
    for parts in (1, 3):
        made = context_lists(lists, frame.repartition(parts), items, params).collect()
        found.append({(row.user_idx, PARTS[row.part]): (row["items"], row.scores) for row in made})
    assert found[0] == found[1]
    lists_of = {key: value[0] for key, value in found[0].items()}
    # Only parts with enough plays; listener 2 has but one.
    assert set(lists_of) == {(u, part) for u in (0, 1) for part in ("morning", "afternoon", "evening")} | {(2, "night")}
    for (user, part), own in lists_of.items():
        assert own == brute_force(rows, user, listed, PARTS.index(part), params)
    for user, early in ((0, {2, 3}), (1, {6, 7})):
        morning, evening = lists_of[user, "morning"], lists_of[user, "evening"]
        late = {2, 3, 6, 7} - early
        assert max(map(morning.index, early)) < min(map(morning.index, late))
        assert max(map(evening.index, late)) < min(map(evening.index, early))
    assert lists_of[0, "afternoon"].index(8) < listed.index(8)
    assert all(scores == sorted(scores, reverse=True) for _, scores in found[0].values())
    unmoved = context_lists(lists, frame, items, ContextParams(strength=0)).collect()
    assert {tuple(row["items"]) for row in unmoved} == {tuple(listed)}


def test_the_clock_can_be_ahead_of_utc(spark: SparkSession) -> None:
    hours = [(START + timedelta(hours=h),) for h in (0, 5, 6, 11, 12, 17, 18, 23)]
    frame = spark.createDataFrame(hours, "at timestamp").coalesce(1)
    for ahead, expected in (
        (0.0, [0, 0, 1, 1, 2, 2, 3, 3]),
        (-6.0, [3, 3, 0, 0, 1, 1, 2, 2]),
        (1.5, [0, 1, 1, 2, 2, 3, 3, 0]),
    ):
        parts = frame.select("at", part_of_day("at", ahead).alias("part")).orderBy("at").select(F.col("part")).collect()
        assert [row.part for row in parts] == expected


def test_affinity_of_nothing_played_is_one() -> None:
    from musicrec.ranking.context import item_affinity

    none = np.zeros((0, len(PARTS)))
    artist_of, affinity = item_affinity(np.array([0, 2]), np.array([5, 5]), np.zeros(0, int), none, none, 10.0)
    assert artist_of.tolist() == [5, -1, 5]
    assert affinity.tolist() == np.ones((3, len(PARTS))).tolist()
