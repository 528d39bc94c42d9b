"""The weights of a fusion beside an exhaustive search, and its NDCG beside scikit-learn's and `fuse`."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pyspark.sql import SparkSession
from sklearn.metrics import ndcg_score

from musicrec.errors import InputError
from musicrec.models.blocks import Ragged
from musicrec.ranking.fusion import HybridParams, fuse
from musicrec.ranking.tune_fusion import Judgements, fused_ndcg, tune_fusion

LISTENERS, ITEMS, LENGTH = 40, 60, 30
GRID = (0.0, 0.5, 1.0, 2.0)


def ragged(lists: list[list[int]]) -> Ragged:
    values = np.array([item for one in lists for item in one], np.int32)
    return Ragged(values, np.cumsum([0] + [len(one) for one in lists]).astype(np.int64))


def judgements(seed: int) -> Judgements:
    """Two models who each know half of what is relevant, and one that knows nothing."""
    rng = np.random.default_rng(seed)
    relevant = [np.sort(rng.choice(ITEMS, 6, replace=False)) for _ in range(LISTENERS)]
    lists: dict[str, list[list[int]]] = {"left": [], "right": [], "noise": []}
    for own in relevant:
        for name, known in (("left", own[:3]), ("right", own[3:]), ("noise", own[:0])):
            said = rng.normal(size=ITEMS)
            said[known] += 3.0
            lists[name].append(np.argsort(-said)[:LENGTH].tolist())
    return Judgements({name: ragged(own) for name, own in lists.items()}, ragged([own.tolist() for own in relevant]))


def test_it_is_as_good_as_all_weights_tried() -> None:
    one = judgements(1)
    tuned = tune_fusion([one], ["noise", "right", "left"], k=10, grid=GRID)
    every = [
        float(fused_ndcg(one, HybridParams(weights=dict(zip(one.lists, weights, strict=True)), k=10)).mean())
        for weights in itertools.product(GRID, repeat=3)
        if any(weights)
    ]
    assert tuned.ndcg == pytest.approx(max(every), rel=0.01)
    assert tuned.ndcg > max(tuned.alone.values()) + 0.03
    assert tuned.ndcg == pytest.approx(float(fused_ndcg(one, tuned.params).mean()))
    assert tuned.params.weights["noise"] < min(tuned.params.weights["left"], tuned.params.weights["right"])


def test_ndcg_is_that_of_scikit_learn_on_the_fused_lists(spark: SparkSession) -> None:
    one, params = judgements(2), HybridParams(weights={"left": 1.0, "right": 0.25, "noise": 0.5}, k=10)
    frames = {
        name: spark.createDataFrame(
            [(user, own[user].tolist()) for user in range(LISTENERS)], "user_idx int, items array<int>"
        )
        for name, own in one.lists.items()
    }
    fused = {row.user_idx: row["items"] for row in fuse(frames, params, ITEMS).collect()}
    relevant = spark.createDataFrame(
        [(user, one.relevant[user].tolist()) for user in range(LISTENERS)], "user_idx int, relevant array<int>"
    )
    collected = Judgements.collect({"left": frames["left"].where("user_idx <> 3")}, relevant)
    assert collected.lists["left"][3].tolist() == []
    assert collected.lists["left"][4].tolist() == one.lists["left"][4].tolist()
    for user, found in enumerate(fused_ndcg(one, params)):
        truth = np.isin(np.arange(ITEMS), one.relevant[user]).astype(float)
        scores = np.zeros(ITEMS)
        scores[fused[user]] = np.arange(len(fused[user]), 0, -1)
        assert found == pytest.approx(ndcg_score([truth], [scores], k=10))


def test_one_model_alone_keeps_its_own_order() -> None:
    tuned = tune_fusion([judgements(3), judgements(4)], ["left"])
    assert tuned.params.weights == {"left": 1.0}
    assert tuned.ndcg == tuned.alone["left"]


def test_nothing_to_tune_on_is_refused() -> None:
    nothing = Judgements({"left": ragged([])}, ragged([]))
    with pytest.raises(InputError, match="played something new"):
        tune_fusion([nothing], ["left"])


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_small_and_large_weights_rank_alike(scale: float) -> None:
    one, weights = judgements(2), {"left": 1.0, "right": 0.25, "noise": 0.5}
    plain = fused_ndcg(one, HybridParams(weights=weights, k=10))
    scaled = fused_ndcg(one, HybridParams(weights={name: own * scale for name, own in weights.items()}, k=10))
    assert scaled.tolist() == plain.tolist()
