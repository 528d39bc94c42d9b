from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyspark.sql import DataFrame, SparkSession

from musicrec.models.blocks import Ragged
from musicrec.models.embedding import EmbeddingModel, ItemMatrix
from musicrec.ranking import topn
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
            scored.append((i, round(total, 6) + 0.0))
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


@st.composite
def problems(draw: st.DrawFn) -> tuple:
    """Small vectors of few distinct values, so that ties are everywhere; one in two with other scales."""
    n_users, n_items, d = draw(st.integers(1, 5)), draw(st.integers(1, 30)), draw(st.integers(1, 4))
    values = draw(
        st.sampled_from([st.sampled_from([-1.0, 0.0, 0.5, 1.0]), st.floats(-1e3, 1e3, width=32, allow_subnormal=False)])
    )
    users = draw(hnp.arrays(np.float32, (n_users, d), elements=values))
    vectors = draw(hnp.arrays(np.float32, (n_items, d), elements=values))
    bias = draw(hnp.arrays(np.float32, n_items, elements=values))
    ids = np.sort(draw(st.permutations(range(3 * n_items)))[:n_items]).astype(np.int32)
    heard = [set(draw(st.lists(st.integers(0, 3 * n_items), max_size=n_items))) for _ in range(n_users)]
    return users, ItemMatrix(ids, vectors, bias), heard, draw(st.integers(1, 8)), draw(st.integers(1, 9))


@settings(max_examples=200, deadline=None)
@given(problems())
def test_blocks_of_any_size_equal_brute_force(problem: tuple) -> None:
    users, items, heard, n, item_block = problem
    own = [sorted(h) for h in heard]
    ragged = Ragged(
        np.array([i for h in own for i in h], dtype=np.int32), np.cumsum([0] + [len(h) for h in own]).astype(np.int64)
    )
    catalogue = {int(i): (v, b) for i, v, b in zip(items.item_idx, items.vectors, items.bias, strict=True)}
    positions = topn._heard_positions(items, ragged)
    for shelf, best in (
        ("discover", topn._best_unheard(items, users, positions, n, item_block)),
        ("again", topn._best_heard(items, users, positions, n)),
    ):
        batch = best.to_arrow(items, pa.array(range(len(users)), pa.int32()))
        lists = [
            list(zip(i, s, strict=True))
            for i, s in zip(batch["items"].to_pylist(), batch["scores"].to_pylist(), strict=True)
        ]
        expected = brute_force(users, catalogue, heard, n, shelf)
        for found, wanted in zip(lists, expected, strict=True):
            # Sums of other orders may round apart in the last decimal, at 1e3² scales.
            np.testing.assert_allclose([s for _, s in found], [s for _, s in wanted], atol=2e-6, rtol=1e-12)
            if np.abs(users).max(initial=0) <= 1:
                assert found == wanted


def test_float32_noise_decides_nothing() -> None:
    """Items whose float32 scores are in the wrong order, or equal, are ranked by their float64 scores."""
    rng = np.random.default_rng(1)
    users = (rng.standard_normal((3, 64)) * 100).astype(np.float32)
    base = (rng.standard_normal(64) * 100).astype(np.float32)
    vectors = np.tile(base, (500, 1))
    vectors[:, 0] += (rng.permutation(500) * 1e-5).astype(np.float32)
    items = ItemMatrix(np.arange(500, dtype=np.int32), vectors, np.zeros(500, np.float32))
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    exact = np.round(users.astype(np.float64) @ vectors.astype(np.float64).T, 6)
    for item_block in (7, 64, 500):
        best = topn._best_unheard(items, users, nothing, 10, item_block)
        for u in range(3):
            order = np.lexsort((np.arange(500), -exact[u]))[:10]
            assert best.columns[best.rows == u].tolist() == order.tolist()


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
