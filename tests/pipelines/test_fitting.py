from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from pyspark.sql import SparkSession

from musicrec.io.runs import Run
from musicrec.models.pca.fit import PcaParams
from musicrec.pipelines.fitting import fit_pca_model


def test_pca_of_few_listeners_has_as_many_components_as_there_can_be(spark: SparkSession, run: Run) -> None:
    matrix = np.array([[1.0, 0.0, 2.0, 0.0], [0.0, 3.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
    cells = [(u, i, float(matrix[u, i])) for u, i in zip(*map(np.ndarray.tolist, matrix.nonzero()), strict=True)]
    pairs = spark.createDataFrame(cells, "user_idx int, item_idx int, weight double")
    data = cast("Any", SimpleNamespace(interactions=pairs))
    found = fit_pca_model(run, data, PcaParams(components=12)).explained_variance_ratio
    squares = np.linalg.svd(matrix - matrix.mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(found, squares / squares.sum(), atol=1e-9)
