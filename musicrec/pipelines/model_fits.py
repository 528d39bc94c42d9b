"""What each model is fitted with, as publishing and evaluation are both handed it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from musicrec.models.als.params import AlsParams
from musicrec.models.content import ContentParams
from musicrec.models.knn.matrix import KnnParams
from musicrec.models.neural.dot_bias import DotBiasParams
from musicrec.models.neural.ncf import NcfParams
from musicrec.models.neural.next_track import NextTrackParams
from musicrec.models.neural.training_params import NextTrackTraining, TrainingParams
from musicrec.models.pca.params import PcaParams
from musicrec.transforms.sequences import SequenceParams


@dataclass(frozen=True)
class SequenceFit:
    """What a next-track model is fitted with.

    Attributes
    ----------
    kind : which one; also its name in tables.
    model, training, windows : its shape, its training, and how plays are cut; what of them is `auto` is planned by the
        amount of data (musicrec/models/neural/plan.py).
    valid_days : how many last days choose the epochs.
    trainers : processes that train it together.
    """

    kind: Literal["lstm", "attention"]
    model: NextTrackParams
    training: NextTrackTraining
    windows: SequenceParams
    valid_days: float
    trainers: int = 1


@dataclass(frozen=True)
class PairFit:
    """What a model of pairs is fitted with.

    Attributes
    ----------
    kind : which one; also its name in tables.
    model, training : its shape and its training.
    valid_days : what was first played in so many last days chooses the epochs.
    """

    kind: Literal["ncf", "dot_bias"]
    model: NcfParams | DotBiasParams
    training: TrainingParams
    valid_days: float


@dataclass(frozen=True)
class ModelFits:
    """Of all models of a nightly.

    Attributes
    ----------
    als, pca : settings of the matrix models.
    lstm : of the sequence model that every nightly trains.
    others : of the neural models that the configuration names besides.
    knn : of the nearest neighbours, and knn_refit_days from one set of them to the next.
    content : of the content model.
    """

    als: AlsParams
    pca: PcaParams
    lstm: SequenceFit
    others: tuple[SequenceFit | PairFit, ...] = ()
    knn: KnnParams = field(default_factory=KnnParams)
    knn_refit_days: int = 1
    content: ContentParams = field(default_factory=ContentParams)

    @property
    def neural(self) -> tuple[SequenceFit | PairFit, ...]:
        """The LSTM and the others."""
        return (self.lstm, *self.others)
