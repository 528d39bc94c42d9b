"""Trials of the LSTM: one training after the other, each by the code of the nightly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from musicrec.io.runs import Run
from musicrec.io.study_log import Scores
from musicrec.pipelines.fit_sequence import fit_sequence_model
from musicrec.pipelines.model_fits import SequenceFit
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.study import Outcome, timed
from musicrec.pipelines.tuning.validation import Validation, together


def judge_lstm(
    run: Run, periods: Sequence[Validation], trials: Sequence[tuple[int, SequenceFit]], params: TuneParams, files: Path
) -> Iterator[Outcome]:
    """The outcome of each trial. A period's windows are written once: all trials read the same files."""
    for number, fit in trials:
        yield timed(number, partial(_scores, run, periods, fit, params, files))


def _scores(run: Run, periods: Sequence[Validation], fit: SequenceFit, params: TuneParams, files: Path) -> Scores:
    found = []
    for period in periods:
        folder = files / f"until-{period.since:%Y%m%dT%H%M%S}"
        model, _ = fit_sequence_model(run, period.data, fit, folder)
        found.append(period.score_model(model, params))
    return together(found)
