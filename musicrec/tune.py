"""The job that chooses a model's settings: which part of the configuration each study changes and how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from musicrec.books import Beginning, recorded
from musicrec.config import Config, lakehouse_of, load_config, settings_that_decide, value_at, with_values
from musicrec.entry import parse_day
from musicrec.errors import ConfigError, MusicrecError
from musicrec.io.run_log import newest_day
from musicrec.io.runs import Run, Stage, package_versions
from musicrec.io.study_log import StudyLog
from musicrec.io.tables import Lakehouse
from musicrec.pipelines.tuning.als_trials import judge_als
from musicrec.pipelines.tuning.content_trials import ContentTrials
from musicrec.pipelines.tuning.fusion_trials import fusion_parts, judge_fusion
from musicrec.pipelines.tuning.knn_trials import judge_knn
from musicrec.pipelines.tuning.lstm_trials import judge_lstm
from musicrec.pipelines.tuning.preset import preset_text, write_preset
from musicrec.pipelines.tuning.ranker_trials import RankerTrials
from musicrec.pipelines.tuning.space import Space, Values
from musicrec.pipelines.tuning.study import Outcome, best_of, search
from musicrec.pipelines.tuning.summary import Found, gain_over_current, keep_figures
from musicrec.pipelines.tuning.validation import Validation, validations
from musicrec.spaces import check_grid, read_space
from musicrec.spark import build_session
from musicrec.steps import model_fits, ranker_job

# Trials with their whole configuration → their outcomes.
Judge = Callable[[Sequence[tuple[int, Config]]], Iterable[Outcome]]


@dataclass(frozen=True)
class Tuned:
    """What a model's study may change and how its trials are judged.

    Attributes
    ----------
    sections : of the configuration.
    metric : the figure's name before its cut-off.
    judge : from the run, the configuration as it stands, the periods and the study's folder.
    tables : that trials read beside those of every study.
    """

    sections: Callable[[Config], tuple[str, ...]]
    metric: str
    judge: Callable[[Run, Config, Sequence[Validation], Path], Judge]
    tables: tuple[str, ...] = ()


def _als(run: Run, config: Config, periods: Sequence[Validation], files: Path) -> Judge:
    return lambda trials: judge_als(run, periods, [(n, own.als) for n, own in trials], config.tune)


def _knn(run: Run, config: Config, periods: Sequence[Validation], files: Path) -> Judge:
    item = config.recommend.item
    return lambda trials: judge_knn(run, item, periods, [(n, own.knn) for n, own in trials], config.tune)


def _content(run: Run, config: Config, periods: Sequence[Validation], files: Path) -> Judge:
    if config.recommend.item != "recording":
        raise ConfigError("recommend.item", "recording, for neighbours by content", config.recommend.item)
    own = ContentTrials(run, periods, config.tune, config.lakehouse.files_folder)
    return lambda trials: own.judge([(n, c.content) for n, c in trials])


def _ranker(run: Run, config: Config, periods: Sequence[Validation], files: Path) -> Judge:
    own = RankerTrials(run, periods, replace(ranker_job(config), files=files), config.tune)
    return lambda trials: own.judge([(n, c.ranker) for n, c in trials])


def _lstm(run: Run, config: Config, periods: Sequence[Validation], files: Path) -> Judge:
    return lambda trials: judge_lstm(run, periods, [(n, model_fits(c).lstm) for n, c in trials], config.tune, files)


def _fusion(run: Run, config: Config, periods: Sequence[Validation], files: Path) -> Judge:
    depth, fits = config.recommend.depth, model_fits(config)
    parts = fusion_parts(run, periods, config.recommend.item, config.interactions, fits, depth, config.tune, files)
    return lambda trials: judge_fusion(parts, [(n, c.hybrid.of(c.tune.shelf)) for n, c in trials], depth, config.tune)


# What is known of how tracks sound.
_SOUND = ("silver.track_features", "silver.links")

MODELS = {
    "als": Tuned(lambda config: ("als",), "ndcg", _als),
    "knn": Tuned(lambda config: ("knn",), "share_at", _knn),
    "content": Tuned(lambda config: ("content.metric", "content.weights"), "share_at", _content, _SOUND),
    "fusion": Tuned(lambda config: (f"hybrid.{config.tune.shelf}",), "ndcg", _fusion, _SOUND),
    "ranker": Tuned(lambda config: ("ranker",), "ndcg", _ranker, _SOUND),
    "lstm": Tuned(lambda config: ("lstm",), "ndcg", _lstm),
}


@dataclass(frozen=True)
class Command:
    """What the job was told.

    Attributes
    ----------
    model : whose settings are chosen, a name of MODELS.
    config : path of the configuration; presets and overrides are put over it.
    as_of : day; the newest where None.
    force : forget the study's trials and begin anew.
    space, out : files; None for `spaces/<model>.toml` and `tuned/<model>.toml` beside the configuration.
    """

    model: str
    config: Path
    as_of: str | None = None
    presets: tuple[Path, ...] = ()
    overrides: tuple[str, ...] = ()
    force: bool = False
    space: Path | None = None
    out: Path | None = None


def tune(told: Command) -> None:
    """Run or go on with a model's study; write its best trial as a preset and print it.

    Raises
    ------
    ConfigError : the configuration, the space or the model's name is wrong.
    MusicrecError : every trial failed.
    """
    beginning = Beginning("tune", told.config.absolute().parent)
    with beginning.kept():
        beginning.lakehouse = lakehouse_of(told.config, told.overrides, told.presets)
        config = beginning.config = load_config(told.config, told.overrides, told.presets)
        if told.model not in MODELS:
            raise ConfigError("MODEL", f"one of {', '.join(MODELS)}", told.model)
        where = told.space or told.config.parent / "spaces" / f"{told.model}.toml"
        space = read_space(where, config, MODELS[told.model].sections(config))
        if config.tune.sampler == "grid":
            check_grid(space, where)
        day = beginning.as_of = parse_day(told.as_of)
        spark = build_session(f"musicrec tune {told.model}", told.config.absolute().parent, config.spark.conf)
        lakehouse = Lakehouse(spark, config.lakehouse.root, config.lakehouse.catalog)
        day = day or newest_day(lakehouse, config.listens)
    run = Run(lakehouse, beginning.run_id, "tune", beginning.now, config.seed, beginning.log, day)
    out = told.out or told.config.parent / "tuned" / f"{told.model}.toml"
    settings = {**settings_that_decide(config), "tune": config.tune.model_dump(mode="json"), "tuned": told.model}
    recorded(run, settings, lambda: _study(run, config, told, space, out))


def _study(run: Run, config: Config, told: Command, space: Space, out: Path) -> Stage:
    tuned = MODELS[told.model]
    periods = validations(run, config.recommend.item, config.interactions, config.evaluate, config.tune)
    facts = _facts(run, config, told.model, space)
    study = StudyLog(config.lakehouse.files_folder / "tune" / told.model, facts)
    if told.force:
        study.clear()
    _say_which(run, study, facts)
    current = {key: value_at(config, key) for key in sorted(space.dimensions)}
    made: list[Judge] = []

    def judge(trials: Sequence[tuple[int, Values]]) -> Iterator[Outcome]:
        configs = []
        for number, values in trials:
            try:
                configs.append((number, with_values(config, values, f"trial {number}")))
            except ConfigError as error:
                yield Outcome(number, None, str(error))
        # Only now, and once: a finished study fits nothing.
        if configs and not made:
            made.append(tuned.judge(run, config, periods, study.folder / "fits"))
        if configs:
            yield from made[0](configs)

    metric = f"{tuned.metric}_{config.tune.k}"
    trials = search(study, space, current, config.tune, run.seed, judge, run.log, metric)
    best = best_of(trials)
    keep_figures(run, trials, metric)
    if best is None:
        raise MusicrecError(f"tune {told.model}: all {len(trials)} trials failed, the first with: {trials[0].error}")
    gain = gain_over_current(study, trials, config.evaluate.bootstrap, run.seed)
    found = Found(told.model, metric, trials, best, gain)
    text = preset_text(best.values, [*found.lines(run, periods, config.tune), f"Use it: --preset {out}"])
    write_preset(out, text)
    click.echo(f"{out}:\n{text}", nl=False)
    return Stage(len(study.scores(best.number).users), len(trials), found.note())


def _facts(run: Run, config: Config, model: str, space: Space) -> dict[str, Any]:
    """All that decides the study's trials and their figures."""
    lake, more = run.lakehouse, MODELS[model].tables
    read = {**lake.versions_read, **{name: lake.version(name) for name in more if lake.exists(name)}}
    asked = ("sampler", "batch", "shelf", "k", "valid_days", "periods")
    return {
        "model": model,
        "space": space.facts(),
        "seed": run.seed,
        "as_of": str(run.day),
        "tables": dict(sorted(read.items())),
        "packages": package_versions(),
        "settings": settings_that_decide(config),
        **{f"tune.{name}": getattr(config.tune, name) for name in asked},
    }


def _say_which(run: Run, study: StudyLog, facts: dict[str, Any]) -> None:
    done = len(study.trials())
    if done:
        run.log.info("tune: going on with a study", study=study.name, trials=done)
        return
    other = study.differences(facts)
    if other:
        run.log.info("tune: a new study", study=study.name, other=other[0], differs_in=other[1])
    else:
        run.log.info("tune: a new study", study=study.name)
