from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from musicrec.ranking.fill import complete_one, fill

item_sets = st.lists(st.integers(0, 15), unique=True, max_size=12)


@given(st.data(), item_sets, item_sets, st.integers(1, 10), st.sampled_from([1e-12, 1.0, 1e12]))
def test_a_list_is_completed_in_popular_order(
    data: st.DataObject, heard: list[int], popular: list[int], n: int, scale: float
) -> None:
    own = data.draw(st.permutations([i for i in range(16) if i not in heard])).copy()[: data.draw(st.integers(0, 10))]
    scores = [scale / (60 + r) for r in range(len(own))]
    expected = own[:n]
    for item in popular:
        if len(expected) < n and item not in heard and item not in expected:
            expected.append(item)
    ints = [np.array(x, dtype=np.int32) for x in (own, heard, popular)]
    items, made, filled = complete_one(ints[0], np.array(scores), ints[1], ints[2], n)
    assert items.tolist() == expected
    kept = min(len(own), n)
    assert filled.tolist() == [False] * kept + [True] * (len(expected) - kept)
    assert made[:kept].tolist() == scores[:kept]
    assert (np.diff(made) < 0).all()
    last = scores[kept - 1] if kept else 0.0
    step = 1e-6 * (last or 1.0)
    np.testing.assert_allclose(made[kept:], [last - step * (j + 1) for j in range(len(made) - kept)], rtol=1e-9)


def test_every_listener_gets_a_list_on_spark(spark: SparkSession) -> None:
    lists = spark.createDataFrame(
        [(1, [4, 9], [0.5, 0.25]), (2, [8, 7, 6, 5], [4.0, 3.0, 2.0, 1.0]), (3, [], []), (77, [1], [1.0])],
        "user_idx int, items array<int>, scores array<double>",
    )
    users = spark.createDataFrame([(1,), (2,), (3,), (4,)], "user_idx int")
    popular = spark.createDataFrame([(2, 5.0), (9, 7.0), (1, 5.0), (3, 1.0)], "item_idx int, score double")
    heard = spark.createDataFrame([(1, [1]), (4, [1, 2, 9])], "user_idx int, heard array<int>")
    made = fill(lists, users, popular, heard, 3)
    assert made.columns == ["user_idx", "items", "scores", "filled"]
    assert {row.user_idx: (row["items"], row.scores, row.filled) for row in made.collect()} == {
        1: ([4, 9, 2], [0.5, 0.25, pytest.approx(0.25 - 0.25e-6, rel=1e-9)], [False, False, True]),
        2: ([8, 7, 6], [4.0, 3.0, 2.0], [False] * 3),
        3: ([9, 1, 2], pytest.approx([-1e-6, -2e-6, -3e-6]), [True] * 3),
        4: ([3], pytest.approx([-1e-6]), [True]),
    }
    both = users.crossJoin(spark.createDataFrame([("a",), ("b",)], "model string"))
    of_a = fill(lists.withColumn("model", F.lit("a")), both, popular, heard, 3).where("user_idx = 1").collect()
    assert {row.model: row["items"] for row in of_a} == {"a": [4, 9, 2], "b": [9, 2, 3]}
    with pytest.raises(ValueError, match="n must be 1 or more"):
        fill(lists, users, popular, heard, 0)
