from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import metrics

from musicrec.evaluation.popularity_figures import (
    Judged,
    _weighted,
    calibration_error,
    class_figures,
    figures,
    popularity_figures,
)


def judged(rows: int = 300, seed: int = 3) -> Judged:
    rng = np.random.default_rng(seed)
    popularity = rng.integers(0, 20, rows) * 5.0
    score = np.round(np.clip(popularity / 100 + rng.normal(0, 0.3, rows), 0.01, 0.99), 2)
    predicted = popularity * 0.4 + rng.normal(0, 15, rows)
    artists = np.sort(rng.integers(0, 40, rows))
    artists = np.unique(artists, return_inverse=True)[1].astype(np.int64)
    return Judged(artists, popularity, popularity >= 70, predicted, score, score**2, 0.3)


def test_figures_are_those_of_scikit_learn() -> None:
    own = judged()
    made = popularity_figures(own) | class_figures(own)
    called = own.probability >= 0.3
    wanted = {
        "r2": metrics.r2_score(own.popularity, own.predicted),
        "mae": metrics.mean_absolute_error(own.popularity, own.predicted),
        "spearman": spearmanr(own.popularity, own.predicted)[0],
        "accuracy": (called == own.is_popular).mean(),
        "precision": own.is_popular[called].mean(),
        "recall": called[own.is_popular].mean(),
        "roc_auc": metrics.roc_auc_score(own.is_popular, own.probability),
        "pr_auc": metrics.average_precision_score(own.is_popular, own.probability),
        "base_rate": own.is_popular.mean(),
        "brier": metrics.brier_score_loss(own.is_popular, own.probability),
        "brier_raw": metrics.brier_score_loss(own.is_popular, own.score),
    }
    for name, value in wanted.items():
        assert made[name] == pytest.approx(value), name
    assert made["f1"] == pytest.approx(2 / (1 / made["precision"] + 1 / made["recall"]))


def test_drawn_figures_are_those_of_the_drawn_tracks() -> None:
    own = judged()
    times = np.random.default_rng(1).integers(0, 4, len(own.popularity)).astype(float)
    rows = np.repeat(np.arange(len(times)), times.astype(int))
    weighted = _weighted(own)
    known, predicted, flags, chance = (
        column[rows] for column in (own.popularity, own.predicted, own.is_popular, own.probability)
    )
    assert weighted["r2"](times) == pytest.approx(metrics.r2_score(known, predicted))
    assert weighted["mae"](times) == pytest.approx(np.abs(known - predicted).mean())
    assert weighted["roc_auc"](times) == pytest.approx(metrics.roc_auc_score(flags, chance))
    assert weighted["pr_auc"](times) == pytest.approx(metrics.average_precision_score(flags, chance))
    assert weighted["spearman"](np.ones(len(times))) == pytest.approx(spearmanr(own.popularity, own.predicted)[0])


def test_intervals_hold_the_value_and_widen_with_fewer_artists() -> None:
    own = judged()
    made = figures(own, 200, seed=1)
    few = figures(Judged(own.artists // 8, *list(vars(own).values())[1:]), 200, seed=1)
    for name in ("r2", "mae", "spearman", "roc_auc", "pr_auc"):
        low, high = made[name].low, made[name].high
        assert low is not None
        assert high is not None
        assert low < made[name].value < high
    assert made["f1"].low is None
    assert few["r2"].value == made["r2"].value
    assert figures(own, 200, seed=1) == made


def test_the_calibration_error_is_the_gap_of_each_bin() -> None:
    flags = np.array([True, False, False, True])
    assert calibration_error(flags, np.array([0.15, 0.15, 0.95, 0.95])) == pytest.approx((0.35 + 0.45) / 2)
    assert calibration_error(np.array([True, False]), np.array([0.5, 0.5])) == 0
    assert calibration_error(np.array([True]), np.array([1.0])) == 0


def test_one_kind_of_track_has_no_class_figures() -> None:
    own = judged()
    assert (
        class_figures(Judged(*[v if k != "is_popular" else own.is_popular & False for k, v in vars(own).items()])) == {}
    )
