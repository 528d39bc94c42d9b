from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from musicrec.models.neural.losses import LossParams, draw_negatives, full_loss, sampled_loss

SIZE, DIM, EVENTS = 30, 5, 12


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    states, weights = (torch.randn(n, DIM, generator=generator) for n in (EVENTS, SIZE))
    targets = torch.randint(SIZE, (EVENTS,), generator=generator)
    return states, targets, weights.requires_grad_(), torch.randn(SIZE, generator=generator).requires_grad_()


def gradient(loss: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(loss, weights)
    return found


@pytest.mark.parametrize("uniform_share", [0.0, 0.3, 1.0])
def test_the_corrected_sample_has_the_gradient_of_the_whole_softmax(problem, uniform_share: float) -> None:
    torch.manual_seed(1)
    exact = gradient(full_loss(*problem), problem[2])
    params = LossParams(negatives=3000, uniform_share=uniform_share)
    drawn = torch.stack([gradient(sampled_loss(*problem, params), problem[2]) for _ in range(40)])
    torch.testing.assert_close(drawn.mean(0), exact, atol=0.03 * float(exact.abs().max()), rtol=0)
    wrong = LossParams(negatives=3000, uniform_share=uniform_share, correction="gbce")
    assert not torch.allclose(gradient(sampled_loss(*problem, wrong), problem[2]), exact, atol=0.2)


def test_the_whole_loss_does_not_hang_on_how_many_rows_are_held(problem, monkeypatch: pytest.MonkeyPatch) -> None:
    states, targets, weights, bias = problem
    expected = functional.cross_entropy(states @ weights.T + bias, targets, reduction="sum", label_smoothing=0.1)
    torch.testing.assert_close(full_loss(*problem, 0.1), expected)
    monkeypatch.setattr("musicrec.models.neural.losses._SCORES", 3 * SIZE)
    torch.testing.assert_close(full_loss(*problem, 0.1), expected)


@pytest.mark.parametrize(("calibration", "power"), [(0.0, 1.0), (1.0, 6 / 29), (0.5, (1 + 6 / 29) / 2)])
def test_gbce_is_its_formula(problem, calibration: float, power: float) -> None:
    states, targets, weights, bias = problem
    params = LossParams(negatives=6, uniform_share=1.0, correction="gbce", calibration=calibration)
    torch.manual_seed(5)
    loss = float(sampled_loss(*problem, params).detach())
    torch.manual_seed(5)
    drawn, _ = draw_negatives(SIZE, params, torch.device("cpu"))
    scores = (states @ weights.T + bias).detach().double().numpy()
    expected = 0.0
    for row, target in enumerate(targets.tolist()):
        probability = 1 / (1 + np.exp(-scores[row]))
        expected -= power * np.log(probability[target])
        expected -= sum(np.log(1 - probability[item]) for item in drawn.tolist() if item != target)
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("uniform_share", [0.0, 0.4, 1.0])
def test_negatives_are_drawn_with_the_probability_they_say(uniform_share: float) -> None:
    torch.manual_seed(2)
    drawn, share = draw_negatives(SIZE, LossParams(negatives=200_000, uniform_share=uniform_share), torch.device("cpu"))
    zipf = np.log1p(1 / (np.arange(SIZE) + 1)) / np.log(SIZE + 1)
    expected = uniform_share / SIZE + (1 - uniform_share) * zipf
    assert expected.sum() == pytest.approx(1)
    np.testing.assert_allclose(share.numpy(), expected[drawn.numpy()])
    found = np.bincount(drawn.numpy(), minlength=SIZE) / 200_000
    np.testing.assert_allclose(found, expected, atol=5 * np.sqrt(expected.max() / 200_000))


def test_the_whole_softmax_on_a_cpu_is_autograds(problem, monkeypatch: pytest.MonkeyPatch) -> None:
    # In blocks of three events, the last of which is not full; twice the loss has twice the gradients.
    monkeypatch.setattr("musicrec.models.neural.whole_softmax._SCORES", 3 * SIZE + 1)
    states, targets, weights, bias = problem
    states, targets = states[:11].requires_grad_(), targets[:11]
    plain = functional.cross_entropy(states @ weights.T + bias, targets, reduction="sum")
    blocked = full_loss(states, targets, weights, bias)
    torch.testing.assert_close(blocked, plain)
    found, expected = (torch.autograd.grad(2 * loss, (states, weights, bias)) for loss in (blocked, plain))
    torch.testing.assert_close(found, expected)


def test_the_whole_softmax_of_large_scores_and_of_no_events_is_finite() -> None:
    weights, bias = (torch.eye(4) * 1000).requires_grad_(), torch.zeros(4, requires_grad=True)
    loss = full_loss(torch.eye(4), torch.tensor([0, 1, 2, 0]), weights, bias)
    assert float(loss.detach()) == pytest.approx(1000)
    assert torch.isfinite(gradient(loss, weights)).all()
    nothing = full_loss(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), weights, bias)
    assert float(nothing.detach()) == 0
    assert not gradient(nothing, weights).any()
