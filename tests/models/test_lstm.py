from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pyspark.sql import SparkSession

from musicrec.errors import InputError, NonFiniteError
from musicrec.io.artifacts import load_model, save_model
from musicrec.logs import make_logger, progress
from musicrec.models.lstm import LstmModel, LstmParams, lstm_vectors, make_lstm, warm_lstm
from musicrec.models.training import Trained, TrainingParams, train

# A listener goes round one of two circles of five items: the next item follows from the last one.
N_ITEMS, LENGTH = 10, 6
SHAPE = LstmParams(dim=16, dropout=0.0)
FAST = TrainingParams(epochs=25, batch_size=16, learning_rate=0.02, patience=25)


def circles(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    items = np.full((rows, LENGTH), -1, dtype=np.int32)
    first = np.zeros(rows, dtype=np.int32)
    for row in range(rows):
        size, base, start = rng.integers(2, LENGTH + 1), 5 * rng.integers(2), rng.integers(5)
        items[row, LENGTH - size :] = base + (start + np.arange(size)) % 5
        first[row] = LENGTH - size + 1
    return items, first


def batches(rows: int, seed: int):
    items, first = circles(rows, seed)

    def one_epoch(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = np.random.default_rng(epoch).permutation(rows)
        for start in range(0, rows, FAST.batch_size):
            chosen = order[start : start + FAST.batch_size]
            yield items[chosen], first[chosen]

    return one_epoch


def fit(params: TrainingParams = FAST, valid: bool = True, **kwargs: object) -> tuple[LstmModel, Trained]:
    model = make_lstm(N_ITEMS, SHAPE, seed=3)
    with progress(make_logger("test"), "epoch", params.epochs) as ticker:
        valid_batches = batches(40, 2) if valid else None
        return model, train(model, batches(200, 1), valid_batches, params, ticker, **kwargs)


def test_it_learns_a_rule_that_is_known() -> None:
    model, trained = fit()
    assert trained.history[0].valid_loss > 1.0
    assert trained.history[-1].valid_accuracy == 1.0
    assert trained.history[-1].valid_loss < 0.2
    assert trained.best_epoch == min(trained.history, key=lambda e: e.valid_loss).epoch
    scores = model.last_states(torch.tensor([[-1, -1, -1, 7, 8, 9]])) @ model.item_weights().T + model.bias
    assert int(scores.argmax()) == 5


def test_the_same_seed_gives_the_same_weights() -> None:
    (_, one), (_, other) = fit(), fit()
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_padding_changes_nothing() -> None:
    model = make_lstm(N_ITEMS, SHAPE, seed=1)
    short, long = torch.tensor([[3, 4, 5]]), torch.tensor([[-1, -1, -1, -1, 3, 4, 5]])
    torch.testing.assert_close(model.last_states(short), model.last_states(long))
    one = model(short, torch.tensor([1]))
    other = model(long, torch.tensor([5]))
    torch.testing.assert_close(one[0], other[0])
    assert one[2] == other[2] == 2


def test_the_loss_is_the_cross_entropy_of_the_wanted_places() -> None:
    model = make_lstm(N_ITEMS, SHAPE, seed=1)
    items = torch.tensor([[-1, 1, 2, 3], [4, 5, 6, 7]])
    loss, _, places = model(items, torch.tensor([2, 3]))
    loss = loss.detach()
    expected = 0.0
    for history, target in (([1], 2), ([1, 2], 3), ([4, 5, 6], 7)):
        logits = model.last_states(torch.tensor([history]))[0] @ model.item_weights().T + model.bias
        expected += float(-torch.log_softmax(logits, 0)[target].detach())
    assert places == 3
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_the_best_epoch_is_kept_and_patience_ends_the_training() -> None:
    saved: list[int] = []
    params = TrainingParams(epochs=30, batch_size=16, learning_rate=0.5, patience=2)
    _, trained = fit(params, on_best=lambda epoch, _: saved.append(epoch))
    assert len(trained.history) == trained.best_epoch + 3 < 30
    assert saved[-1] == trained.best_epoch


def test_without_validation_every_epoch_runs_and_the_last_is_kept() -> None:
    _, trained = fit(TrainingParams(epochs=3), valid=False)
    assert trained.best_epoch == 2
    assert np.isnan(trained.history[-1].valid_loss)


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    model = make_lstm(N_ITEMS, SHAPE, seed=1)
    with torch.no_grad():
        model.bias[0] = float("nan")
    with progress(make_logger("test"), "epoch", 1) as ticker, pytest.raises(NonFiniteError, match="epoch 0"):
        train(model, batches(20, 1), None, TrainingParams(epochs=1), ticker)


def test_vectors_score_as_the_network_does(spark: SparkSession) -> None:
    params = LstmParams(dim=8, layers=2, tied=False, dropout=0.3)
    model = make_lstm(N_ITEMS, params, seed=5).eval()
    windows = {0: [-1, -1, 2], 1: [4, 5, 6], 2: [9, 9, 9]}
    plays = spark.createDataFrame(list(windows.items()), "user_idx int, items array<int>")
    vectors = lstm_vectors(spark, model.state_dict(), params, plays)
    items = sorted(vectors.item_vectors.collect(), key=lambda row: row.item_idx)
    assert [row.item_idx for row in items] == list(range(N_ITEMS))
    for row in vectors.user_vectors.collect():
        scores = np.array([np.dot(row.vector, item.vector) + item.bias for item in items])
        with torch.no_grad():
            state = model.last_states(torch.tensor([windows[row.user_idx]]))[0]
            expected = (model.item_weights() @ state + model.bias).numpy()
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_saved_weights_come_back_and_damage_is_named(tmp_path: Path) -> None:
    model = make_lstm(N_ITEMS, SHAPE, seed=5)
    save_model(tmp_path / "m", model.state_dict(), {"epoch": 4})
    weights, facts = load_model(tmp_path / "m")
    assert facts == {"epoch": 4}
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    (tmp_path / "m" / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="a saved model"):
        load_model(tmp_path / "m")


def test_other_items_are_one_and_are_neither_targets_nor_offered(spark: SparkSession) -> None:
    model = LstmModel(N_ITEMS, LstmParams(dim=8, max_items=3), np.array([7, 2, 5])).eval()
    assert model.item_weights().shape == (3, 8)
    torch.testing.assert_close(model.last_states(torch.tensor([[2, 0]])), model.last_states(torch.tensor([[2, 999]])))
    assert not torch.equal(model.last_states(torch.tensor([[2, 0]])), model.last_states(torch.tensor([[2, 5]])))
    loss, _, places = model(torch.tensor([[7, 0, 2, 5]]), torch.tensor([1]))
    scores = [model.last_states(torch.tensor([h]))[0] @ model.item_weights().T for h in ([7, 0], [7, 0, 2])]
    expected = sum(-torch.log_softmax(s, 0)[place] for s, place in zip(scores, (1, 2), strict=True))
    assert places == 2
    torch.testing.assert_close(loss, expected)
    plays = spark.createDataFrame([(0, [1, 2])], "user_idx int, items array<int>")
    rows = lstm_vectors(spark, model.state_dict(), LstmParams(dim=8, max_items=3), plays).item_vectors.collect()
    order = {7: 0, 2: 1, 5: 2}
    assert [row.item_idx for row in rows] == [2, 5, 7]
    for row in rows:
        np.testing.assert_array_equal(row.vector, model.item_weights()[order[row.item_idx]].detach().numpy())


def test_the_sampled_loss_has_the_gradient_of_the_whole_softmax() -> None:
    shape = LstmParams(dim=4, dropout=0.0, negatives=4000)
    model = make_lstm(N_ITEMS, shape, seed=1).train()
    items, first = (torch.from_numpy(part) for part in circles(6, 1))

    def gradient(negatives: int) -> tuple[float, torch.Tensor]:
        model.negatives = negatives
        model.zero_grad()
        loss, _, _ = model(items, first)
        loss.backward()
        return float(loss.detach()), model.embedding.weight.grad.clone()

    whole, exact = gradient(0)
    drawn = [gradient(4000) for _ in range(20)]
    assert np.mean([loss for loss, _ in drawn]) == pytest.approx(whole, rel=0.02)
    torch.testing.assert_close(
        torch.stack([g for _, g in drawn]).mean(0), exact, atol=0.03 * float(exact.abs().max()), rtol=0
    )


def test_a_warm_start_keeps_what_was_learnt_and_draws_what_is_new() -> None:
    shape = LstmParams(dim=4, max_items=4)
    old = make_lstm(8, shape, seed=1, vocabulary=np.array([3, 1, 6, 0]))
    warm = warm_lstm(9, shape, 2, np.array([1, 8, 3, 5]), old.state_dict())
    torch.testing.assert_close(warm.item_weights()[0], old.item_weights()[1])
    torch.testing.assert_close(warm.item_weights()[2], old.item_weights()[0])
    torch.testing.assert_close(warm.lstm.weight_hh_l0, old.lstm.weight_hh_l0)
    fresh = make_lstm(9, shape, 2, np.array([1, 8, 3, 5]))
    torch.testing.assert_close(warm.item_weights()[[1, 3]], fresh.item_weights()[[1, 3]])
    items = torch.tensor([[3, 1, 3]])
    torch.testing.assert_close(warm.eval().last_states(items), old.eval().last_states(items))
