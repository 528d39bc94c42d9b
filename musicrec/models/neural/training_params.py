"""How long and how fast a network learns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from musicrec.models.neural.auto import AUTO, FromOneOrAuto, FromZeroOrAuto
from musicrec.params import Params


class LearningParams(Params):
    """How a network learns, whatever the amount of data.

    Attributes
    ----------
    optimizer : adamw or adagrad.
    learning_rate, weight_decay : of it; the rate is the highest one of the schedule, 0 for what `lr_find` suggests.
    schedule : `constant`; `cosine` falls from the start; `one_cycle` rises for the first `warm_up` of all steps, then
        falls.
    clip_norm : gradients are scaled down to this norm; 0 for never.
    patience : stop when the metric has not risen for this many epochs.
    metric : what the judge says that decides which epoch is the best.
    mixed_precision : on a GPU, multiply in bfloat16 (float16 with a loss scale where it has none).
    checkpoint_steps : keep a checkpoint each so many steps, beside the one after each epoch; 0 for only that.
    refresh_epochs : where there is a model of an earlier night with the same settings, start from it and run so many
        epochs; 0 to start afresh each night.
    """

    optimizer: Literal["adamw", "adagrad"] = "adamw"
    learning_rate: float = Field(default=2e-3, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    warm_up: float = Field(default=0.1, gt=0, lt=1)
    clip_norm: float = Field(default=1.0, ge=0)
    patience: int = Field(default=3, ge=1)
    metric: str = "ndcg_at_10"
    mixed_precision: bool = True
    checkpoint_steps: int = Field(default=0, ge=0)
    refresh_epochs: int = Field(default=0, ge=0)


class TrainingParams(LearningParams):
    """The same, and how much of it.

    Attributes
    ----------
    epochs : at most this many passes over the data.
    batch_size : rows in a step, over all trainers together.
    max_windows : an epoch passes over about this many windows, drawn by hash and anew for each night, and validates
        on at most as many; 0 for all.
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=1)
    max_windows: int = Field(default=0, ge=0)


class PairTrainingParams(TrainingParams):
    """The same for models of pairs, with defaults for them: large batches, one cycle, and penalties of their own."""

    batch_size: int = Field(default=4096, ge=1)
    learning_rate: float = Field(default=5e-3, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine", "one_cycle"] = "one_cycle"
    clip_norm: float = Field(default=0.0, ge=0)
    patience: int = Field(default=20, ge=1)


class NextTrackTraining(LearningParams):
    """How a next-track model learns; how much of it may be left to the amount of data (musicrec/models/neural/plan.py).

    Attributes
    ----------
    epochs, batch_size, max_windows : as those of `TrainingParams`, or `auto`.
    seconds : on two cores, that what is `auto` may make both trainings of a night take; epochs and windows that are
        given may take longer.
    """

    epochs: FromOneOrAuto = AUTO
    batch_size: FromOneOrAuto = AUTO
    max_windows: FromZeroOrAuto = AUTO
    seconds: float = Field(default=60.0, gt=0)
