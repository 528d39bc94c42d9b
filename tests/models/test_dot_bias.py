from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pyspark.sql import SparkSession

from musicrec.errors import InputError, NonFiniteError
from musicrec.logs import make_logger, progress
from musicrec.models.neural.dot_bias import (
    DotBiasModel,
    DotBiasParams,
    dot_bias_vectors,
    loved,
    make_dot_bias,
    pair_accuracy,
)
from musicrec.models.neural.negatives import UnheardItems, with_negatives
from musicrec.models.neural.sources import ArraySource
from musicrec.models.neural.training import Trained, train
from musicrec.models.neural.training_params import TrainingParams

FAST = TrainingParams(epochs=30, batch_size=32, learning_rate=0.03, schedule="one_cycle", weight_decay=0.0)


def fit(model: DotBiasModel, columns: tuple[np.ndarray, ...], training: TrainingParams = FAST) -> Trained:
    source = ArraySource(columns, training.batch_size, 1)
    with progress(make_logger("test"), "step", training.epochs * source.steps()) as ticker:
        trained = train(model, source, training, ticker)
    model.eval()
    return trained


def drawn_model(unheard: UnheardItems | None = None, **settings: object) -> DotBiasModel:
    """A model all of whose weights are random, the biases too."""
    model = make_dot_bias(5, 6, DotBiasParams(dim=3, **settings), 1, unheard)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model.eval()


def expected_logits(model: DotBiasModel) -> np.ndarray:
    weights = {name: tensor.numpy().astype(np.float64) for name, tensor in model.state_dict().items()}
    return (
        weights["user_vectors"] @ weights["item_vectors"].T
        + weights["user_bias"][:, None]
        + weights["item_bias"][None, :]
        + weights["global_bias"]
    )


def expected_penalty(model: DotBiasModel, user: int, item: int) -> float:
    """The squares of all weights that a pair touches."""
    rows = model.user_vectors[user], model.item_vectors[item], model.user_bias[user], model.item_bias[item]
    return float(sum(row.detach().double().square().sum() for row in rows))


@pytest.mark.parametrize("output_range", [None, (-1.0, 4.5)])
def test_scores_are_those_of_the_formula(output_range: tuple[float, float] | None) -> None:
    model = drawn_model(loss="mse", output_range=output_range)
    expected = expected_logits(model)
    if output_range:
        expected = -1.0 + 5.5 / (1 + np.exp(-expected))
    users, items = torch.tensor([4, 0]), torch.tensor([[5, 0, 2], [1, 1, 3]])
    with torch.no_grad():
        np.testing.assert_allclose(model.all_scores(torch.arange(5)).numpy(), expected, atol=1e-5)
        np.testing.assert_allclose(model.scores(users, items).numpy(), expected[users[:, None], items], atol=1e-5)


