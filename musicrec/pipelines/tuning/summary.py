"""What a study found: its figures for the books, and the facts that stand in the preset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from musicrec.evaluation.bootstrap import BootstrapParams, interval, resampled_means
from musicrec.io.runs import Run
from musicrec.io.study_log import StudyLog
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.study import Trial, best_of
from musicrec.pipelines.tuning.validation import Validation


@dataclass(frozen=True)
class Gain:
    """How much better the best trial is than the configuration as it stands, for the same listeners.

    Attributes
    ----------
    value, low, high : the mean difference and its interval; paired, by the bootstrap over listeners.
    level : share of the resamples in the interval.
    listeners : how many.
    """

    value: float
    low: float
    high: float
    level: float
    listeners: int


def gain_over_current(study: StudyLog, trials: Sequence[Trial], params: BootstrapParams, seed: int) -> Gain | None:
    """The best trial's gain over trial 0; None where either failed."""
    best = best_of(trials)
    if best is None or trials[0].figure is None:
        return None
    now, then = study.scores(0), study.scores(best.number)
    differences = (then.values - now.values)[:, None]
    low, high = interval(resampled_means(differences, params.resamples, seed), params.level)
    return Gain(float(differences.mean()), float(low[0]), float(high[0]), params.level, len(differences))


def keep_figures(run: Run, trials: Sequence[Trial], metric: str) -> None:
    """Every trial for ops.metrics, those of earlier runs too: step = trial, tags = its values and state."""
    for trial in trials:
        tags = {key: json.dumps(value) for key, value in trial.values.items()}
        tags |= {"state": trial.state, "run": "earlier" if trial.is_earlier else "this"}
        if trial.repeats is not None:
            tags["repeats"] = str(trial.repeats)
        if trial.figure is None:
            run.metric("trial_failed", 1.0, trial.number, error=trial.error, **tags)
        else:
            run.metric(metric, trial.figure, trial.number, **tags)
        run.metric("trial_seconds", trial.seconds, trial.number)


@dataclass(frozen=True)
class Found:
    """A finished study.

    Attributes
    ----------
    model, metric : what was tuned, and by which figure.
    trials : all of them.
    best : of them.
    gain : over trial 0; None where that failed.
    """

    model: str
    metric: str
    trials: Sequence[Trial]
    best: Trial
    gain: Gain | None

    def note(self) -> str:
        """One line for the log."""
        return f"trial {self.best.number} is best: {self.metric} {self.best.figure:.4f}; {self._gain()}"

    def lines(self, run: Run, periods: Sequence[Validation], params: TuneParams) -> list[str]:
        """The facts beside the values."""
        failed = sum(trial.figure is None for trial in self.trials)
        times = ", ".join(f"{p.since:%Y-%m-%d %H:%M} to {p.until:%Y-%m-%d %H:%M}" for p in periods)
        now = self.trials[0].figure
        return [
            f"{self.model}: trial {self.best.number} of {len(self.trials)} ({params.sampler}, seed {run.seed}, "
            f"{failed} failed), as of {run.day}.",
            f"{self.metric} on {params.shelf}, of what was played {times} (UTC), by models of what was played before.",
            f"best {self.best.figure:.4f}, as configured {'failed' if now is None else f'{now:.4f}'}; {self._gain()}",
            "The best of many is flattered by being chosen on these listeners; judge it on another time.",
        ]

    def _gain(self) -> str:
        if self.gain is None:
            return "no gain to tell, since the configuration as it stands failed."
        g = self.gain
        ends = f"{g.level:.0%} interval {g.low:+.4f} to {g.high:+.4f}, paired, {g.listeners:,} listeners"
        return f"gain {g.value:+.4f} ({ends})."
