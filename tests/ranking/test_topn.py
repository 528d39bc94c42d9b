from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from musicrec.errors import InputError
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.significant import significant
from musicrec.ranking.filters import Filters
from musicrec.ranking.gather import gather, read_buckets
from musicrec.ranking.topn import top_n

Lists = dict[int, list[tuple[int, float]]]


def brute_force(
    users: np.ndarray, items: Mapping[int, tuple[np.ndarray, float]], heard: Sequence[set[int]], n: int, shelf: str
) -> list[list[tuple[int, float]]]:
    """Every score one by one, sorted in full."""
    lists = []
    for user, own in zip(users, heard, strict=True):
        pool = [i for i in items if (i in own) == (shelf == "again")]
        scored = []
        for i in pool:
            vector, bias = items[i]
            total = sum(float(a) * float(b) for a, b in zip(user, vector, strict=True)) + float(bias)
            scored.append((i, float(significant(np.array([total]))[0])))
        lists.append(sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:n])
    return lists


def model_of(spark: SparkSession, users: Mapping[int, list[float]], items: Mapping[int, tuple]) -> EmbeddingModel:
    user_rows = [(u, [float(x) for x in v]) for u, v in users.items()]
    item_rows = [(i, [float(x) for x in v], float(b)) for i, (v, b) in items.items()]
    return EmbeddingModel(
        "test",
        spark.createDataFrame(user_rows, "user_idx int, vector array<float>"),
        spark.createDataFrame(item_rows, "item_idx int, vector array<float>, bias float"),
    )


def heard_of(spark: SparkSession, heard: Mapping[int, list[int]]) -> DataFrame:
    return spark.createDataFrame(list(heard.items()), "user_idx int, heard array<int>")


def as_lists(df: DataFrame) -> Lists:
    return {row.user_idx: list(zip(row["items"], row.scores, strict=True)) for row in df.collect()}


def test_shelves_on_spark(spark: SparkSession) -> None:
    rng = np.random.default_rng(5)
    grid = np.array([-1.0, 0.0, 0.5, 1.0])
    users = {u: rng.choice(grid, 3).tolist() for u in (4, 7, 9, 12, 13)}
    items = {int(i): (rng.choice(grid, 3).tolist(), float(rng.choice(grid))) for i in range(0, 80, 2)}
    heard = {4: [0, 2, 4, 79], 7: list(range(80)), 9: [], 99: [2]}
    model = model_of(spark, users, items)
    sets = [set(heard.get(u, [])) for u in users]
    for shelf in ("discover", "again"):
        expected = dict(zip(users, brute_force(np.array(list(users.values())), items, sets, 6, shelf), strict=True))
        found = top_n(model, heard_of(spark, heard), 6, shelf, user_block=2, item_block=7)  # type: ignore[arg-type]
        assert as_lists(found) == expected
    again, discover = as_lists(found), as_lists(top_n(model, heard_of(spark, heard), 6, "discover"))
    assert again[9] == again[12] == discover[7] == []
    assert 99 not in discover
    assert all(len(discover[u]) == 6 for u in (4, 9, 12, 13))


def test_only_allowed_items_are_offered(spark: SparkSession) -> None:
    model = model_of(spark, {1: [1.0]}, {i: ([float(i)], 0.0) for i in range(6)})
    heard = heard_of(spark, {1: [3]})
    allowed = spark.createDataFrame([(1,), (3,), (4,), (77,)], "item_idx int")
    assert as_lists(top_n(model, heard, 5, "discover", allowed)) == {1: [(4, 4.0), (1, 1.0)]}
    assert as_lists(top_n(model, heard, 5, "again", allowed)) == {1: [(3, 3.0)]}
    assert as_lists(top_n(model, heard, 5, "discover", allowed.where("item_idx = 77"))) == {1: []}


def test_a_list_of_none_is_refused(spark: SparkSession) -> None:
    with pytest.raises(ValueError, match="n must be 1 or more"):
        top_n(model_of(spark, {1: [1.0]}, {1: ([1.0], 0.0)}), heard_of(spark, {1: []}), 0, "discover")


def test_heard_as_pairs_is_heard_as_lists(spark: SparkSession) -> None:
    rng = np.random.default_rng(2)
    model = model_of(
        spark, {u: rng.normal(size=3).tolist() for u in range(40)}, {i: (rng.normal(size=3), 0.0) for i in range(60)}
    )
    heard = {u: sorted(rng.choice(60, u % 9, replace=False).tolist()) for u in range(40)}
    pairs = [(u, i) for u, own in heard.items() for i in own] * 2
    rng.shuffle(pairs)
    as_pairs = spark.createDataFrame([(int(u), int(i)) for u, i in pairs], "user_idx int, item_idx int")
    for shelf in ("discover", "again"):
        wanted = as_lists(top_n(model, heard_of(spark, heard), 5, shelf))  # type: ignore[arg-type]
        assert as_lists(top_n(model, as_pairs.repartition(5), 5, shelf)) == wanted  # type: ignore[arg-type]
        assert all(set(dict(own)) <= set(heard[u]) for u, own in wanted.items()) == (shelf == "again")


