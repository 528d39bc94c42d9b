"""The training job of the two-stage ranker."""

from __future__ import annotations

from pathlib import Path

from musicrec.io.artifacts import save_facts
from musicrec.io.runs import Run, Stage
from musicrec.models.ranker.fit import fit_ranker, gains
from musicrec.pipelines.publish import register
from musicrec.pipelines.ranking import RankerJob, examples_before
from musicrec.pipelines.settings import RANKER
from musicrec.pipelines.training_data import midnight


def train_ranker(run: Run, job: RankerJob, files: Path) -> Stage:
    """Learn from the last windows before as_of, keep the trees as JSON and register them.

    What each feature gained goes to ops.metrics.
    """
    if not job.params.enabled:
        return Stage(0, 0, "ranker.enabled is false")
    examples = examples_before(run, job, midnight(run.day))
    model = fit_ranker(examples, job.features, job.params, run.seed)
    folder = files / RANKER / "model"
    save_facts(folder, model.facts())
    for name, gain in gains(model).items():
        run.metric("gain", round(gain, 6), model=RANKER, feature=name)
    register(run, RANKER, job.params, str(folder), {})
    note = f"{len(examples.sizes):,} listeners' candidates, {int(examples.labels.sum()):,} of them played"
    return Stage(len(examples.labels), 0, note)
