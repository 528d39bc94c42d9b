"""The training job of the two-stage ranker."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np

from musicrec.evaluation.told_apart import check_told_apart, different
from musicrec.io.artifacts import save_facts
from musicrec.io.runs import Run, Stage
from musicrec.models.ranker.fit import Examples, RankerModel, fit_ranker, gains
from musicrec.models.ranker.params import RankerParams
from musicrec.models.ranker.score import predicted
from musicrec.pipelines.publish import register
from musicrec.pipelines.ranking import RankerJob, examples_before
from musicrec.pipelines.settings import RANKER
from musicrec.pipelines.telling import LISTENERS, settings_of
from musicrec.pipelines.training_data import midnight


def train_ranker(run: Run, job: RankerJob, files: Path) -> Stage:
    """Learn from the last windows before as_of, keep the trees as JSON and register them.

    What each feature gained goes to ops.metrics.

    Raises
    ------
    DegenerateModelError : it gives all candidates of most listeners the same score, though their features differ.
    """
    if not job.params.enabled:
        return Stage(0, 0, "ranker.enabled is false")
    examples = examples_before(run, job, midnight(run.day))
    model = fit_ranker(examples, job.features, job.params, run.seed)
    _check(model, examples, job.params)
    folder = files / RANKER / "model"
    save_facts(folder, model.facts())
    for name, gain in gains(model).items():
        run.metric("gain", round(gain, 6), model=RANKER, feature=name)
    register(run, RANKER, job.params, str(folder), {})
    note = f"{len(examples.sizes):,} listeners' candidates, {int(examples.labels.sum()):,} of them played"
    return Stage(len(examples.labels), 0, note)


def _check(model: RankerModel, examples: Examples, params: RankerParams) -> None:
    """Two different scores are enough: trees give many candidates the same."""
    ends = np.cumsum(examples.sizes)[:LISTENERS]
    rows = np.split(examples.features[: ends[-1]], ends[:-1])
    trees = lightgbm.Booster(model_str=model.text)
    found = different(predicted(trees, own) for own in rows)
    settings = settings_of(RANKER, params)
    check_told_apart(RANKER, settings, found, 2, lambda: np.array([len(np.unique(own, axis=0)) for own in rows]))
