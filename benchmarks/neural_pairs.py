"""The neural models of pairs under the published protocols: what `benchmarks.accuracy` fits with PyTorch.

A fit runs all epochs that it is told and looks at nothing held out: their number, as all settings, is chosen at the
stage `valid`.
"""

from __future__ import annotations

from typing import Protocol

import torch

from benchmarks.tasks import Ints, Scorer, Scores, Task
from musicrec.errors import ConfigError
from musicrec.logs import make_logger, progress
from musicrec.models.neural.dot_bias import DotBiasParams, make_dot_bias, pair_accuracy
from musicrec.models.neural.ncf import NcfParams, make_ncf, pretrain, pretrain_steps
from musicrec.models.neural.negatives import UnheardItems
from musicrec.models.neural.sources import ArraySource
from musicrec.models.neural.training import Judge, train
from musicrec.models.neural.training_params import PairTrainingParams, TrainingParams
from musicrec.params import Params


class PairModel(Protocol):
    """A model that scores all items for some listeners."""

    def all_scores(self, users: torch.Tensor) -> torch.Tensor:
        """[b, n_items]."""


class NcfSettings(Params):
    """NeuMF under a protocol: its shape and its training."""

    model: NcfParams = NcfParams()
    training: PairTrainingParams = PairTrainingParams()


class DotBiasSettings(Params):
    """Embeddings with biases under a protocol: the shape and the training."""

    model: DotBiasParams = DotBiasParams()
    training: PairTrainingParams = PairTrainingParams()


def ncf(task: Task, settings: NcfSettings, seed: int, judge: Judge | None = None) -> Scorer:
    """NeuMF.

    Parameters
    ----------
    judge : shows how a run comes on, epoch by epoch, while settings are chosen; it also picks the best epoch.
    """
    model = make_ncf(task.users, task.items, settings.model, seed, _unheard(task))
    source = _source(task, settings.training, seed)
    steps = settings.training.epochs * source.steps() + pretrain_steps(settings.model, source)
    with progress(make_logger("accuracy"), "training", steps) as ticker:
        pretrain(model, source, settings.training, ticker)
        train(model, source, settings.training, ticker, judge)
    return scorer(model.eval())


def dot_bias(task: Task, settings: DotBiasSettings, seed: int, judge: Judge | None = None) -> Scorer:
    """Embeddings with biases; how well held-out pairs are told from drawn ones is logged. `judge` as in `ncf`.

    Raises
    ------
    ConfigError : the loss is `mse`, but protocols of pairs have no values.
    """
    if settings.model.loss != "bce":
        raise ConfigError("dot_bias.model.loss", "bce, since the protocol has no values to regress on", "mse")
    model = make_dot_bias(task.users, task.items, settings.model, seed, _unheard(task))
    source, log = _source(task, settings.training, seed), make_logger("accuracy")
    with progress(log, "training", settings.training.epochs * source.steps()) as ticker:
        train(model, source, settings.training, ticker, judge)
    held_out = (torch.from_numpy(task.wanted.users), torch.from_numpy(task.wanted.items))
    figures = pair_accuracy(model.eval(), *held_out, seed)
    log.info("dot_bias: held-out pairs against drawn ones", **{name: round(v, 4) for name, v in figures.items()})
    return scorer(model)


def scorer(model: PairModel) -> Scorer:
    """Scores of all items by the model as it is when asked."""

    def score(users: Ints) -> Scores:
        with torch.no_grad():
            scores: Scores = model.all_scores(torch.from_numpy(users)).numpy()
        return scores

    return score


def _unheard(task: Task) -> UnheardItems:
    return UnheardItems(task.items, torch.from_numpy(task.train.users), torch.from_numpy(task.train.items))


def _source(task: Task, training: TrainingParams, seed: int) -> ArraySource:
    return ArraySource((task.train.users, task.train.items), training.batch_size, seed)
