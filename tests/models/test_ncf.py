from __future__ import annotations

import numpy as np
import pytest
import torch
from pyspark.sql import SparkSession

from musicrec.errors import NonFiniteError
from musicrec.logs import make_logger, progress
from musicrec.models.neural.ncf import NcfModel, NcfParams, join, make_ncf, ncf_of_weights, pretrain, pretrain_steps
from musicrec.models.neural.ncf_rerank import ncf_rerank
from musicrec.models.neural.negatives import UnheardItems
from musicrec.models.neural.pair_products import pair_products
from musicrec.models.neural.sources import ArraySource
from musicrec.models.neural.training import Trained, train
from musicrec.models.neural.training_params import TrainingParams

PARTS = ("dot", "mlp", "both")
N_USERS, N_ITEMS = 20, 20
SHAPE = NcfParams(dim=4, mlp=(8, 8, 4), negatives=4, regularization=0.01, mlp_regularization=0.001)
FAST = TrainingParams(epochs=30, batch_size=32, learning_rate=0.03, schedule="one_cycle", weight_decay=0.0)


def two_groups() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(users, items, held out item of each user): even users hear even items, odd ones odd items."""
    held_out = (np.arange(N_USERS) * 3) % N_ITEMS // 2 * 2 + np.arange(N_USERS) % 2
    users, items = np.nonzero(np.equal.outer(np.arange(N_USERS) % 2, np.arange(N_ITEMS) % 2))
    is_train = items != held_out[users]
    return users[is_train], items[is_train], held_out


def unheard_of(users: np.ndarray, items: np.ndarray) -> UnheardItems:
    return UnheardItems(N_ITEMS, torch.from_numpy(users), torch.from_numpy(items))


def fit(params: NcfParams, seed: int = 3) -> tuple[NcfModel, Trained]:
    users, items, _ = two_groups()
    model = make_ncf(N_USERS, N_ITEMS, params, seed, unheard_of(users, items))
    source = ArraySource((users, items), FAST.batch_size, seed)
    steps = FAST.epochs * source.steps() + pretrain_steps(params, source)
    with progress(make_logger("test"), "step", steps) as ticker:
        pretrain(model, source, FAST, ticker)
        trained = train(model, source, FAST, ticker)
    return model.eval(), trained


def expected_logit(weights: dict[str, np.ndarray], user: int, item: int, parts: str) -> float:
    """The formula of the paper, for one pair."""
    joined = []
    if parts != "mlp":
        joined.append(weights["user_dot"][user] * weights["item_dot"][item])
    if parts != "dot":
        state = np.concatenate([weights["user_mlp"][user], weights["item_mlp"][item]])
        for layer in range(2):
            state = np.maximum(weights[f"tower.{layer}.weight"] @ state + weights[f"tower.{layer}.bias"], 0.0)
        joined.append(state)
    return float((weights["output.weight"] @ np.concatenate(joined) + weights["output.bias"])[0])


def expected_penalty(weights: dict[str, np.ndarray], user: int, item: int) -> float:
    """0.3 / 2 of the weighted rows of the GMF, 0.8 / 2 of all that the tower is made of, for one pair."""
    penalty, output = 0.0, weights["output.weight"][0]
    if "user_dot" in weights:
        penalty += 0.15 * (
            ((output[:3] * weights["user_dot"][user]) ** 2).sum() + (weights["item_dot"][item] ** 2).sum()
        )
    if "user_mlp" in weights:
        penalty += 0.4 * ((weights["user_mlp"][user] ** 2).sum() + (weights["item_mlp"][item] ** 2).sum())
        penalty += 0.4 * sum((weights[name] ** 2).sum() for name in weights if name.startswith("tower"))
        penalty += 0.4 * (output[-4:] ** 2).sum()
    return float(penalty)


def drawn_model(parts: str, seed: int = 1, **settings: object) -> NcfModel:
    """A model all of whose weights are random, those that start at ones or zeros too."""
    model = make_ncf(5, 6, NcfParams(parts=parts, dim=3, mlp=(8, 5, 4), **settings), seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model.eval()


def numpy_weights(model: NcfModel) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().astype(np.float64) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("parts", PARTS)
def test_scores_are_those_of_the_formula(parts: str) -> None:
    model = drawn_model(parts)
    expected = np.array([[expected_logit(numpy_weights(model), u, i, parts) for i in range(6)] for u in range(5)])
    with torch.no_grad():
        np.testing.assert_allclose(model.all_scores(torch.arange(5)).numpy(), expected, atol=1e-4)
        # As many pairs as make the network go over all items once, and fewer.
        for users, items in (([4, 0, 4], [[5, 0, 2, 2], [1, 5, 3, 0], [0, 1, 2, 3]]), ([3], [[1, 4]])):
            scores = model.scores(torch.tensor(users), torch.tensor(items)).numpy()
            np.testing.assert_allclose(scores, expected[np.array(users)[:, None], items], atol=1e-4)


def test_all_items_are_scored_alike_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = drawn_model("both")
    with torch.no_grad():
        whole = model.all_scores(torch.arange(5))
        monkeypatch.setattr("musicrec.models.neural.ncf._STATES", 2 * 6 * 5)
        torch.testing.assert_close(model.all_scores(torch.arange(5)), whole)


def test_gmf_starts_as_the_dot_product() -> None:
    model = make_ncf(5, 6, NcfParams(parts="dot", dim=7), seed=2)
    expected = model.user_dot @ model.item_dot.T
    torch.testing.assert_close(model.all_scores(torch.arange(5)), expected)


@pytest.mark.parametrize("parts", PARTS)
def test_the_loss_is_the_cross_entropy_of_the_open_pairs_with_the_penalty(parts: str) -> None:
    model = drawn_model(parts, negatives=7, regularization=0.3, mlp_regularization=0.8)
    users, items = torch.tensor([0, 3, 3]), torch.tensor([2, 1, 5])
    model.unheard = UnheardItems(6, torch.tensor([0, 0, 0, 3, 3]), torch.tensor([2, 3, 4, 1, 5]))
    torch.manual_seed(11)
    drawn, is_open = model.unheard.draw(users, 7)
    torch.manual_seed(11)
    loss, events = model(users, items)

    weights, expected, count = numpy_weights(model), 0.0, 0
    for row, user in enumerate(users.tolist()):
        others = drawn[row][is_open[row]].tolist()
        for item, label in ((int(items[row]), 1), *((other, 0) for other in others)):
            chance = 1 / (1 + np.exp(-expected_logit(weights, user, item, parts)))
            expected += expected_penalty(weights, user, item) - np.log(chance if label else 1 - chance)
            count += 1
    assert 3 < count < 24
    assert int(events) == count
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_products_of_pairs_and_their_gradients_are_those_of_the_plain_formula() -> None:
    torch.manual_seed(1)
    of_users, table = torch.randn(7, 5, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    items, weights = torch.randint(0, 3, (7, 6)), torch.randn(7, 6)  # row 3 of the table is never named
    results = []
    for products in (pair_products(of_users, table, items), torch.einsum("bnd,bd->bn", table[items], of_users)):
        gradients = torch.autograd.grad((products * weights).sum(), (of_users, table))
        results.append((products.detach(), *gradients))
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("parts", PARTS)
def test_it_learns_a_rule_that_is_known(parts: str) -> None:
    users, items, held_out = two_groups()
    model, trained = fit(SHAPE.model_copy(update={"parts": parts}))
    assert trained.history[-1].train_loss < 0.7 * trained.history[0].train_loss
    with torch.no_grad():
        scores = model.all_scores(torch.arange(N_USERS)).numpy()
    scores[users, items] = -np.inf
    # The one item of the listener's group that is not heard yet, before all ten of the other group.
    np.testing.assert_array_equal(scores.argmax(1), held_out)


def test_the_same_seed_gives_the_same_weights() -> None:
    params = SHAPE.model_copy(update={"dropout": 0.2, "pretrain_epochs": 1})
    (_, one), (_, same), (_, other) = fit(params), fit(params), fit(params, seed=4)
    assert all(torch.equal(one.weights[name], same.weights[name]) for name in one.weights)
    assert not torch.equal(one.weights["user_dot"], other.weights["user_dot"])
    assert not any("heard" in name for name in one.weights)


def test_dropout_is_of_training_only() -> None:
    model = drawn_model("mlp", dropout=0.5)
    users = torch.arange(5)
    assert torch.equal(model.all_scores(users), model.all_scores(users))
    assert not torch.equal(model.train().all_scores(users), model.eval().all_scores(users))


def test_joined_weights_score_the_mean_of_the_parts() -> None:
    gmf, mlp = drawn_model("dot", seed=1), drawn_model("mlp", seed=2)
    both = ncf_of_weights(join(gmf.state_dict(), mlp.state_dict()), NcfParams(dim=3, mlp=(8, 5, 4)))
    users = torch.arange(5)
    expected = (gmf.all_scores(users) + mlp.all_scores(users)) / 2
    torch.testing.assert_close(both.all_scores(users), expected)


def test_pretraining_starts_from_both_parts_trained_alone() -> None:
    users, items, _ = two_groups()
    source, unheard = ArraySource((users, items), 32, 1), unheard_of(users, items)
    params = SHAPE.model_copy(update={"pretrain_epochs": 2})
    model = make_ncf(N_USERS, N_ITEMS, params, 1, unheard)
    untouched = make_ncf(N_USERS, N_ITEMS, SHAPE, 1, unheard)
    before = {name: tensor.clone() for name, tensor in untouched.state_dict().items()}
    with progress(make_logger("test"), "step", pretrain_steps(params, source)) as ticker:
        torch.manual_seed(8)
        pretrain(untouched, source, FAST, ticker)
        pretrain(model, source, FAST, ticker)
        torch.manual_seed(8)
        alone = []
        for part in ("dot", "mlp"):
            shape = SHAPE.model_copy(update={"parts": part})
            alone.append(NcfModel(N_USERS, N_ITEMS, shape, unheard))
            train(alone[-1], source, FAST.model_copy(update={"epochs": 2}), ticker)
    assert all(torch.equal(tensor, before[name]) for name, tensor in untouched.state_dict().items())
    everyone = torch.arange(N_USERS)
    expected = (alone[0].all_scores(everyone) + alone[1].all_scores(everyone)) / 2
    torch.testing.assert_close(model.all_scores(everyone), expected)


@pytest.mark.parametrize(
    "settings", [{"mlp": (7, 4)}, {"mlp": (8,)}, {"mlp": (8, 0)}, {"parts": "dot", "pretrain_epochs": 1}]
)
def test_settings_that_make_no_network_are_errors(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"mlp|pretrain_epochs"):
        NcfParams(**settings)


def test_lists_are_reranked_as_the_network_scores(spark: SparkSession) -> None:
    params = NcfParams(dim=3, mlp=(8, 5, 4))
    model = drawn_model("both")
    with torch.no_grad():
        model.item_dot[4] = model.item_dot[1]
        model.item_mlp[4] = model.item_mlp[1]
    given = {0: [0, 1, 2, 3, 4, 5], 1: [99, 4, 6, 1, -1], 3: [], 4: [3], 7: [5, 2, 9], 8: None}
    lists = spark.createDataFrame(list(given.items()), "user_idx int, items array<int>")
    rows = {row.user_idx: row for row in ncf_rerank(spark, model.state_dict(), params, lists).collect()}

    with torch.no_grad():
        logits = model.all_scores(torch.arange(5)).numpy()
    np.testing.assert_allclose(logits[:, 4], logits[:, 1])
    best = sorted(range(6), key=lambda item: -logits[0, item if item != 4 else 1])
    assert rows[0]["items"] == best
    assert best.index(4) == best.index(1) + 1  # equal scores: the lower item first
    np.testing.assert_allclose(rows[0].scores, logits[0, best], rtol=1e-5)
    assert rows[1]["items"] == [1, 4, 99, 6, -1]
    assert rows[1].scores[2:] == [None, None, None]
    assert (rows[3]["items"], rows[8]["items"], rows[4]["items"]) == ([], [], [3])
    assert (rows[7]["items"], rows[7].scores) == ([5, 2, 9], [None, None, None])


def test_weights_that_are_not_finite_rank_nothing(spark: SparkSession) -> None:
    model = drawn_model("dot")
    with torch.no_grad():
        model.item_dot[2, 1] = float("nan")
    lists = spark.createDataFrame([(0, [1])], "user_idx int, items array<int>")
    with pytest.raises(NonFiniteError, match="item_dot"):
        ncf_rerank(spark, model.state_dict(), NcfParams(parts="dot", dim=3), lists)