def test_blocks_and_caps(spark: SparkSession) -> None:
    model = model_of(spark, {1: [1.0], 2: [1.0], 3: [1.0]}, {i: ([float(10 - i)], 0.0) for i in range(10)})
    heard = heard_of(spark, {1: [0]})
    artists = spark.createDataFrame([(i, i // 2) for i in range(9)], "item_idx int, artist_idx int")  # 9 has none
    blocked = spark.createDataFrame(
        [(1, [2], [2]), (1, [8], None), (2, None, [0, 1, 2, 3, 4])],
        "user_idx int, items array<int>, artists array<int>",
    )
    everything = Filters(
        blocked=blocked,
        blocked_items=spark.createDataFrame([(1,), (99,)], "item_idx int"),
        blocked_artists=spark.createDataFrame([(3,)], "artist_idx int"),
        artists=artists,
        artist_cap=1,
    )
    lists = {
        u: [i for i, _ in own] for u, own in as_lists(top_n(model, heard, 9, "discover", filters=everything)).items()
    }
    assert lists == {1: [3, 9], 2: [9], 3: [0, 2, 4, 8, 9]}
    only_cap = Filters(artists=artists, artist_cap=1)
    assert [i for i, _ in as_lists(top_n(model, heard, 9, "discover", filters=only_cap))[1]] == [1, 2, 4, 6, 8, 9]
    again = as_lists(top_n(model, heard_of(spark, {1: [2, 3, 4, 8]}), 9, "again", filters=everything))
    assert [i for i, _ in again[1]] == [3]
    shut = Filters(blocked_items=spark.range(10).selectExpr("int(id) AS item_idx"))
    assert as_lists(top_n(model, heard, 9, "discover", filters=shut)) == {1: [], 2: [], 3: []}


def test_filters_without_artists_are_refused(spark: SparkSession) -> None:
    with pytest.raises(InputError, match="artists: expected each item's artist"):
        Filters(artist_cap=2)
    with pytest.raises(InputError, match="artist_cap: expected 0 or more"):
        Filters(artist_cap=-1)


def test_cosine_is_the_angle(spark: SparkSession) -> None:
    model = model_of(
        spark, {1: [2.0, 0.0], 2: [0.0, 0.0]}, {0: ([9.0, 9.0], 0.0), 1: ([0.1, 0.0], 0.0), 2: ([0.0, 0.0], 0.5)}
    )
    found = as_lists(top_n(model, heard_of(spark, {}), 3, "discover", metric="cosine"))
    half = float(significant(np.array([0.5**0.5]))[0])
    assert found == {1: [(1, 1.0), (0, half), (2, 0.5)], 2: [(2, 0.5), (0, 0.0), (1, 0.0)]}


@pytest.mark.parametrize("partitions", [1, 3, 7])
def test_listeners_are_gathered_whole_and_evenly(spark: SparkSession, partitions: int) -> None:
    users = spark.range(1000).selectExpr("int(id) AS user_idx", "array(float(id), float(-id)) AS vector")
    pairs = spark.range(5000).selectExpr("int(id % 1300) AS user_idx", "int(id % 11) - 3 AS item")
    packed = gather(users.repartition(4), {"pairs": pairs.repartition(3)}, partitions)
    assert sorted(len(part) for part in packed.rdd.glom().collect())[0] > 0

    def unpack(batches):  # type: ignore[no-untyped-def]
        import pyarrow as pa

        for bucket in read_buckets(batches, ("pairs",)):
            rows = [list(bucket.lists["pairs"][i].tolist()) for i in range(len(bucket.user_idx))]
            columns = [pa.array(bucket.user_idx), pa.array(bucket.vectors[:, 1]), pa.array(rows, pa.list_(pa.int32()))]
            yield pa.RecordBatch.from_arrays(columns, ["user_idx", "second", "items"])

    rows = packed.mapInArrow(unpack, "user_idx int, second float, items array<int>").collect()
    assert sorted(row.user_idx for row in rows) == list(range(1000))
    for row in rows:
        own = {i % 11 - 3 for i in range(row.user_idx, 5000, 1300)}
        assert (row.second, row["items"]) == (-row.user_idx, sorted(own))
