from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession
from sklearn.neighbors import NearestNeighbors

from musicrec.ranking.similarity import similar_items


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_neighbours_equal_scikit_learn(spark: SparkSession, metric: str) -> None:
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((300, 8)).astype(np.float32)
    ids = rng.permutation(1000)[:300].tolist()
    rows = [(int(i), v.tolist()) for i, v in zip(ids, vectors, strict=True)]
    table = spark.createDataFrame(rows, "item_idx int, vector array<float>")
    found = {row.item_idx: row for row in similar_items(table, 10, metric, item_block=7, tile=33).collect()}  # type: ignore[arg-type]
    assert sorted(found) == sorted(ids)
    exact = vectors.astype(np.float64)
    measure = "cosine" if metric == "cosine" else lambda a, b: -(a @ b)
    distances, places = NearestNeighbors(metric=measure, algorithm="brute").fit(exact).kneighbors(exact, 12)
    for i, (distance, place) in enumerate(zip(distances, places, strict=True)):
        score = (1 - distance if metric == "cosine" else -distance)[place != i][:10]
        assert found[ids[i]]["items"] == [ids[j] for j in place[place != i][:10]]
        np.testing.assert_allclose(found[ids[i]].scores, score, atol=1e-6)


def test_no_item_is_its_own_neighbour_and_ties_go_to_the_lower(spark: SparkSession) -> None:
    rows = [(i, [1.0, 0.0]) for i in range(5)] + [(9, [0.0, 0.0])]
    table = spark.createDataFrame(rows, "item_idx int, vector array<float>")
    found = {row.item_idx: row["items"] for row in similar_items(table, 9).collect()}
    assert found[2] == [0, 1, 3, 4, 9]
    assert found[9] == [0, 1, 2, 3, 4]


def test_no_neighbours_is_refused(spark: SparkSession) -> None:
    with pytest.raises(ValueError, match="k must be 1 or more"):
        similar_items(spark.createDataFrame([(1, [1.0])], "item_idx int, vector array<float>"), 0)
