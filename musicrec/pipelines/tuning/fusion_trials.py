"""Trials of the hybrid: the models are fitted once, and all trials of a batch are fused and judged in one pass."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame

from musicrec.errors import MusicrecError
from musicrec.io.runs import Run
from musicrec.io.study_log import Scores
from musicrec.pipelines.lists import Lists, candidate_lists
from musicrec.pipelines.model_fits import ModelFits
from musicrec.pipelines.models_at import models_at
from musicrec.pipelines.settings import HYBRID
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.study import Outcome
from musicrec.pipelines.tuning.validation import Validation, together
from musicrec.ranking.fusion import HybridParams, fuse
from musicrec.transforms.interactions import InteractionParams, ItemKind


@dataclass(frozen=True)
class Parts:
    """A period's lists to be fused, by model, persisted."""

    period: Validation
    lists: Lists


def fusion_parts(
    run: Run,
    periods: Sequence[Validation],
    item: ItemKind,
    interaction: InteractionParams,
    fits: ModelFits,
    depth: int,
    params: TuneParams,
    files: Path,
) -> list[Parts]:
    """Every model's and baseline's list of the judged listeners, as of each period's beginning."""
    found = []
    for period in periods:
        users = period.relevant.select("user_idx")
        folder = files / f"until-{period.since:%Y%m%dT%H%M%S}"
        models = models_at(run, period.data, item, interaction, fits, folder).of(users)
        # Which hybrid is fused here does not matter: its parts are what is wanted.
        some = HybridParams(weights={"als": 1.0})
        lists = candidate_lists(
            models.vectors, period.own, some, params.shelf, depth, rerank=models.rerank, neighbours=models.neighbours
        )
        found.append(Parts(period, {name: rows for name, rows in lists.items() if name != HYBRID}))
    return found


def judge_fusion(
    parts: Sequence[Parts], trials: Sequence[tuple[int, HybridParams]], depth: int, params: TuneParams
) -> Iterator[Outcome]:
    """The outcome of each trial, all of them in one reading of the parts a period."""
    began = time.perf_counter()
    errors: dict[int, str] = {}
    scores: dict[int, list[Scores]] = {number: [] for number, _ in trials}
    for part in parts:
        fused: dict[int, DataFrame] = {}
        for number, own in trials:
            try:
                fused[number] = fuse(part.lists, own, depth)
            except MusicrecError as error:
                errors[number] = str(error)
        if fused:
            found = part.period.score_all({str(number): lists for number, lists in fused.items()}, params)
            for name, own_scores in found.items():
                scores[int(name)].append(own_scores)
    seconds = (time.perf_counter() - began) / len(trials)
    for number, _ in trials:
        if number in errors:
            yield Outcome(number, None, errors[number], seconds)
        else:
            yield Outcome(number, together(scores[number]), "", seconds)
