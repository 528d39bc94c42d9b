"""Trials of neighbours by content: each looks through the catalogue on the whole cluster, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame

from musicrec.errors import InputError
from musicrec.io.runs import Run
from musicrec.io.scalers import load_scaler
from musicrec.io.study_log import Scores
from musicrec.models.content import ContentParams
from musicrec.pipelines.content_trials import content_trial, linked_features
from musicrec.pipelines.tuning.knn_trials import played_next, share_scores
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.study import Outcome, timed
from musicrec.pipelines.tuning.validation import Validation, together
from musicrec.transforms.feature_scaler import FeatureScaler


@dataclass(frozen=True)
class Sounds:
    """A period's tracks with features, and what was played next among them; both persisted."""

    features: DataFrame
    nexts: DataFrame


class ContentTrials:
    """Judges trials; features and plays are read once.

    Parameters
    ----------
    run, periods, params : of the study.
    files : where build_features keeps its scaler.

    Raises
    ------
    InputError : no scaler, or no recording of a period is linked to a track with features.
    """

    def __init__(self, run: Run, periods: Sequence[Validation], params: TuneParams, files: Path) -> None:
        self._k = params.k
        self._scaler: FeatureScaler = load_scaler(files / "content" / "scaler")
        self._sounds = []
        for period in periods:
            features = linked_features(run, period.data).persist()
            if features.isEmpty():
                raise InputError("table silver.track_features", "tracks that are linked to what was played", "none")
            self._sounds.append(Sounds(features, played_next(run, "recording", period, features)))

    def judge(self, trials: Sequence[tuple[int, ContentParams]]) -> Iterator[Outcome]:
        """The outcome of each trial."""
        for number, own in trials:
            yield timed(number, partial(self._scores, own))

    def _scores(self, own: ContentParams) -> Scores:
        shares = [content_trial(self._scaler, one.features, one.nexts, own, [self._k]) for one in self._sounds]
        return together([share_scores(share, self._k) for share in shares])
