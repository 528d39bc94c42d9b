"""A night's two trainings of a next-track model: what is planned, what is held out, and what may be judged by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from pyspark.sql import Row, SparkSession

from musicrec.io.artifacts import load_model
from musicrec.io.runs import Run
from musicrec.io.sequences import SnapshotSource, open_snapshot
from musicrec.io.tables import Lakehouse
from musicrec.logs import make_logger
from musicrec.models.neural.losses import LossParams
from musicrec.models.neural.lstm import LstmParams
from musicrec.models.neural.training_params import NextTrackTraining
from musicrec.pipelines import fit_sequence
from musicrec.pipelines.fit_sequence import fit_sequence_model, held_out_model
from musicrec.pipelines.model_fits import SequenceFit
from musicrec.pipelines.training_data import TrainingData
from musicrec.transforms.sequences import SequenceParams, windows

LISTENERS, ITEMS, DAYS = 12, 14, 4
FIRST = datetime(2021, 8, 1, tzinfo=UTC)
SPLIT, END = FIRST + timedelta(days=DAYS - 1), FIRST + timedelta(days=DAYS)
WINDOWS = SequenceParams(length=6, stride=5)
FIT = SequenceFit(
    "lstm",
    # Negatives are drawn by popularity, so a vocabulary of the test's plays would leave its mark.
    LstmParams(dim=4, loss=LossParams(negatives=3, uniform_share=0.0)),
    NextTrackTraining(epochs=2, patience=9),
    WINDOWS,
    valid_days=1.0,
)


@dataclass(frozen=True)
class Fit:
    run: Run
    data: TrainingData
    folder: Path


def data_of(spark: SparkSession, last_day_adds: int) -> TrainingData:
    """Ten plays a listener and day; those of the last day are of other items where `last_day_adds` is another."""
    rows = []
    for user in range(LISTENERS):
        for place in range(10 * DAYS):
            at = FIRST + timedelta(days=place // 10, minutes=3 * (place % 10), seconds=user)
            item = (user + place * (1 + user % 3)) % (ITEMS - 2)
            item = (item * 5 + last_day_adds) % ITEMS if at >= SPLIT else item
            rows.append((str(user), user, item, at, f"m{place}"))
    schema = "user_id string, user_idx int, item_idx int, listened_at timestamp, recording_msid string"
    plays = spark.createDataFrame(rows, schema).persist()
    made: dict[str, Any] = {"plays": plays, "sequences": windows(plays, WINDOWS).persist(), "sequences_version": 3}
    return cast("TrainingData", SimpleNamespace(**made, n_items=ITEMS, until=END))


def fitted(spark: SparkSession, base: Path, last_day_adds: int) -> Fit:
    lakehouse = Lakehouse(spark, str(base / "lakehouse"))
    run = Run(lakehouse, "test-run", "test", END, 7, make_logger("test"), date(2021, 8, 5))
    data = data_of(spark, last_day_adds)
    fit_sequence_model(run, data, FIT, base / "lstm")
    return Fit(run, data, base / "lstm")


@pytest.fixture(scope="module")
def fits(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fit, Fit]]:
    """Two nights that differ in what was played on the last day, and in nothing before it."""
    made = [fitted(spark, tmp_path_factory.mktemp("fit"), adds) for adds in (0, 5)]
    yield made[0], made[1]
    for fit in made:
        fit.data.plays.unpersist()
        fit.data.sequences.unpersist()


def at_split(fit: Fit) -> TrainingData:
    return cast("TrainingData", SimpleNamespace(**{**vars(fit.data), "until": SPLIT}))


def same(one: Path, other: Path) -> bool:
    weights, others = load_model(one)[0], load_model(other)[0]
    return weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)


def test_the_held_out_model_has_seen_no_listen_at_or_after_the_split(fits: tuple[Fit, Fit]) -> None:
    # Whatever was played on the held-out day: the same weights, bit for bit. What is published has seen that day.
    assert same(fits[0].folder / "held_out", fits[1].folder / "held_out")
    assert not same(fits[0].folder / "model", fits[1].folder / "model")
    source = SnapshotSource(open_snapshot(fits[0].folder / "train"), 16, None)
    seen = np.concatenate([items.numpy().ravel() for items, _ in source.batches(0)])
    # Windows overlap by one play: of 30 plays in windows of 6 by 5 that is one in each but the last.
    assert (seen >= 0).sum() == LISTENERS * (30 + 5)
    assert seen.max() == ITEMS - 3  # the last two items came up on the last day only


def test_the_held_out_model_is_what_the_choosing_run_ended_with(fits: tuple[Fit, Fit]) -> None:
    run, data, folder = fits[0].run, at_split(fits[0]), fits[0].folder
    weights, facts = load_model(folder / "held_out")
    last = folder / "choose" / ("last" if (folder / "choose" / "last").is_dir() else "model")
    assert same(folder / "held_out", last)
    assert facts["until"] == SPLIT.isoformat()
    model = held_out_model(run, data, FIT, folder)
    assert model is not None
    items = {row["item_idx"]: row for row in model.item_vectors.collect()}
    assert set(items) == set(range(ITEMS - 2))
    place_of = weights["place_of"].tolist()
    for item, row in items.items():
        assert row["vector"] == weights["embedding.weight"][1 + place_of[item]].tolist()
        assert row["bias"] == float(weights["bias"][place_of[item]])
    assert sorted(row["user_idx"] for row in model.user_vectors.select("user_idx").collect()) == list(range(LISTENERS))


def test_of_other_data_or_settings_no_held_out_model_is_taken(fits: tuple[Fit, Fit]) -> None:
    run, data, folder = fits[0].run, at_split(fits[0]), fits[0].folder
    for name, value in (("until", SPLIT - timedelta(days=1)), ("until", END), ("sequences_version", 4)):
        other = cast("TrainingData", SimpleNamespace(**{**vars(data), name: value}))
        assert held_out_model(run, other, FIT, folder) is None
    assert held_out_model(replace(run, seed=8), data, FIT, folder) is None
    assert held_out_model(run, data, replace(FIT, training=NextTrackTraining(epochs=3, patience=9)), folder) is None
    assert held_out_model(run, data, FIT, folder.parent / "nowhere") is None


def test_a_run_that_the_held_out_days_ended_early_leaves_no_model_to_judge(fits: tuple[Fit, Fit]) -> None:
    # No step moves anything, so the first epoch stays the best and the second is the last of four.
    still = replace(FIT, training=NextTrackTraining(epochs=4, patience=1, learning_rate=1e-30, weight_decay=0.0))
    folder = fits[1].folder.parent / "still"
    fit_sequence_model(fits[1].run, fits[1].data, still, folder)
    assert load_model(folder / "model")[1]["epochs"] == 1
    assert not (folder / "held_out").exists()


def test_what_decides_is_what_was_said_and_not_what_was_planned(
    fits: tuple[Fit, Fit], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = NextTrackTraining(refresh_epochs=1, epochs=1)
    fit = replace(FIT, model=LstmParams(dim=4), training=told)
    folder, day = fits[0].folder.parent / "grown", cast("Any", at_split(fits[0]))
    fit_sequence_model(fits[0].run, day, fit, folder)
    facts = load_model(folder / "model")[1]
    assert facts["told"]["model"]["loss"]["negatives"] == "auto"
    assert facts["model"]["loss"]["negatives"] == 0
    assert facts["training"]["batch_size"] >= 1
    # The next day another loss is planned; the model is gone on from all the same.
    plan_night = fit_sequence.plan_night

    def sampled(*args: Any) -> Any:
        night = plan_night(*args)
        return replace(night, plan=replace(night.plan, negatives=5))

    monkeypatch.setattr(fit_sequence, "plan_night", sampled)
    fit_sequence_model(fits[0].run, fits[0].data, fit, folder)
    facts = load_model(folder / "model")[1]
    assert (facts["is_refreshed"], facts["model"]["loss"]["negatives"]) == (True, 5)


def test_rows_are_what_the_fixture_says(fits: tuple[Fit, Fit]) -> None:
    rows: list[Row] = fits[0].data.plays.where("listened_at < '2021-08-04'").collect()
    others: list[Row] = fits[1].data.plays.where("listened_at < '2021-08-04'").collect()
    assert sorted(rows) == sorted(others)
    assert len(rows) == LISTENERS * 30
    assert max(row["item_idx"] for row in rows) == ITEMS - 3
