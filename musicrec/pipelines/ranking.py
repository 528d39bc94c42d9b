"""The two-stage ranker: what it learns from past windows, and its part in making lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import TooLittleError
from musicrec.evaluation.enough import check_enough
from musicrec.evaluation.splits import relevant_items
from musicrec.io.artifacts import load_facts
from musicrec.io.runs import Run
from musicrec.models.blocks import read_lists
from musicrec.models.content import CONTENT
from musicrec.models.ranker.facts import TrackFacts, listener_facts, track_facts
from musicrec.models.ranker.fit import Examples, RankerModel, fit_ranker
from musicrec.models.ranker.names import feature_names
from musicrec.models.ranker.params import RankerParams
from musicrec.models.ranker.score import example_rows, ranked_lists, ranker_rows
from musicrec.pipelines.content import linked_vectors
from musicrec.pipelines.lists import SecondStage, check_retrievers, list_makers
from musicrec.pipelines.model_fits import ModelFits
from musicrec.pipelines.models_at import ModelsAt, models_at
from musicrec.pipelines.settings import BASELINES, KNN, RANKER, USER_KNN
from musicrec.pipelines.training_data import TrainingData, training_data
from musicrec.transforms.interactions import InteractionParams, ItemKind, indexed_plays

# The order of fewer listeners is no rule for others; and smallest leaves that must fit into what a tree is grown from.
_LISTENERS, _LEAVES = 5, 4


@dataclass(frozen=True)
class RankerJob:
    """What every ranker of a night is made with.

    Attributes
    ----------
    item, interaction, fits : as the retrievers' jobs are handed them.
    params : of the ranker.
    depth : length of the retrievers' lists.
    files : folder for what fitting a neural retriever leaves behind.
    tonight : folder of the models that tonight published; None to use nothing of them.
    """

    item: ItemKind
    interaction: InteractionParams
    fits: ModelFits
    params: RankerParams
    depth: int
    files: Path
    tonight: Path | None = None

    @property
    def fitted(self) -> frozenset[str]:
        """The models that lists may be made by, where there is enough to fit them."""
        return frozenset({"als", "pca", CONTENT, KNN, USER_KNN, *(fit.kind for fit in self.fits.neural)})

    @property
    def features(self) -> tuple[str, ...]:
        """The columns."""
        return feature_names(self.params.retrievers, self.params.leave_out)


def learnt_ranker(run: Run, job: RankerJob, until: datetime) -> RankerModel:
    """A ranker that has learnt from the last windows before `until`; errors as of `examples_before`."""
    return fit_ranker(examples_before(run, job, until), job.features, job.params, run.seed)


def examples_before(run: Run, job: RankerJob, until: datetime) -> Examples:
    """What the last windows before `until` hold.

    Raises
    ------
    InputError : a retriever is none of the models that the configuration has fitted.
    TooLittleError : no window with the usual listens has listeners whose candidates were played, or all together have
        too few of them.
    """
    params, parts = job.params, []
    check_retrievers(params.retrievers, {*job.fitted, *BASELINES})
    listens = run.lakehouse.read("silver.listens")
    for n in range(params.windows, 0, -1):
        start = until - n * timedelta(days=params.window_days)
        end = start + timedelta(days=params.window_days)
        try:
            check_enough(listens, start, end, "ranker")
        except TooLittleError as error:
            run.log.warning("ranker: a window is left out", reason=str(error))
            continue
        part = window_examples(run, job, start, end)
        if part is not None:
            parts.append(part)
    if not parts:
        expected = f"plays of what was offered, in the last {params.windows} windows before {until:%Y-%m-%d %H:%M}"
        raise TooLittleError("ranker, table silver.listens", expected, "none")
    examples = joined(parts)
    _check_enough_to_learn(examples, params)
    run.log.info("ranker: examples", windows=len(parts), listeners=len(examples.sizes), rows=len(examples.labels))
    return examples


def _check_enough_to_learn(examples: Examples, params: RankerParams) -> None:
    listeners, rows = len(examples.sizes), len(examples.labels)
    # Of these a share is drawn for each tree, whose first split needs a leaf's candidates on both sides.
    least = ceil(_LEAVES * params.min_leaf / params.row_share)
    if listeners < _LISTENERS or rows < least:
        needed = f"{least} candidates (ranker.min_leaf) of {_LISTENERS} listeners who played some of theirs"
        raise TooLittleError("ranker", needed, f"{rows} of {listeners}")


def joined(parts: list[Examples]) -> Examples:
    """Windows one after the other."""
    columns = ([getattr(part, name) for part in parts] for name in ("features", "labels", "sizes"))
    return Examples(*(np.concatenate(column) for column in columns))


def window_examples(run: Run, job: RankerJob, start: datetime, end: datetime) -> Examples | None:
    """What was played from `start` to before `end` among what the retrievers offered at `start`.

    Everything but the labels comes from plays before `start`. None where nothing was played before, or nothing of the
    candidates in the window.
    """
    before = run.lakehouse.read("silver.listens").where(F.col("listened_at") < F.lit(start))
    if before.isEmpty():
        return None
    with window_at(run, job, start, end) as window:
        rows = window.examples().where(F.array_contains("labels", 1))
        found = rows.toArrow().sort_by("user_idx").combine_chunks()
    if not found.num_rows:
        return None
    features, labels = (read_lists(found[name].combine_chunks()) for name in ("features", "labels"))
    wide = features.values.reshape(-1, len(job.features))
    return Examples(wide, labels.values.astype(np.int8), np.diff(labels.starts))


@dataclass(frozen=True)
class Window:
    """A time, and what was played after it.

    Attributes
    ----------
    relevant : DataFrame (user_idx, relevant array<int>): what was new to listeners who had played before.
    lists : what each retriever offered them at the start.
    retrieval : what was known at the start.
    """

    relevant: DataFrame
    lists: Mapping[str, DataFrame]
    retrieval: Retrieval

    def examples(self) -> DataFrame:
        """The candidates with their features, and whether they are relevant; as `example_rows` gives them."""
        return self.retrieval.examples(self.lists, self.relevant)


@contextmanager
def window_at(run: Run, job: RankerJob, start: datetime, end: datetime) -> Iterator[Window]:
    """A window of at most `job.params.listeners` listeners, drawn by hash."""
    data = training_data(run, job.item, job.interaction, until=start)
    relevant = _sampled(run, job, data, start, end).persist()
    listeners = relevant.select("user_idx")
    own = replace(data, heard=data.heard.join(listeners, "user_idx", "left_semi").persist())
    found = models_at(
        run,
        data,
        job.item,
        job.interaction,
        job.fits,
        job.files,
        {*job.params.retrievers, KNN},
        with_users=job.params.with_users,
        tonight=job.tonight,
    )
    models = found.of(listeners)
    retrieval = Retrieval(own, models.neighbours, content_vectors(run, data, job.item), job)
    try:
        yield Window(relevant, retrieval.lists(models), retrieval)
    finally:
        models.release()
        for kept in (relevant, own.heard, data.heard, data.interactions, data.popular, data.users):
            kept.unpersist()


def _sampled(run: Run, job: RankerJob, data: TrainingData, start: datetime, end: datetime) -> DataFrame:
    """(user_idx, relevant) of at most so many listeners who had played something before."""
    at = F.col("listened_at")
    window = run.lakehouse.read("silver.listens").where((at >= F.lit(start)) & (at < F.lit(end)))
    played = indexed_plays(window, job.item).select("user_idx", "item_idx")
    relevant = relevant_items(played, data.heard, "discover").join(data.heard, "user_idx", "left_semi")
    return relevant.orderBy(F.xxhash64(F.lit(run.seed), "user_idx"), "user_idx").limit(job.params.listeners)


@dataclass(frozen=True)
class Retrieval:
    """What a ranker needs beside lists, as of one time.

    Attributes
    ----------
    data : everything before the time; `heard` of those who get lists.
    neighbours : of items.
    content : DataFrame (item_idx, vector array<float>); None where nothing is known of how tracks sound.
    job : settings.
    """

    data: TrainingData
    neighbours: DataFrame | None
    content: DataFrame | None
    job: RankerJob

    def lists(self, models: ModelsAt) -> dict[str, DataFrame]:
        """The retrievers' lists."""
        makers = list_makers(
            models.vectors,
            self.data,
            "discover",
            self.job.depth,
            neighbours=models.neighbours,
            user_neighbours=models.user_neighbours,
        )
        check_retrievers(self.job.params.retrievers, makers, self.job.fitted)
        return {name: makers[name]() for name in self.job.params.retrievers}

    def stage(self, model: RankerModel) -> SecondStage:
        """The ranker as a maker of lists."""
        return SecondStage(model.retrievers, lambda lists: self.order(lists, model))

    def order(self, lists: Mapping[str, DataFrame], model: RankerModel) -> DataFrame:
        """The candidates of the retrievers' lists in the ranker's order: (user_idx, items, scores)."""
        rows = self._rows({name: lists[name] for name in model.retrievers})
        return ranked_lists(rows, self._tracks(), model, self.job.depth)

    def examples(self, lists: Mapping[str, DataFrame], relevant: DataFrame) -> DataFrame:
        """The candidates with their features, and whether they are relevant."""
        params = self.job.params
        rows = self._rows(lists, relevant)
        return example_rows(rows, self._tracks(), params.retrievers, params.candidates, self.job.features)

    def _rows(self, lists: Mapping[str, DataFrame], relevant: DataFrame | None = None) -> DataFrame:
        data = self.data
        habits = listener_facts(data.plays.join(data.heard, "user_idx", "left_semi"), data.until)
        return ranker_rows(lists, data.heard, habits, data.until.timestamp(), relevant)

    def _tracks(self) -> TrackFacts:
        data, half_life = self.data, self.job.params.half_life_days
        return track_facts(data.plays, data.items, self.neighbours, self.content, data.until, half_life, data.n_items)


def stage_at(run: Run, data: TrainingData, models: ModelsAt, job: RankerJob) -> SecondStage:
    """The ranker as it would have been published at `data.until`: it has learnt from what was played before."""
    content = content_vectors(run, data, job.item)
    return Retrieval(data, models.neighbours, content, job).stage(learnt_ranker(run, job, data.until))


def content_vectors(run: Run, data: TrainingData, item: ItemKind) -> DataFrame | None:
    """(item_idx, vector) of the recordings that are linked to a track with features; None where there are no such."""
    if item != "recording" or not run.lakehouse.exists("silver.track_features"):
        return None
    return linked_vectors(run, data)


def load_ranker(job: RankerJob, folder: Path) -> RankerModel:
    """The ranker as the newest training left it.

    Raises
    ------
    InputError : it was never trained, or with other features than today's.
    """
    where = folder / RANKER / "model"
    return RankerModel.of_facts(load_facts(where), where, job.features)
