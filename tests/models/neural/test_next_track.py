from __future__ import annotations

import numpy as np
import pytest
import torch
from pyspark.sql import SparkSession

from musicrec.models.neural.attention import AttentionParams
from musicrec.models.neural.kinds import make_model
from musicrec.models.neural.lstm import LstmParams
from musicrec.models.neural.next_track import NextTrackModel, NextTrackParams
from musicrec.models.neural.training import train
from musicrec.models.neural.training_params import TrainingParams
from musicrec.models.neural.vectors import next_track_vectors
from tests.models.neural.circles import N_ITEMS, judge, source, ticker

SHAPES: dict[str, NextTrackParams] = {
    "lstm": LstmParams(dim=8, dropout=0.0),
    "deep lstm": LstmParams(dim=8, hidden=(12, 12, 6), residual=True, dropout=0.3, item_dropout=0.2),
    "untied lstm": LstmParams(dim=8, hidden=(12,), tied=False, dropout=0.0),
    "attention": AttentionParams(dim=8, distance=3, dropout=0.1),
}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> NextTrackParams:
    return SHAPES[request.param]


def scores_after(model: NextTrackModel, history: list[int]) -> torch.Tensor:
    return (model.last_states(torch.tensor([history]))[0] @ model.item_weights().T + model.bias).detach()


def test_padding_changes_nothing(shape: NextTrackParams) -> None:
    model = make_model(N_ITEMS, shape, seed=1).eval()
    short, long = torch.tensor([[3, 4, 5]]), torch.tensor([[-1, -1, -1, -1, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7]])
    torch.testing.assert_close(model.last_states(short)[0], model.last_states(long)[0])
    one = model(short, torch.tensor([1]))
    other = model(torch.tensor([[-1, -1, 3, 4, 5]]), torch.tensor([3]))
    torch.testing.assert_close(one[0], other[0])
    assert one[1] == other[1] == 2


def test_a_state_sees_no_later_play(shape: NextTrackParams) -> None:
    model = make_model(N_ITEMS, shape, seed=1).eval()
    states, _, _ = model.states(torch.tensor([[1, 2, 3, 4], [1, 2, 9, 0]]))
    torch.testing.assert_close(states[0, :2], states[1, :2])
    assert not torch.allclose(states[0, 2], states[1, 2])


def test_a_state_hangs_on_the_order(shape: NextTrackParams) -> None:
    model = make_model(N_ITEMS, shape, seed=1).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "by_distance" in name:  # starts at zero, so order counts only once it is learnt
                weight.copy_(torch.randn(weight.shape))
    one, other = model.last_states(torch.tensor([[1, 2, 3], [2, 1, 3]]))
    assert not torch.allclose(one, other)


def test_the_loss_is_the_cross_entropy_of_the_wanted_places(shape: NextTrackParams) -> None:
    model = make_model(N_ITEMS, shape, seed=1).eval()
    items = torch.tensor([[-1, 1, 2, 3], [4, 5, 6, 7]])
    loss, places = model(items, torch.tensor([2, 3]))
    expected = [
        float(-torch.log_softmax(scores_after(model, history), 0)[target])
        for history, target in (([1], 2), ([1, 2], 3), ([4, 5, 6], 7))
    ]
    assert places == 3
    assert float(loss.detach()) == pytest.approx(sum(expected), rel=1e-5)


def test_the_judge_ranks_as_sorting_does(shape: NextTrackParams) -> None:
    model = make_model(N_ITEMS, shape, seed=4).eval()
    sums, count = model.judge(torch.tensor([[-1, 1, 2, 3], [4, 5, 6, 7]]), torch.tensor([2, 1]), k=3)
    cases = (([1], 2), ([1, 2], 3), ([4], 5), ([4, 5], 6), ([4, 5, 6], 7))
    orders = [np.argsort(-scores_after(model, h).numpy(), kind="stable").tolist() for h, _ in cases]
    ranks = [order.index(target) + 1 for order, (_, target) in zip(orders, cases, strict=True)]
    assert count == 5
    assert sums["hr_at_3"] == sum(rank <= 3 for rank in ranks)
    assert sums["ndcg_at_3"] == pytest.approx(sum(1 / np.log2(rank + 1) for rank in ranks if rank <= 3))
    loss, _ = model(torch.tensor([[-1, 1, 2, 3], [4, 5, 6, 7]]), torch.tensor([2, 1]))
    assert sums["valid_loss"] == pytest.approx(float(loss.detach()), rel=1e-5)


def test_equal_scores_rank_by_place() -> None:
    model = make_model(N_ITEMS, LstmParams(dim=2, tied=False), 1).eval()
    with torch.no_grad():
        assert model.output is not None
        model.output.weight.zero_()
    sums, count = model.judge(torch.tensor([[1, 0, 2, 9]]), torch.tensor([1]), k=3)
    assert (count, sums["hr_at_3"]) == (3, 2)


