"""How much a next-track model learns from how much data: what is `auto`, as numbers.

A night has hours for a million plays and minutes for a hundred thousand, so what is affordable follows from the work:
plays × epochs × what a play costs. The costs are those of two CPU cores (docs/performance.md); they are constants, so
that the same data give the same settings on every machine of a kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from musicrec.models.neural.attention import AttentionParams
from musicrec.models.neural.auto import AUTO
from musicrec.models.neural.lstm import LstmParams
from musicrec.models.neural.next_track import NextTrackParams
from musicrec.models.neural.training_params import LearningParams, NextTrackTraining, TrainingParams

# Trainings of a night: one that chooses the number of epochs, one on everything.
_TRAININGS = 2
# Seconds on two cores for each play and scored item: a part that grows with the width, and one that does not.
_A_PRODUCT, _A_SCORE = 6.0e-11, 1.0e-9
# For each play and weight of the network that reads the plays, and for each play whatever the model.
_A_WEIGHT, _A_PLAY = 2.0e-10, 1.5e-6
# For each step, and each step and weight of the embedding, which AdamW passes over.
_A_STEP, _A_PARAMETER = 2.0e-3, 4.0e-9
# A GPU was not measured; it is at least so much faster.
_GPU = 10.0

# Negatives where the whole softmax is too much; with steps this small more pay nothing, see docs/accuracy.md.
_NEGATIVES = 512
# Beyond so many items each step's pass over the embedding would be most of the work.
_MOST_ITEMS = 100_000
# Plays in a step: small steps learn more from an epoch, large ones cost less a play (docs/accuracy.md). With many plays
# so many as make about two steps of each play of one.
_PLAYS_A_STEP, _OF_ROOT = 400, 0.6
# Windows in a step at least and at most; and steps that an epoch of few windows still has.
_BATCHES, _FEWEST_STEPS = (4, 256), 16
# At most and, before windows are left out, at least.
_EPOCHS = (2, 8)


@dataclass(frozen=True)
class Amount:
    """How much there is to learn from.

    Attributes
    ----------
    items : different ones that were played.
    plays : that have one before them, so that they can be predicted.
    windows : that the plays are cut into.
    has_gpu : whether the trainer has one.
    """

    items: int
    plays: int
    windows: int
    has_gpu: bool = False


@dataclass(frozen=True)
class Plan:
    """A model's settings as numbers.

    Attributes
    ----------
    negatives, max_items : as in the model's settings.
    training : how much, and how.
    seconds : that a night's two trainings should take.
    """

    negatives: int
    max_items: int
    training: TrainingParams
    seconds: float

    def shape(self, model: NextTrackParams) -> NextTrackParams:
        """The model's settings with nothing left open."""
        loss = model.loss.model_copy(update={"negatives": self.negatives})
        return model.model_copy(update={"loss": loss, "max_items": self.max_items})


def make_plan(model: NextTrackParams, training: NextTrackTraining, amount: Amount, trainers: int = 1) -> Plan:
    """What is `auto` by the amount of data, within `training.seconds`; what is given stays.

    The whole softmax is used where all epochs over all windows are affordable with it, since nothing learns more from
    an epoch. Otherwise negatives are drawn; then there are fewer epochs, then fewer windows in each. The estimate is
    above `training.seconds` only by what is given, or where two epochs of one batch take longer.
    """
    batch = _batch(amount, trainers) if training.batch_size == AUTO else training.batch_size
    most = _most_items(amount) if model.max_items == AUTO else model.max_items
    work = _Work(model, amount, min(most or amount.items, amount.items), batch)
    epochs = _EPOCHS[1] if training.epochs == AUTO else training.epochs
    most_windows = 0 if training.max_windows == AUTO else training.max_windows
    windows = min(most_windows or amount.windows, amount.windows)
    negatives = model.loss.negatives
    if negatives == AUTO:
        is_whole = work.items <= _NEGATIVES or work.seconds(0, epochs, windows) <= training.seconds
        negatives = 0 if is_whole else _NEGATIVES
    if training.epochs == AUTO:
        epochs = work.affordable_epochs(negatives, windows, training.seconds)
    if training.max_windows == AUTO:
        windows = work.affordable_windows(negatives, epochs, training.seconds)
        most_windows = windows if windows < amount.windows else 0
    much = {"epochs": epochs, "batch_size": batch, "max_windows": most_windows}
    how = training.model_dump(include=set(LearningParams.model_fields))
    return Plan(negatives, most, TrainingParams.model_validate(how | much), work.seconds(negatives, epochs, windows))


@dataclass(frozen=True)
class _Work:
    """What a model's training costs."""

    model: NextTrackParams
    amount: Amount
    items: int
    batch: int

    def seconds(self, negatives: int, epochs: int, windows: int) -> float:
        """Of a night's trainings."""
        scored = negatives or self.items
        dim = self.model.dim
        a_play = _A_PLAY + scored * (dim * _A_PRODUCT + _A_SCORE) + _A_WEIGHT * _weights(self.model)
        a_step = _A_STEP + _A_PARAMETER * self.items * dim * (1 if self.model.tied else 2)
        plays = self.amount.plays * windows / max(self.amount.windows, 1)
        work = plays * a_play + math.ceil(windows / self.batch) * a_step
        return _TRAININGS * epochs * work / (_GPU if self.amount.has_gpu else 1.0)

    def affordable_epochs(self, negatives: int, windows: int, seconds: float) -> int:
        """As many passes over `windows` as take no longer than `seconds`, within what is sensible."""
        least, most = _EPOCHS
        of_one = self.seconds(negatives, 1, windows)
        return min(max(int(seconds / of_one), least), most) if of_one else most

    def affordable_windows(self, negatives: int, epochs: int, seconds: float) -> int:
        """All windows, or so many whole batches of them as take no longer than `seconds`; one batch at least."""
        if self.seconds(negatives, epochs, self.amount.windows) <= seconds:
            return self.amount.windows
        of_batch = self.seconds(negatives, epochs, self.batch)
        return min(max(int(seconds / of_batch), 1) * self.batch, self.amount.windows)


def _batch(amount: Amount, trainers: int) -> int:
    """A power of two, such that a step has about as many plays as it should; several trainers get as many each."""
    least, most = _BATCHES
    plays = max(_PLAYS_A_STEP, _OF_ROOT * math.sqrt(amount.plays))
    windows = plays * amount.windows / max(amount.plays, 1)
    near: int = 2 ** round(math.log2(max(min(windows, amount.windows / _FEWEST_STEPS), 1)))
    return -(-min(max(near, least), most) // trainers) * trainers


def _most_items(amount: Amount) -> int:
    return 0 if amount.items <= _MOST_ITEMS else _MOST_ITEMS


def _weights(model: NextTrackParams) -> int:
    """Of the network between the embedding and the scores."""
    dim = model.dim
    if isinstance(model, LstmParams):
        widths = (dim, *(model.hidden or (dim,)))
        return sum(4 * after * (before + after) for before, after in pairwise(widths))
    if isinstance(model, AttentionParams):
        # Attention over the window's other plays costs about what its products do.
        return model.blocks * 12 * dim * dim
    raise TypeError(f"no next-track model has settings {type(model).__name__}")
