from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from musicrec.errors import InputError, NonFiniteError
from musicrec.io.checkpoints import FolderStore
from musicrec.models.neural.kinds import make_model
from musicrec.models.neural.losses import LossParams
from musicrec.models.neural.lr_find import lr_find
from musicrec.models.neural.lstm import LstmParams
from musicrec.models.neural.next_track import NextTrackModel
from musicrec.models.neural.training import Trained, train
from musicrec.models.neural.training_params import TrainingParams
from tests.models.neural.circles import N_ITEMS, judge, source, ticker

SHAPE = LstmParams(dim=16, dropout=0.2, loss=LossParams(negatives=4))
FAST = TrainingParams(epochs=3, batch_size=16, learning_rate=0.02, metric="ndcg_at_1")


class KilledError(Exception):
    pass


class MemoryStore:
    """Checkpoints in memory; ends the run after so many, as a kill would."""

    def __init__(self, kill_after: int = 0) -> None:
        self.kept: list[tuple[dict[str, torch.Tensor], Mapping[str, Any]]] = []
        self.kill_after = kill_after

    def save(self, tensors: dict[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
        self.kept.append((tensors, facts))
        if self.kill_after and len(self.kept) == self.kill_after:
            raise KilledError

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        return (self.kept[-1][0], dict(self.kept[-1][1])) if self.kept else None


def fit(params: TrainingParams = FAST, shape: LstmParams = SHAPE, **kwargs: Any) -> tuple[NextTrackModel, Trained]:
    model = make_model(N_ITEMS, shape, seed=3)
    kwargs.setdefault("judge", judge)
    return model, train(model, source(), params, ticker(), **kwargs)


def assert_same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_it_learns_a_rule_that_is_known() -> None:
    params = TrainingParams(epochs=25, batch_size=16, learning_rate=0.02, patience=25, metric="ndcg_at_1")
    model, trained = fit(params, LstmParams(dim=16, dropout=0.0))
    assert trained.history[0].figures["hr_at_1"] < 0.9
    assert trained.history[-1].figures["hr_at_1"] == 1.0
    assert trained.history[-1].train_loss < 0.2 < 1.0 < trained.history[0].train_loss
    assert model.recommend([7, 8, 9], 1)[0][0] == 5


def test_the_same_seed_gives_the_same_weights() -> None:
    assert_same(fit()[1].weights, fit()[1].weights)


@pytest.mark.parametrize(
    ("optimizer", "schedule", "kills"),
    [
        ("adamw", "one_cycle", 1),
        ("adamw", "one_cycle", 7),
        ("adamw", "cosine", 4),
        ("adamw", "constant", 3),
        ("adagrad", "one_cycle", 4),
    ],
)
def test_killed_and_resumed_gives_the_weights_of_an_unbroken_run(
    optimizer: str, schedule: str, kills: int, tmp_path: Path
) -> None:
    # 13 steps an epoch: checkpoints in the middle of epochs and at their ends.
    params = FAST.model_copy(update={"optimizer": optimizer, "schedule": schedule, "checkpoint_steps": 5})
    whole_store = MemoryStore()
    whole = fit(params, store=whole_store)[1]
    broken = MemoryStore(kill_after=kills)
    with pytest.raises(KilledError):
        fit(params, store=broken)
    # By way of the files, so that what they cannot hold is missed.
    files = FolderStore(tmp_path / "run")
    files.save(*broken.kept[-1])
    torch.manual_seed(99)
    resumed = fit(params, store=files)[1]
    assert_same(resumed.weights, whole.weights)
    last = files.load()
    assert last is not None
    assert_same(last[0], whole_store.kept[-1][0])
    assert [e.train_loss for e in resumed.history] == [e.train_loss for e in whole.history]
    assert [e.figures for e in resumed.history] == [e.figures for e in whole.history]
    assert resumed.best_epoch == whole.best_epoch


def test_a_finished_run_is_not_run_again() -> None:
    store = MemoryStore()
    first = fit(store=store)[1]
    count = len(store.kept)
    assert_same(fit(store=store)[1].weights, first.weights)
    assert len(store.kept) == count


def test_a_checkpoint_of_another_run_is_refused() -> None:
    store = MemoryStore()
    fit(store=store, config={"n_items": 10})
    with pytest.raises(InputError, match=r"checkpoint: expected one of n_items = 11, found 10"):
        fit(store=store, config={"n_items": 11})
    with pytest.raises(InputError, match="checkpoint: expected one of training"):
        fit(FAST.model_copy(update={"learning_rate": 0.5}), store=store, config={"n_items": 10})


def test_the_folder_keeps_one_whole_checkpoint(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "run")
    assert store.load() is None
    for number in range(3):
        store.save({"a": torch.full((2,), float(number))}, {"number": number})
    (tmp_path / "run" / "partial").mkdir()
    (tmp_path / "run" / "partial" / "weights.safetensors").write_bytes(b"half")
    found = store.load()
    assert found is not None
    assert found[1] == {"number": 2}
    assert float(found[0]["a"][0]) == 2.0
    assert len(list((tmp_path / "run").glob("checkpoint-*"))) == 1
    store.save({"a": torch.zeros(1)}, {"number": 3})
    assert store.load() == ({"a": torch.zeros(1)}, {"number": 3})


def test_the_best_epoch_is_kept_and_patience_ends_the_training() -> None:
    values = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    seen: list[dict[str, torch.Tensor]] = []

    def falling(model: nn.Module) -> tuple[dict[str, float], float]:
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"ndcg_at_1": 4 * next(values)}, 4

    params = FAST.model_copy(update={"epochs": 9, "patience": 2})
    model, trained = fit(params, judge=falling)
    assert [round(e.figures["ndcg_at_1"], 6) for e in trained.history] == [0.1, 0.5, 0.4, 0.3]
    assert trained.best_epoch == 1
    assert_same(trained.weights, seen[1])
    assert_same(model.state_dict(), seen[1])


def test_without_a_judge_every_epoch_runs_and_the_last_is_kept() -> None:
    _, trained = fit(judge=None)
    assert [e.figures for e in trained.history] == [{}, {}, {}]
    assert trained.best_epoch == 2


def test_a_loss_that_is_not_finite_is_an_error_and_the_last_checkpoint_stays() -> None:
    store = MemoryStore()
    model = make_model(N_ITEMS, SHAPE, seed=3)

    def spoil(trained: nn.Module) -> tuple[dict[str, float], float]:
        if len(store.kept) == 1:
            with torch.no_grad():
                model.bias[0] = float("nan")
        return {"ndcg_at_1": 1.0}, 1

    with pytest.raises(NonFiniteError, match=r"loss is nan in epoch 2"):
        train(model, source(), FAST.model_copy(update={"epochs": 5}), ticker(), spoil, store)
    # That of epoch 1 is spoilt too, but by the judge of this test, after its loss was found finite.
    assert len(store.kept) == 2
    assert torch.isfinite(store.kept[0][0]["model.bias"]).all()


def test_an_unknown_metric_and_an_empty_set_are_named() -> None:
    with pytest.raises(InputError, match=r"training.metric: expected one of ndcg_at_1, .*found auc"):
        fit(FAST.model_copy(update={"metric": "auc"}))
    with pytest.raises(InputError, match="validation set: expected a place to predict, found none"):
        fit(judge=lambda model: ({"ndcg_at_1": 0.0}, 0))
    with pytest.raises(InputError, match="training set: expected a row or more, found none"):
        train(make_model(N_ITEMS, SHAPE, 1), source(rows=0), FAST, ticker())


def test_schedules_start_and_end_where_they_should() -> None:
    rates: dict[str, list[float]] = {}
    for schedule in ("constant", "cosine", "one_cycle"):
        store = MemoryStore()
        params = FAST.model_copy(update={"schedule": schedule, "checkpoint_steps": 1, "patience": 9})
        fit(params, store=store)
        rates[schedule] = [facts["groups"][0]["lr"] for _, facts in store.kept]
    assert set(rates["constant"]) == {0.02}
    assert rates["cosine"][0] > 0.0199
    assert rates["cosine"][-1] == pytest.approx(0, abs=1e-9)
    assert sorted(rates["cosine"], reverse=True) == rates["cosine"]
    peak = rates["one_cycle"].index(max(rates["one_cycle"]))
    assert max(rates["one_cycle"]) == pytest.approx(0.02, rel=0.01)
    assert 0.05 < peak / len(rates["one_cycle"]) < 0.2
    assert rates["one_cycle"][-1] < 1e-4


def test_lr_find_leaves_no_trace_and_suggests_a_rate_that_learns() -> None:
    model = make_model(N_ITEMS, SHAPE, seed=3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    found = lr_find(model, source(), FAST, lowest=1e-5, highest=10, steps=60)
    assert_same(model.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), random)
    ratios = [b / a for a, b in zip(found.rates[:-1], found.rates[1:], strict=True)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    assert 1e-3 < found.suggested < 0.5
    assert min(found.losses) < found.losses[0]