def test_the_loss_of_pairs_is_the_cross_entropy_with_the_penalty() -> None:
    unheard = UnheardItems(6, torch.tensor([0, 0, 0, 3, 3]), torch.tensor([2, 3, 4, 1, 5]))
    model = drawn_model(unheard, negatives=7, regularization=0.3)
    users, items = torch.tensor([0, 3, 3]), torch.tensor([2, 1, 5])
    torch.manual_seed(11)
    drawn, is_open = unheard.draw(users, 7)
    torch.manual_seed(11)
    loss, events = model(users, items)

    chances, expected, count = 1 / (1 + np.exp(-expected_logits(model))), 0.0, 0
    for row, user in enumerate(users.tolist()):
        expected -= np.log(chances[user, items[row]])
        others = drawn[row][is_open[row]].tolist()
        expected -= sum(np.log(1 - chances[user, other]) for other in others)
        expected += 0.15 * sum(expected_penalty(model, user, item) for item in (int(items[row]), *others))
        count += 1 + len(others)
    assert 3 < count < 24
    assert int(events) == count
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_the_loss_and_gradient_of_values_are_those_of_least_squares() -> None:
    model = drawn_model(loss="mse", regularization=0.4)
    users, items, values = torch.tensor([1, 1, 4]), torch.tensor([0, 5, 5]), torch.tensor([2.0, -1.0, 0.5])
    loss, events = model(users, items, values)
    loss.backward()

    errors = expected_logits(model)[users, items] - values.numpy()
    penalty = sum(expected_penalty(model, *pair) for pair in zip(users.tolist(), items.tolist(), strict=True))
    assert int(events) == 3
    assert float(loss.detach()) == pytest.approx((errors**2).sum() + 0.2 * penalty, rel=1e-5)
    # Koren's step for listener 1, who has two of the pairs: 2 e q + λ p for each.
    vectors, own = model.item_vectors.detach().numpy(), model.user_vectors.detach().numpy()[1]
    expected = 2 * errors[0] * vectors[0] + 2 * errors[1] * vectors[5] + 2 * 0.4 * own
    np.testing.assert_allclose(model.user_vectors.grad[1].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert float(model.global_bias.grad) == pytest.approx(2 * errors.sum(), rel=1e-4)
    with pytest.raises(ValueError, match="values"):
        model(users, items)


def test_a_matrix_of_biases_and_one_factor_is_recovered() -> None:
    rng = np.random.default_rng(3)
    exact = 3 + rng.normal(size=(14, 1)) + rng.normal(size=12) + np.outer(rng.normal(size=14), rng.normal(size=12))
    is_held_out = (np.arange(14)[:, None] + np.arange(12)) % 9 == 0
    users, items = np.nonzero(~is_held_out)
    values = exact[users, items].astype(np.float32)
    params = DotBiasParams(loss="mse", dim=1, regularization=0.0)
    model = make_dot_bias(14, 12, params, 1, mean=float(values.mean()))
    assert float(model.global_bias.detach()) == pytest.approx(values.mean())
    fit(model, (users, items, values), FAST.model_copy(update={"epochs": 200}))
    with torch.no_grad():
        found = model.all_scores(torch.arange(14)).numpy()
    assert np.abs(exact[is_held_out] - exact.mean()).max() > 1.0
    np.testing.assert_allclose(found[is_held_out], exact[is_held_out], atol=0.05)


def two_groups() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(users, items, held out item of each user): even users hear even items, odd ones odd items."""
    held_out = (np.arange(20) * 3) % 20 // 2 * 2 + np.arange(20) % 2
    users, items = np.nonzero(np.equal.outer(np.arange(20) % 2, np.arange(20) % 2))
    is_train = items != held_out[users]
    return users[is_train], items[is_train], held_out


def fit_groups(seed: int) -> tuple[DotBiasModel, Trained]:
    users, items, _ = two_groups()
    unheard = UnheardItems(20, torch.from_numpy(users), torch.from_numpy(items))
    model = make_dot_bias(20, 20, DotBiasParams(dim=4, negatives=4, regularization=0.01), seed, unheard)
    return model, fit(model, (users, items))


def test_it_learns_a_rule_that_is_known() -> None:
    users, items, held_out = two_groups()
    model, trained = fit_groups(3)
    assert trained.history[-1].train_loss < 0.7 * trained.history[0].train_loss
    with torch.no_grad():
        scores = model.all_scores(torch.arange(20)).numpy()
    scores[users, items] = -np.inf
    # The one item of the listener's group that is not heard yet, before all ten of the other group.
    np.testing.assert_array_equal(scores.argmax(1), held_out)
    # Both parts of a pair are told apart but for the held-out items themselves, which were drawn as negatives.
    figures = pair_accuracy(model, torch.arange(20), torch.from_numpy(held_out), seed=1)
    assert figures["accuracy"] > 0.9
    assert figures["log_loss"] < math.log(2) / 2


def test_the_same_seed_gives_the_same_weights() -> None:
    one, same, other = (fit_groups(seed)[1].weights for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["user_vectors"], other["user_vectors"])
    assert set(one) == {"user_vectors", "item_vectors", "user_bias", "item_bias", "global_bias"}


def test_negatives_are_uniform_over_what_is_not_heard() -> None:
    heard = [0, 3, 4, 11, 29]
    unheard = UnheardItems(30, torch.tensor([1] * 5 + [0, 2]), torch.tensor([*heard, 7, 8]))
    torch.manual_seed(1)
    drawn, is_open = unheard.draw(torch.tensor([1]).repeat(2000), 20)
    counts = np.bincount(drawn[is_open].numpy(), minlength=30)
    assert set(np.flatnonzero(counts == 0)) == set(heard)
    rest = np.delete(counts, heard)
    # Chi-square of 24 degrees of freedom: above 60 once in 17,000 draws.
    assert ((rest - rest.mean()) ** 2 / rest.mean()).sum() < 60
    assert abs(is_open.double().mean() - 25 / 30) < 0.01
    # Heard is told apart by listener, and drawn anew each time.
    pairs = {(1, item) for item in heard} | {(0, 7), (2, 8)}
    every = torch.arange(30).repeat(4, 1)
    found = unheard.is_heard(torch.arange(4), every).nonzero().tolist()
    assert {(user, item) for user, item in found} == pairs
    assert not torch.equal(unheard.draw(torch.tensor([1]), 20)[0], unheard.draw(torch.tensor([1]), 20)[0])


def test_the_positive_stands_first_and_counts() -> None:
    unheard = UnheardItems(10, torch.tensor([0, 1]), torch.tensor([4, 6]))
    items, is_open = with_negatives(unheard, torch.tensor([0, 1]), torch.tensor([4, 6]), 50)
    assert items[:, 0].tolist() == [4, 6]
    assert is_open[:, 0].all()
    assert torch.equal(is_open[:, 1:], items[:, 1:] != items[:, :1])
    assert not is_open.all()


def test_vectors_score_as_the_network_does(spark: SparkSession) -> None:
    model = drawn_model()
    vectors = dot_bias_vectors(spark, model.state_dict())
    items = sorted(vectors.item_vectors.collect(), key=lambda row: row.item_idx)
    users = sorted(vectors.user_vectors.collect(), key=lambda row: row.user_idx)
    assert [row.item_idx for row in items] == list(range(6))
    assert [row.user_idx for row in users] == list(range(5))
    expected = expected_logits(model) - model.user_bias.detach().numpy()[:, None]
    for user in users:
        scores = [np.dot(user.vector, item.vector) + item.bias for item in items]
        np.testing.assert_allclose(scores, expected[user.user_idx], atol=1e-5)
    assert dict(vectors.item_vectors.dtypes) == {"item_idx": "int", "vector": "array<float>", "bias": "float"}
    with torch.no_grad():
        model.item_bias[3] = float("inf")
    with pytest.raises(NonFiniteError, match="1 item vectors"):
        dot_bias_vectors(spark, model.state_dict())


def test_the_most_and_least_loved_items() -> None:
    weights = {"item_bias": torch.tensor([0.5, -1.0, 2.0, 0.5, 0.0])}
    assert loved(weights, 2) == [(2, 2.0, 1), (0, 0.5, 2), (4, 0.0, 4), (1, -1.0, 5)]
    assert [row.item_idx for row in loved(weights, 3)] == [2, 0, 3, 4, 1]
    assert [row.rank for row in loved(weights, 9)] == [1, 2, 3, 4, 5]


def test_accuracy_of_pairs_against_the_one_item_that_is_left() -> None:
    # Listener 0 has heard 0 and 1, and 2 is held out: 3 is what is left to draw. Listener 1 has nothing left.
    unheard = UnheardItems(4, torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 1, 0, 1, 2]))
    model = make_dot_bias(2, 4, DotBiasParams(dim=2, negatives=5), 1, unheard)
    with torch.no_grad():
        model.user_vectors.zero_()
        model.item_bias.copy_(torch.tensor([9.0, 9.0, -1.0, -2.0]))
    figures = pair_accuracy(model, torch.tensor([0, 1]), torch.tensor([2, 3]), seed=1)
    # With five negatives a positive, odds of e^-1 are odds of 5 e^-1 among as many of each: above one, 5 e^-2 is not.
    held, drawn = 5 * math.exp(-1), 5 * math.exp(-2)
    assert figures["accuracy"] == 1.0
    assert figures["log_loss"] == pytest.approx(-(math.log(held / (1 + held)) + math.log(1 / (1 + drawn))) / 2)
    with torch.no_grad():
        model.item_bias[2] = -3.0
    assert pair_accuracy(model, torch.tensor([0]), torch.tensor([2]), seed=1)["accuracy"] == 0.5
    with pytest.raises(InputError, match="unheard item"):
        pair_accuracy(model, torch.tensor([1]), torch.tensor([3]), seed=1)
    with pytest.raises(InputError, match="loss bce"):
        pair_accuracy(drawn_model(loss="mse"), torch.tensor([1]), torch.tensor([3]), seed=1)


@pytest.mark.parametrize("settings", [{"output_range": (0.0, 1.0)}, {"loss": "mse", "output_range": (1.0, 1.0)}])
def test_a_range_that_fits_no_loss_is_an_error(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="output_range"):
        DotBiasParams(**settings)


def test_a_range_bounds_what_is_learnt() -> None:
    params = DotBiasParams(loss="mse", dim=2, regularization=0.0, output_range=(1.0, 5.0))
    model = make_dot_bias(4, 4, params, 1)
    users, items = np.divmod(np.arange(16), 4)
    values = np.where(users == items, 4.9, 1.2).astype(np.float32)
    fit(model, (users, items, values), FAST.model_copy(update={"epochs": 300}))
    with torch.no_grad():
        found = model.all_scores(torch.arange(4)).numpy()
    assert ((found > 1.0) & (found < 5.0)).all()
    np.testing.assert_allclose(found[users, items], values, atol=0.2)
