"""What a next-track model of a night is fitted with: the plan by the amount of data, and which items are told apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyspark.sql import functions as F

from musicrec.io.runs import Run
from musicrec.models.neural.next_track import NextTrackParams, Places
from musicrec.models.neural.plan import Amount, Plan, make_plan
from musicrec.pipelines.model_fits import SequenceFit
from musicrec.pipelines.training_data import TrainingData
from musicrec.transforms.sequences import train_windows


@dataclass(frozen=True)
class SequenceNight:
    """What both trainings of a night share.

    Attributes
    ----------
    valid_from : start of the days that are held out first.
    plan : what is `auto`, by what was played before them; so their plays decide nothing of how they are learnt to be
        predicted.
    amount : what the plan was made by.
    counts : (item_idx, plays, plays before `valid_from`), sorted by item_idx.
    """

    run: Run
    data: TrainingData
    fit: SequenceFit
    folder: Path
    valid_from: datetime
    plan: Plan
    amount: Amount
    counts: tuple[Places, Places, Places]

    @property
    def shape(self) -> NextTrackParams:
        """The model's settings with nothing left open."""
        return self.plan.shape(self.fit.model)

    def facts(self, until: datetime) -> dict[str, Any]:
        """What is kept beside a model's weights."""
        return {
            "kind": self.fit.kind,
            "model": self.shape.model_dump(mode="json"),
            "training": self.plan.training.model_dump(mode="json"),
            "told": told(self.run, self.fit),
            "n_items": self.data.n_items,
            "sequences_version": self.data.sequences_version,
            "until": until.isoformat(),
        }

    def vocabulary(self, column: int) -> Places | None:
        """The items by a column of `counts`, as many as may be told apart; None for all where no order matters."""
        if not (self.plan.max_items or self.plan.negatives):
            return None
        items, counts = self.counts[0], self.counts[column]
        order = np.lexsort((items, -counts))[: int((counts > 0).sum())]
        known = order[: self.plan.max_items or None]
        if len(known) < len(order):
            share = float(counts[known].sum() / counts.sum())
            shares = {"items": len(known), "of": len(order), "share_of_plays": round(share, 4)}
            self.run.log.info(f"{self.fit.kind}: most played items only", **shares)
        found: Places = items[known]
        return found


def plan_night(run: Run, data: TrainingData, fit: SequenceFit, folder: Path) -> SequenceNight:
    """The plan, by what was played before the held-out days; by everything where that is nothing."""
    valid_from = data.until - timedelta(days=fit.valid_days)
    is_before = F.col("listened_at") < F.lit(valid_from)
    plays = data.plays.groupBy("item_idx").agg(F.count("*").alias("plays"), F.count_if(is_before).alias("before"))
    columns = plays.toArrow().sort_by("item_idx")
    items, of_all, before = (columns[name].to_numpy().astype(np.int64) for name in ("item_idx", "plays", "before"))
    amount = _amount(data, valid_from, int((before > 0).sum()))
    if not amount.windows:
        amount = _amount(data, data.until, len(items))
    plan = make_plan(fit.model, fit.training, amount, fit.trainers)
    much = {name: getattr(plan.training, name) for name in ("epochs", "batch_size", "max_windows")}
    loss = {"negatives": plan.negatives, "max_items": plan.max_items}
    run.log.info(f"{fit.kind}: plan", **asdict(amount), **loss, **much, seconds=round(plan.seconds, 1))
    for name, value in (loss | much).items():
        run.metric(name, value, model=fit.kind)
    return SequenceNight(run, data, fit, folder, valid_from, plan, amount, (items, of_all, before))


def _amount(data: TrainingData, before: datetime, items: int) -> Amount:
    predicted = F.sum(F.size("items") - F.col("first_target")).alias("plays")
    row = train_windows(data.sequences, before).agg(F.count("*").alias("windows"), predicted).collect()[0]
    return Amount(items, row["plays"] or 0, row["windows"], torch.cuda.is_available())


def told(run: Run, fit: SequenceFit) -> dict[str, Any]:
    """What a model is told, `auto` where that was said: it stays the same while plans change with the data."""
    return {
        "kind": fit.kind,
        "model": fit.model.model_dump(mode="json"),
        "training": fit.training.model_dump(mode="json"),
        "windows": fit.windows.model_dump(mode="json"),
        "seed": run.seed,
    }
