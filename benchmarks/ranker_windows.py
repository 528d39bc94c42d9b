"""What the retrievers offered before past windows and what was played in them, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from musicrec.config import load_config
from musicrec.entry import run_steps
from musicrec.io.run_log import newest_day
from musicrec.io.runs import Run
from musicrec.io.tables import Lakehouse
from musicrec.logs import make_logger
from musicrec.models.blocks import Ragged, read_lists
from musicrec.models.ranker.fit import Examples
from musicrec.models.significant import significant
from musicrec.pipelines.ranking import RankerJob, window_at
from musicrec.pipelines.training_data import midnight
from musicrec.ranking.fusion import HybridParams
from musicrec.ranking.tune_fusion import Judgements
from musicrec.spark import build_session
from musicrec.steps import ranker_job

ROOT = Path(__file__).parent.parent
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Collected:
    """A window of listeners.

    Attributes
    ----------
    judgements : the retrievers' lists, and what was relevant.
    items : the ranker's candidates of each listener.
    examples : their features and labels, also of listeners none of whose candidates were played.
    """

    judgements: Judgements
    items: Ragged
    examples: Examples


def built(root: Path, config: Path, overrides: Sequence[str]) -> tuple[Run, tuple[str, ...]]:
    """A lakehouse with silver under `root`, made where it is not there yet; and the overrides that lead to it."""
    places = (f"lakehouse.root={root}", *overrides)
    if not (root / "silver" / "interactions").exists():
        run_steps(["ingest_listens", "ingest_tracks", "build_silver"], config, None, places, False)
    settings = load_config(config, places)
    spark: SparkSession = build_session("musicrec-benchmark", config.absolute().parent, settings.spark.conf)
    lakehouse = Lakehouse(spark, settings.lakehouse.root)
    day = newest_day(lakehouse, settings.listens)
    run = Run(lakehouse, "benchmark", "benchmark", datetime.now(UTC), settings.seed, make_logger("benchmark"), day)
    return run, places


def job_of(config: Path, overrides: Sequence[str]) -> RankerJob:
    """The ranker's settings."""
    return ranker_job(load_config(config, overrides))


def windows(run: Run, job: RankerJob, last: date, count: int) -> list[Collected]:
    """The last `count` windows before midnight of `last`, in order of time."""
    days = timedelta(days=job.params.window_days)
    end = midnight(last)
    return [collected(run, job, end - n * days, end - (n - 1) * days) for n in range(count, 0, -1)]


def collected(run: Run, job: RankerJob, start: datetime, end: datetime) -> Collected:
    """One window."""
    with window_at(run, job, start, end) as window:
        rows = window.examples().toArrow().sort_by("user_idx").combine_chunks()
        judgements = Judgements.collect(window.lists, window.relevant)
    items, labels, features = (read_lists(rows[name].combine_chunks()) for name in ("items", "labels", "features"))
    wide = features.values.reshape(-1, len(job.features))
    return Collected(judgements, items, Examples(wide, labels.values.astype(np.int8), np.diff(labels.starts)))


def in_order(items: Ragged, scores: Floats) -> Ragged:
    """Candidates by their scores, best first, then by item_idx."""
    order = np.lexsort((items.values, -significant(scores), items.rows))
    return Ragged(items.values[order], items.starts)


def list_ndcg(lists: Ragged, relevant: Ragged, at: int = 10) -> Floats:
    """NDCG of each listener's list [listeners]."""
    ranks = np.arange(len(lists.values)) - lists.starts[lists.rows]
    hit = np.isin((lists.rows << 32) | lists.values, (relevant.rows << 32) | relevant.values)
    gains = np.where(hit & (ranks < at), 1.0 / np.log2(ranks + 2.0), 0.0)
    ideal = np.cumsum(1.0 / np.log2(np.arange(at) + 2.0))
    best = ideal[np.minimum(np.diff(relevant.starts), at) - 1]
    return np.asarray(np.bincount(lists.rows, gains, len(lists)) / best)


def configured(config: Path, overrides: Sequence[str]) -> HybridParams:
    """The hybrid of the configuration."""
    return load_config(config, overrides).hybrid.discover