def test_attention_learns_a_rule_that_is_known() -> None:
    shape = AttentionParams(dim=16, dropout=0.0, heads=2, blocks=1)
    params = TrainingParams(epochs=12, batch_size=16, learning_rate=0.02, patience=12, metric="hr_at_1")
    trained = train(make_model(N_ITEMS, shape, 3), source(), params, ticker(), judge)
    assert trained.history[trained.best_epoch].figures["hr_at_1"] == 1.0


def test_recommend_gives_the_best_in_order_and_can_leave_out_what_was_heard(shape: NextTrackParams) -> None:
    model = make_model(N_ITEMS, shape, seed=2)
    found = model.recommend([3, 1, 4], N_ITEMS)
    scores = scores_after(model.eval(), [3, 1, 4]).numpy()
    assert [item for item, _ in found] == np.argsort(-scores, kind="stable").tolist()
    np.testing.assert_allclose([score for _, score in found], np.sort(scores)[::-1], rtol=1e-5)
    new = [item for item, _ in model.recommend([3, 1, 4], 4, leave_out=True)]
    assert new == [item for item, _ in found if item not in (3, 1, 4)][:4]
    with pytest.raises(ValueError, match="history of one play or more"):
        model.recommend([], 3)


def test_vectors_score_as_the_network_does(spark: SparkSession, shape: NextTrackParams) -> None:
    model = make_model(N_ITEMS, shape, seed=5).eval()
    windows = {0: [-1, -1, 2], 1: [4, 5, 6], 2: [9, 9, 9]}
    plays = spark.createDataFrame(list(windows.items()), "user_idx int, items array<int>")
    vectors = next_track_vectors(spark, "some", model.state_dict(), shape, plays)
    items = sorted(vectors.item_vectors.collect(), key=lambda row: row.item_idx)
    assert [row.item_idx for row in items] == list(range(N_ITEMS))
    rows = vectors.user_vectors.collect()
    assert len(rows) == 3
    for row in rows:
        scores = np.array([np.dot(row.vector, item.vector) + item.bias for item in items])
        history = [item for item in windows[row.user_idx] if item >= 0]
        np.testing.assert_allclose(scores, scores_after(model, history).numpy(), atol=1e-5)


def test_other_items_are_one_and_are_neither_targets_nor_offered(spark: SparkSession) -> None:
    shape = LstmParams(dim=8, dropout=0.0)
    model = make_model(N_ITEMS, shape, 1, np.array([7, 2, 5])).eval()
    assert model.item_weights().shape == (3, 8)
    torch.testing.assert_close(model.last_states(torch.tensor([[2, 0]])), model.last_states(torch.tensor([[2, 999]])))
    assert not torch.equal(model.last_states(torch.tensor([[2, 0]])), model.last_states(torch.tensor([[2, 5]])))
    loss, places = model(torch.tensor([[7, 0, 2, 5]]), torch.tensor([1]))
    expected = sum(
        -torch.log_softmax(scores_after(model, history), 0)[place] for history, place in (([7, 0], 1), ([7, 0, 2], 2))
    )
    assert places == 2
    torch.testing.assert_close(loss.detach(), expected)
    assert {item for item, _ in model.recommend([7, 0], 10)} == {2, 5, 7}
    plays = spark.createDataFrame([(0, [1, 2])], "user_idx int, items array<int>")
    rows = next_track_vectors(spark, "some", model.state_dict(), shape, plays).item_vectors.collect()
    order = {7: 0, 2: 1, 5: 2}
    assert [row.item_idx for row in rows] == [2, 5, 7]
    for row in rows:
        np.testing.assert_array_equal(row.vector, model.item_weights()[order[row.item_idx]].detach().numpy())


def test_hidden_plays_are_read_as_unknown_ones_in_training_only() -> None:
    model = make_model(N_ITEMS, LstmParams(dim=4, dropout=0.0, item_dropout=0.999), 1)
    items = torch.tensor([[1, 2, 3, 4]])
    hidden = model.train().last_states(items)
    torch.testing.assert_close(hidden, model.eval().last_states(torch.full((1, 4), 999)))
    assert not torch.equal(hidden, model.last_states(items))


def test_a_warm_start_keeps_what_was_learnt_and_draws_what_is_new() -> None:
    shape = LstmParams(dim=4)
    old = make_model(8, shape, 1, np.array([3, 1, 6, 0]))
    fresh = make_model(9, shape, 2, np.array([1, 8, 3, 5]))
    drawn = fresh.item_weights().detach().clone()
    warm = fresh.start_from(old.state_dict())
    torch.testing.assert_close(warm.item_weights()[0], old.item_weights()[1])
    torch.testing.assert_close(warm.item_weights()[2], old.item_weights()[0])
    torch.testing.assert_close(warm.item_weights()[[1, 3]], drawn[[1, 3]])
    items = torch.tensor([[3, 1, 3]])
    torch.testing.assert_close(warm.eval().last_states(items), old.eval().last_states(items))
