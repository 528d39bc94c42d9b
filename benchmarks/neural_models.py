"""The neural models under the published protocols: what `benchmarks.accuracy` fits with PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import nn

from benchmarks.tasks import Ints, Scorer, Scores, Sequences, Task
from musicrec.errors import InputError
from musicrec.logs import make_logger, progress
from musicrec.models.blocks import Ragged
from musicrec.models.neural.attention import AttentionParams
from musicrec.models.neural.kinds import make_model
from musicrec.models.neural.lstm import LstmParams
from musicrec.models.neural.next_track import NextTrackModel, vocabulary_of
from musicrec.models.neural.presets import with_preset
from musicrec.models.neural.sources import ArraySource
from musicrec.models.neural.training import train
from musicrec.models.neural.training_params import TrainingParams
from musicrec.padding import PAD_IDX
from musicrec.params import Params


class SequenceSettings(Params):
    """A next-track model under a protocol: its training, and the plays in a window; subclasses have its shape."""

    training: TrainingParams = TrainingParams()
    length: int = Field(default=50, ge=2)


class LstmSettings(SequenceSettings):
    """The LSTM."""

    preset: str = ""
    model: LstmParams = LstmParams()

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: object) -> object:
        return with_preset(values)


class AttentionSettings(SequenceSettings):
    """The self-attention model."""

    model: AttentionParams = AttentionParams()


def next_track(task: Task, settings: LstmSettings | AttentionSettings, seed: int) -> Scorer:
    """Train on the training sequences, stop by the validation item, and score by the histories."""
    if task.sequences is None:
        raise InputError("--models", "models that need no order, since the protocol has none", "a sequence model")
    training, length = settings.training, settings.length
    model = make_model(task.items, settings.model, seed, by_plays(task))
    valid = task if task.sequences.valid is None else task.sequences.valid
    items, first_target = cut(task.sequences.train, length)
    lengths = (items != PAD_IDX).sum(axis=1)
    source = ArraySource((items, first_target), training.batch_size, seed, lengths)

    def judge(trained: nn.Module) -> tuple[dict[str, float], float]:
        assert valid.sequences is not None
        return valid.judge(_scorer(model, valid.sequences, length)), 1.0

    with progress(make_logger("accuracy"), "training", training.epochs * source.steps()) as ticker:
        train(model, source, training, ticker, judge)
    return _scorer(model, task.sequences, length)


def cut(sequences: Ragged, length: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(items [windows, length], first_target): windows from the end of each, so that each transition is in one."""
    items, first = [], []
    for row in range(len(sequences.starts) - 1):
        plays = sequences[row]
        for end in range(len(plays), 1, -(length - 1)):
            window = plays[max(end - length, 0) : end]
            items.append(np.pad(window, (length - len(window), 0), constant_values=PAD_IDX))
            first.append(length - len(window) + 1)
    return np.stack(items).astype(np.int32), np.array(first, np.int32)


def _scorer(model: NextTrackModel, sequences: Sequences, length: int) -> Scorer:
    vocabulary = vocabulary_of(model.state_dict())

    def score(users: Ints) -> Scores:
        model.eval()
        rows = np.full((len(users), length), PAD_IDX, np.int32)
        for row, user in enumerate(users):
            plays = sequences.history[user][-length:]
            rows[row, length - len(plays) :] = plays
        with torch.no_grad():
            states = model.last_states(torch.from_numpy(rows))
            of_places = (states @ model.item_weights().T + model.bias).numpy()
        scores = np.empty_like(of_places)
        scores[:, vocabulary] = of_places
        return scores

    return score


def by_plays(task: Task) -> Ints:
    """The items, most played in training first."""
    return np.argsort(-np.bincount(task.train.items, minlength=task.items), kind="stable")
