from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss, r2_score

from musicrec.errors import InputError
from musicrec.io.artifacts import load_model, save_model
from musicrec.io.checkpoints import FolderStore
from musicrec.logs import Ticker, make_logger
from musicrec.models.popularity.calibration import best_cut, fit_calibrator
from musicrec.models.popularity.drivers import drivers
from musicrec.models.popularity.features import FeatureSpace, fit_features
from musicrec.models.popularity.fit import Labelled, check_labels, fit_boosted, fit_linear, fit_mean, fit_network
from musicrec.models.popularity.model import PopularityModel, finished, unpack
from musicrec.models.popularity.reasons import reasons
from musicrec.models.popularity.scorers import BlendScorer, NetworkScorer, Scorer
from tests.popularity_tracks import BOOSTED, FEATURES, NETWORK, TRAINING, planted


class Sides:
    """Tracks to learn from, to validate on and to judge on."""

    def __init__(self, rule: str, rows: int = 900) -> None:
        tracks = planted(rows, rule)
        parts = [tracks[: rows // 2], tracks[rows // 2 : rows * 3 // 4], tracks[rows * 3 // 4 :]]
        self.space: FeatureSpace = fit_features(parts[0], FEATURES)
        self.learn, self.valid, self.test = (self._labelled(part) for part in parts)
        self.test_tracks: pd.DataFrame = parts[2]

    def _labelled(self, part: pd.DataFrame) -> Labelled:
        known = part["popularity"].to_numpy()
        return Labelled(self.space.inputs(part), known, known >= 60)

    def network(self, store: FolderStore | None = None, epochs: int = 8) -> NetworkScorer:
        training = TRAINING.model_copy(update={"epochs": epochs, "schedule": "constant"})
        ticker = Ticker(make_logger("test"), "training", 1000, None)
        made, _ = fit_network(self.space, self.learn, self.valid, NETWORK, training, 5, ticker, store)
        return made

    def r2(self, scorer: Scorer) -> float:
        return float(r2_score(self.test.popularity, scorer.predict(self.space, self.test.inputs)[0]))


@pytest.fixture(scope="module")
def text() -> Sides:
    return Sides("text")


@pytest.fixture(scope="module")
def text_network(text: Sides) -> NetworkScorer:
    return text.network()


@pytest.fixture(scope="module")
def text_model(text: Sides, text_network: NetworkScorer) -> PopularityModel:
    return finished("lstm", text.space, text_network, text.valid, 60, "platt")


def test_the_lstm_reads_the_order_of_words(text: Sides, text_network: NetworkScorer) -> None:
    assert text.r2(text_network) > 0.9
    # "love remix" and "remix love" are the same to a bag of words, and to numbers it is all noise.
    assert text.r2(fit_linear(text.space, text.learn, text.valid)) < 0.05
    assert text.r2(fit_boosted(text.space, text.learn, text.valid, BOOSTED, 1)) < 0.75
    assert abs(text.r2(fit_mean(text.learn))) < 0.02


def test_the_lstm_follows_a_curve_of_the_numbers() -> None:
    sides = Sides("numbers")
    assert sides.r2(sides.network()) > 0.8
    assert sides.r2(fit_linear(sides.space, sides.learn, sides.valid)) < 0.1
    assert sides.r2(fit_boosted(sides.space, sides.learn, sides.valid, BOOSTED, 1)) > 0.7


def test_a_stopped_training_ends_with_the_same_bits(text: Sides, tmp_path: Path) -> None:
    def stop(numbers: object) -> None:
        raise KeyboardInterrupt

    whole = text.network(epochs=2)
    store = FolderStore(tmp_path / "run")
    saved = store.save

    class Stopping(FolderStore):
        def save(self, tensors: object, facts: object) -> None:
            saved(tensors, facts)  # type: ignore[arg-type]
            stop(None)

    with pytest.raises(KeyboardInterrupt):
        text.network(Stopping(tmp_path / "run"), epochs=2)
    again = text.network(store, epochs=2)
    for name, tensor in whole.weights().items():
        assert torch.equal(tensor, again.weights()[name]), name


@pytest.mark.parametrize("kind", ["mean", "ridge", "boosted", "lstm", "blend"])
def test_a_saved_model_predicts_the_same(kind: str, text: Sides, text_network: NetworkScorer, tmp_path: Path) -> None:
    boosted = fit_boosted(text.space, text.learn, text.valid, BOOSTED.model_copy(update={"rounds": 5}), 1)
    scorer: Scorer = {
        "mean": fit_mean(text.learn),
        "ridge": fit_linear(text.space, text.learn, text.valid),
        "boosted": boosted,
        "lstm": text_network,
        "blend": BlendScorer(boosted, text_network),
    }[kind]
    model = finished(kind, text.space, scorer, text.valid, 60, "isotonic")
    save_model(tmp_path, *model.pack())
    again = unpack(*load_model(tmp_path))
    for left, right in zip(
        vars(model.predict(text.test.inputs)).values(), vars(again.predict(text.test.inputs)).values(), strict=True
    ):
        np.testing.assert_array_equal(left, right)
    assert (again.cut, again.popular_from) == (model.cut, 60)


def test_contributions_add_up_for_lines_and_trees() -> None:
    sides = Sides("energy", 400)
    for scorer in (
        fit_linear(sides.space, sides.learn, sides.valid),
        fit_boosted(sides.space, sides.learn, sides.valid, BOOSTED, 1),
    ):
        popularity, _ = scorer.predict(sides.space, sides.test.inputs)
        made = scorer.contributions(sides.space, sides.test.inputs)
        assert np.ptp(popularity - made.sum(1)) < 1e-6  # what is left is the same of each track
        assert np.abs(made).mean(0).argmax() == sides.space.groups.index("energy")


def test_drivers_and_reasons_name_what_was_planted(text: Sides, text_model: PopularityModel) -> None:
    found = drivers(text_model, text.test_tracks, seed=1)
    assert found[0].feature == "title"
    assert found[0].r2_lost > 1
    assert max(driver.r2_lost for driver in found[1:]) < 0.1
    assert drivers(text_model, text.test_tracks, seed=1) == found
    inputs = text.test.inputs
    said = reasons(text.space, inputs, text_model.scorer.contributions(text.space, inputs), 2)
    popular = int(np.argmax(text.test.popularity))
    assert said[popular][0].startswith("title words ")
    assert float(said[popular][0].rsplit(" ", 1)[1]) > 10


def test_reasons_are_words() -> None:
    sides = Sides("energy", 200)
    inputs = sides.space.inputs(
        sides.test_tracks.iloc[:1].assign(energy=0.99, valence=sides.space.means[1], name="zzz")
    )
    contributions = np.array([[3.12, -1.0, 0.01, -0.4, 2.0]])
    assert reasons(sides.space, inputs, contributions, 9)[0] == [
        "energy above usual: +3.1",
        "title words unknown: +2.0",
        "valence about usual: -1.0",
        f"genres {', '.join(sides.test_tracks.iloc[0]['genres'])}: -0.4".replace("pop, dance pop", "dance pop, pop"),
    ]


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_calibration_mends_scores_that_overstate(kind: str) -> None:
    rng = np.random.default_rng(2)
    odds = rng.normal(-1.5, 1.5, 6000)
    flags = rng.random(6000) < 1 / (1 + np.exp(-odds))
    scores = 1 / (1 + np.exp(-(2 * odds + 2)))  # as of a model with weights for popular tracks
    calibrator = fit_calibrator(scores[:3000], flags[:3000], kind)  # type: ignore[arg-type]
    mended = calibrator(scores[3000:])
    before, after = (log_loss(flags[3000:], np.clip(p, 1e-6, 1 - 1e-6)) for p in (scores[3000:], mended))
    truth = log_loss(flags[3000:], 1 / (1 + np.exp(-odds[3000:])))
    assert before > truth + 0.1
    assert after < truth + 0.02
    assert (np.diff(calibrator(np.linspace(0, 1, 50))) >= 0).all()
    if kind == "platt":
        assert (calibrator.xs[0], calibrator.ys[0]) == (pytest.approx(0.5, abs=0.05), pytest.approx(-1, abs=0.1))


def test_the_cut_has_the_highest_f1() -> None:
    flags = np.array([True, True, False, True, False, False])
    assert best_cut(np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.1]), flags) == 0.6
    assert best_cut(np.array([0.9, 0.1]), np.array([False, False])) == 0.5


def test_tracks_of_one_kind_are_refused(text: Sides) -> None:
    alike = Labelled(text.learn.inputs, text.learn.popularity, text.learn.is_popular & False)
    with pytest.raises(InputError, match="0 popular of 450"):
        check_labels(alike, "tracks to learn popularity from")
