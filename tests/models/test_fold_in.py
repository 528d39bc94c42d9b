from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession

from musicrec.models.als.fit import AlsParams, fit_als
from musicrec.models.als.fold_in import FoldIn, fold_in
from musicrec.models.als.scale import Scale
from musicrec.models.embedding import ItemMatrix, collect_items

PARAMS = AlsParams(rank=5, iterations=4, regularization=0.5, unobserved=0.4)


def test_a_listener_folded_in_is_the_one_that_was_fitted(spark: SparkSession) -> None:
    """Listeners are solved last and fully, so batch, single and fit agree; one who is new gets a vector too."""
    rng = np.random.default_rng(1)
    cells = np.argwhere(rng.random((150, 40)) < 0.15)
    rows = [(int(u), int(i), 1 + float(w)) for (u, i), w in zip(cells, rng.random(len(cells)), strict=True)]
    pairs = spark.createDataFrame(rows, "user_idx int, item_idx int, weight double")
    model = fit_als(pairs, PARAMS, seed=2)
    fitted = {row.user_idx: row.vector for row in model.user_vectors.collect()}
    more = pairs.union(spark.createDataFrame([(999, 3, 1.0), (999, 7, 2.0), (999, 5000, 2.0)], pairs.schema))
    scale = Scale.read(model.figures)
    assert scale is not None
    folded = {row.user_idx: row.vector for row in fold_in(more, model.item_vectors, PARAMS, scale).collect()}
    assert set(folded) == {*fitted, 999}
    for user, vector in fitted.items():
        np.testing.assert_allclose(folded[user], vector, atol=1e-4)
    single = FoldIn(collect_items(model.item_vectors), PARAMS, scale)
    np.testing.assert_allclose(single.vector(np.array([3, 7], np.int32), np.array([1.0, 2.0])), folded[999], atol=1e-4)


def test_it_is_the_minimum_of_the_listeners_loss() -> None:
    """Brute force: no step in any direction lowers the loss; nothing known gives 0."""
    rng = np.random.default_rng(3)
    y = rng.standard_normal((30, 4)).astype(np.float32)
    items = ItemMatrix(np.arange(30, dtype=np.int32), y, np.zeros(30, np.float32))
    # 10 items a listener of which two share 5: half of `unobserved`. A mean weight of 1/2 doubles what was played.
    one = FoldIn(items, PARAMS.model_copy(update={"rank": 4}), Scale(0.5, 5.0, 10.0))
    played, weight = np.array([2, 11, 25], np.int32), np.array([1.0, 0.5, 3.0])

    def loss(x: np.ndarray) -> float:
        c, p = np.full(30, 0.2), np.zeros(30)
        c[played] += 2.0 * weight
        p[played] = 1
        return float(c @ (p - y.astype(float) @ x) ** 2 + 0.5 * 0.2**0.4 * 3**0.6 * x @ x)

    best = one.vector(played, weight).astype(float)
    for step in rng.standard_normal((200, 4)) * 1e-2:
        assert loss(best + step) > loss(best)
    assert loss(best) == pytest.approx(min(loss(best * f) for f in (0.999, 1, 1.001)))
    np.testing.assert_array_equal(one.vector(np.array([77], np.int32), np.array([1.0])), np.zeros(4))
