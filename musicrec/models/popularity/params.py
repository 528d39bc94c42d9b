"""Settings of popularity prediction."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from musicrec.models.neural.training_params import TrainingParams
from musicrec.params import Params
from musicrec.schemas import AUDIO_FEATURES
from musicrec.schemas.content import ENGINEERED_FEATURES

ModelName = Literal["mean", "ridge", "boosted", "lstm", "blend"]
SplitName = Literal["grouped", "year", "naive"]
Calibration = Literal["platt", "isotonic", "none"]


class PopularityTrainingParams(TrainingParams):
    """How the LSTM is trained: small batches, one cycle, stopped by R² on the validation part."""

    epochs: int = Field(default=12, ge=1)
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=4e-3, ge=0)
    weight_decay: float = Field(default=0.05, ge=0)
    schedule: Literal["constant", "cosine", "one_cycle"] = "one_cycle"
    patience: int = Field(default=4, ge=1)
    metric: str = "r2"


class NetworkParams(Params):
    """The network's shape and loss.

    Attributes
    ----------
    dim : of the embedding of words and genres.
    hidden : width of the LSTM's state.
    bins : into which each number is put, by its quantiles.
    dense : widths of the layers over the numbers.
    dropout : on the embedding and before the head.
    word_dropout : share of words and genres that are hidden in each step of training.
    class_weight : of the loss of popular or not, beside that of the popularity, from 0 to 1 (nothing else).
    """

    dim: int = Field(default=32, ge=1)
    hidden: int = Field(default=48, ge=1)
    bins: int = Field(default=12, ge=1)
    dense: tuple[int, ...] = Field(default=(64, 64), min_length=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    word_dropout: float = Field(default=0.1, ge=0, lt=1)
    class_weight: float = Field(default=0.5, ge=0, le=1)


class BoostedParams(Params):
    """Gradient boosting (LightGBM).

    Attributes
    ----------
    learning_rate, leaves, min_rows : of each tree; `min_rows` in a leaf.
    rounds : trees at most.
    patience : trees without a better figure on the validation part before it stops.
    column_share, row_share : what each tree may look at.
    """

    learning_rate: float = Field(default=0.05, gt=0)
    leaves: int = Field(default=31, ge=2)
    min_rows: int = Field(default=30, ge=1)
    rounds: int = Field(default=800, ge=1)
    patience: int = Field(default=50, ge=1)
    column_share: float = Field(default=0.4, gt=0, le=1)
    row_share: float = Field(default=0.8, gt=0, le=1)


class FeatureParams(Params):
    """What a model reads of a track.

    Attributes
    ----------
    numbers : columns of silver.track_features.
    min_count : a word or genre is told apart when so many training tracks have it.
    max_words : only so many of the most frequent words.
    title_length, genre_length : words and genres of a track that are read.
    """

    numbers: tuple[str, ...] = Field(
        default=(*AUDIO_FEATURES, *ENGINEERED_FEATURES, "year", "duration_ms"), min_length=1
    )
    min_count: int = Field(default=10, ge=1)
    max_words: int = Field(default=5000, ge=0)
    title_length: int = Field(default=10, ge=1)
    genre_length: int = Field(default=8, ge=1)


class PopularityParams(Params):
    """Popularity prediction.

    Attributes
    ----------
    models : what is fitted and judged; `blend` is the mean of boosted and lstm and needs both.
    splits : by which they are judged; `grouped` decides which is published and must be among them.
    popular_from : a track is popular from this popularity on; 0 for the top quarter of the training side.
    test_share, valid_share : of the tracks, and of the training side that stops fits and calibrates.
    max_tracks : so many are learnt from, drawn by hash; 0 for all.
    calibration : of the probabilities, on the validation part.
    resamples : of the artists, for the intervals; 0 for none.
    reasons : so many beside each prediction.
    use_saved : predict with the saved model and fit nothing.
    """

    models: tuple[ModelName, ...] = ("mean", "ridge", "boosted", "lstm", "blend")
    splits: tuple[SplitName, ...] = ("grouped", "year", "naive")
    popular_from: float = Field(default=0.0, ge=0, le=100)
    test_share: float = Field(default=0.2, gt=0, lt=1)
    valid_share: float = Field(default=0.15, gt=0, lt=1)
    max_tracks: int = Field(default=200_000, ge=0)
    calibration: Calibration = "platt"
    resamples: int = Field(default=300, ge=0)
    reasons: int = Field(default=3, ge=0)
    use_saved: bool = False
    features: FeatureParams = FeatureParams()
    boosted: BoostedParams = BoostedParams()
    network: NetworkParams = NetworkParams()
    training: PopularityTrainingParams = PopularityTrainingParams()

    @model_validator(mode="after")
    def _check(self) -> PopularityParams:
        if "grouped" not in self.splits:
            raise ValueError("splits: grouped must be among them, since it decides which model is published")
        if "blend" in self.models and not {"boosted", "lstm"} <= set(self.models):
            raise ValueError("models: blend needs boosted and lstm")
        if not self.models:
            raise ValueError("models: name one or more")
        return self
