"""A model that cannot tell items apart is an error before anything of it is published."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from musicrec.errors import DegenerateModelError
from musicrec.io.runs import Run
from musicrec.models.als.params import AlsParams
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.neural.ncf import NcfParams, make_ncf
from musicrec.models.ranker.fit import Examples, fit_ranker
from musicrec.models.ranker.params import RankerParams
from musicrec.pipelines.publish import publish
from musicrec.pipelines.telling import check_reranker
from musicrec.pipelines.train_ranker import _check

PARAMS = AlsParams(rank=3, regularization=0.25)


def model_of(run: Run, users: np.ndarray, items: np.ndarray) -> EmbeddingModel:
    spark = run.lakehouse.spark
    rows = [(n, [float(x) for x in vector]) for n, vector in enumerate(users)]
    columns = [(n, [float(x) for x in vector], 0.0) for n, vector in enumerate(items)]
    return EmbeddingModel(
        "als",
        spark.createDataFrame(rows, "user_idx int, vector array<float>"),
        spark.createDataFrame(columns, "item_idx int, vector array<float>, bias float"),
    )


def test_a_collapsed_model_is_named_with_its_settings_and_nothing_is_written(run: Run) -> None:
    rng = np.random.default_rng(1)
    users, items = rng.standard_normal((30, 3)), rng.standard_normal((60, 3))
    plays = [(u, i, float(rng.integers(1, 9))) for u in range(30) for i in range(60) if rng.random() < 0.3]
    pairs = run.lakehouse.spark.createDataFrame(plays, "user_idx int, item_idx int, weight double").persist()
    for flat in (model_of(run, users, items * 0 + items[0]), model_of(run, users * 0, items)):
        with pytest.raises(DegenerateModelError, match="1 different score for 20 places for 100 % of 30") as error:
            publish(run, flat, PARAMS, 1, "", pairs=pairs)
        assert "model als: " in str(error.value)
        assert "als.rank = 3" in str(error.value)
        assert "als.regularization = 0.25" in str(error.value)
        assert not any(run.lakehouse.exists(name) for name in ("models.user_vectors", "models.item_vectors"))
        assert not run.lakehouse.exists("ops.models")
    # Of the same plays all the time no model can tell the items apart.
    alike = run.lakehouse.spark.createDataFrame([(u, i, 1.0) for u in range(30) for i in range(60)], pairs.schema)
    assert publish(run, model_of(run, users, items * 0 + items[0]), PARAMS, 1, "", pairs=alike).rows_out == 90
    assert publish(run, model_of(run, users * 1e-9, items * 1e-9), PARAMS, 1, "", pairs=pairs, places=60).rows_out == 90
    pairs.unpersist()


def test_a_reranker_without_weights_is_refused(run: Run) -> None:
    params = NcfParams(dim=4, mlp=(8, 4))
    plays = [(u, i, 1.0 + i % 3) for u in range(10) for i in range(u, u + 15)]
    pairs = run.lakehouse.spark.createDataFrame(plays, "user_idx int, item_idx int, weight double")
    weights = make_ncf(10, 40, params, seed=1).state_dict()
    check_reranker(weights, params, pairs, 20)
    with pytest.raises(DegenerateModelError, match=r"model ncf: .*1 different score for 20 places.*ncf.dim = 4"):
        check_reranker({name: torch.zeros_like(tensor) for name, tensor in weights.items()}, params, pairs, 20)


def test_a_ranker_without_a_split_is_refused() -> None:
    rng = np.random.default_rng(2)
    features = rng.standard_normal((400, 3)).astype(np.float32)
    labels = (features[:, 0] > 0.8).astype(np.int8)
    examples = Examples(features, labels, np.full(20, 20))
    names = ["als_score", "als_rank", "votes"]
    for leaf, is_refused in ((5, False), (1000, True)):
        params = RankerParams(trees=5, leaves=4, min_leaf=leaf, monotone=False)
        model = fit_ranker(examples, names, params, seed=1)
        if is_refused:
            with pytest.raises(DegenerateModelError, match=r"model ranker: .*ranker.min_leaf = 1000"):
                _check(model, examples, params)
        else:
            _check(model, examples, params)
        # Candidates without a difference are nothing that trees could tell apart.
        _check(model, Examples(features * 0, labels, examples.sizes), params)
