"""Studies over small silver tables: what is judged, both ways of judging, and the job from end to end."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from musicrec import tune as tune_job
from musicrec.config import load_config, value_at
from musicrec.errors import MusicrecError
from musicrec.evaluation.judged import Judged
from musicrec.evaluation.splits import relevant_items
from musicrec.io.runs import Run
from musicrec.io.study_log import Scores
from musicrec.io.tables import Lakehouse
from musicrec.logs import make_logger
from musicrec.models.als.params import AlsParams
from musicrec.models.knn.matrix import KnnParams
from musicrec.models.significant import significant
from musicrec.pipelines.settings import EvaluateParams
from musicrec.pipelines.tuning.als_trials import judge_als
from musicrec.pipelines.tuning.fusion_trials import Parts, judge_fusion
from musicrec.pipelines.tuning.knn_trials import judge_knn
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.pipelines.tuning.study import Outcome
from musicrec.pipelines.tuning.validation import Validation, together, validations
from musicrec.ranking.fusion import HybridParams
from musicrec.schemas import TABLES
from musicrec.transforms.interactions import InteractionParams
from musicrec.tune import Command, tune
from tests.conftest import ROOT

LOCAL = ROOT / "conf" / "local.toml"
USERS, ITEMS, DAYS = 18, 24, 5
AS_OF = date(2014, 6, 6)  # the day after the last play
TEST, VALID = datetime(2014, 6, 5, tzinfo=UTC), datetime(2014, 6, 4, tzinfo=UTC)

Play = tuple[int, int, datetime]


def plays() -> list[Play]:
    """(listener, item, time): two tastes; the last listener and the last items are there on the test day only."""
    rng = np.random.default_rng(5)
    rows = []
    for day in range(1, DAYS + 1):
        for user in range(USERS if day == DAYS else USERS - 1):
            for place in range(5):
                item = int(rng.integers(12)) + 10 * (user % 2) + (2 if day == DAYS else 0)
                rows.append((user, item, datetime(2014, 6, day, 10, tzinfo=UTC) + timedelta(minutes=place)))
    return rows


@dataclass(frozen=True)
class Silver:
    run: Run
    plays: list[Play]

    def periods(self, params: TuneParams) -> list[Validation]:
        return validations(self.run, "recording", InteractionParams(), EvaluateParams(), params)

    def rows(self, table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = DeltaTable(self.run.lakehouse.location(table)).to_pyarrow_table().to_pylist()
        return found


@pytest.fixture(scope="module")
def silver(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Silver:
    lake = Lakehouse(spark, str(tmp_path_factory.mktemp("tuning") / "lakehouse"))
    rows = plays()
    listens = spark.createDataFrame(rows, "user_idx int, recording_idx int, listened_at timestamp")
    ids = {"user_id": F.concat(F.lit("u"), "user_idx"), "recording_msid": F.concat(F.lit("m"), "recording_idx")}
    items = spark.range(ITEMS).select(F.col("id").cast("int").alias("item_idx"))
    named = {"item_id": F.concat(F.lit("r"), "item_idx"), "item_kind": F.lit("recording")}
    recordings = items.select(F.concat(F.lit("r"), "item_idx").alias("recording_id"), F.lit("a").alias("artist_id"))
    artist = spark.createDataFrame([("artist", "a", 0)], "item_kind string, item_id string, item_idx int")
    users = spark.range(USERS).select(F.col("id").cast("int").alias("user_idx")).withColumn("user_id", ids["user_id"])
    tables = {
        "silver.listens": listens.withColumns(ids | {"artist_idx": F.lit(0)}),
        "silver.user_index": users,
        "silver.item_index": items.withColumns(named).unionByName(artist),
        "silver.recordings": recordings,
        "silver.sequences": spark.createDataFrame([], "user_idx int"),
    }
    for name, made in tables.items():
        missing = {column: of for column, of in TABLES[name].columns.items() if column not in made.columns}
        lake.overwrite(
            name, made.coalesce(1).withColumns({column: F.lit(None).cast(of) for column, of in missing.items()})
        )
    log = make_logger("tuning")
    return Silver(Run(lake, "tuning", "tune", datetime(2026, 1, 1, tzinfo=UTC), 7, log, AS_OF), rows)


@pytest.fixture(scope="module")
def periods(silver: Silver) -> list[Validation]:
    return silver.periods(TuneParams(periods=2))


def test_what_is_judged_is_the_day_before_the_test_and_nothing_of_the_test(
    silver: Silver, periods: list[Validation]
) -> None:
    assert [(p.since, p.until) for p in periods] == [(VALID, TEST), (VALID - timedelta(days=1), VALID)]
    for period in periods:
        before = {(u, i) for u, i, at in silver.plays if at < period.since}
        during = {(u, i) for u, i, at in silver.plays if period.since <= at < period.until}
        learnt = period.data.interactions.select("user_idx", "item_idx").collect()
        assert {(row.user_idx, row.item_idx) for row in learnt} == before
        found = {int(user): set(period.judged.relevant[at]) for at, user in enumerate(period.judged.user_idx)}
        new = during - before
        assert found == {user: {i for u, i in new if u == user} for user in {u for u, _ in new}}
    assert USERS - 1 not in periods[0].judged.user_idx


def judge_both(silver: Silver, periods: list[Validation], trials: list[Any], params: TuneParams) -> list[Outcome]:
    """Side by side, once it is seen that one by one gives the same."""
    beside = list(judge_als(silver.run, periods, trials, params))
    after = list(judge_als(silver.run, periods, trials, params.model_copy(update={"task_memory_mb": 0})))
    for one, other in zip(beside, after, strict=True):
        assert (one.number, one.error) == (other.number, other.error)
        assert (one.scores is None) == (other.scores is None)
        if one.scores and other.scores:
            np.testing.assert_array_equal(one.scores.users, other.scores.users)
            np.testing.assert_array_equal(one.scores.values, other.scores.values)
            assert 0 < one.scores.values.mean() < 1
    return beside


def test_side_by_side_and_one_by_one_give_the_same_figures(silver: Silver, periods: list[Validation]) -> None:
    own = AlsParams(rank=4, iterations=3, regularization=0.02)
    other = own.model_copy(update={"rank": 6, "unobserved": 0.9})
    wrong = own.model_copy(update={"regularization": 1e9})
    found = judge_both(silver, periods[:1], [(0, own), (3, other), (4, wrong)], TuneParams())
    assert "penalties that leave vectors above 0" in found[2].error
    assert found[0].scores is not None
    assert found[1].scores is not None
    assert not np.array_equal(found[0].scores.values, found[1].scores.values)
    judge_both(silver, [again(periods[0])], [(0, own)], TuneParams(shelf="again"))


def again(period: Validation) -> Validation:
    """The same for the other shelf."""
    relevant = relevant_items(period.plays, period.data.heard, "again")
    relevant = relevant.withColumn("candidates", F.lit(ITEMS).cast("long")).persist()
    return replace(period, relevant=relevant, judged=Judged.collect(relevant))


def test_a_listener_of_two_periods_counts_by_their_mean() -> None:
    parts = [Scores(np.array([1, 4]), np.array([0.5, 0.25])), Scores(np.array([0, 4]), np.array([1.0, 0.75]))]
    found = together(parts)
    assert found.users.tolist() == [0, 1, 4]
    assert found.values.tolist() == [1.0, 0.5, 0.5]


def test_neighbours_are_judged_by_what_was_played_next_both_ways(silver: Silver, periods: list[Validation]) -> None:
    params = TuneParams(k=2)
    trials = [(1, KnnParams(k=3)), (2, KnnParams(k=2, weighting="bm25", shrinkage=2.0))]
    beside = list(judge_knn(silver.run, "recording", periods[:1], trials, params))
    alone = params.model_copy(update={"task_memory_mb": 0})
    after = list(judge_knn(silver.run, "recording", periods[:1], trials, alone))
    known = {i for _, i, at in silver.plays if at < VALID}
    nearest = cosines([(u, i) for u, i, at in silver.plays if at < VALID])
    shares = {}
    for user in range(USERS - 1):
        own = sorted((at, i) for u, i, at in silver.plays if u == user and at < TEST and i in known)
        steps = [(last, i) for (_, last), (at, i) in itertools.pairwise(own) if at >= VALID and i != last]
        shares[user] = np.mean([then in nearest[last][:2] for last, then in steps])
    for one, other in zip(beside, after, strict=True):
        assert one.scores is not None
        assert other.scores is not None
        assert one.scores.users.tolist() == other.scores.users.tolist() == list(range(USERS - 1))
        np.testing.assert_array_equal(one.scores.values, other.scores.values)
    assert beside[0].scores is not None
    np.testing.assert_allclose(beside[0].scores.values, list(shares.values()))
    assert 0 < beside[0].scores.values.mean() < 1


def cosines(pairs: list[tuple[int, int]]) -> dict[int, list[int]]:
    """Each item's others by the cosine of ln(1 + plays), best first, then by item."""
    weights = np.zeros((USERS, ITEMS))
    np.add.at(weights, tuple(np.array(pairs).T), 1)
    weights = np.log1p(weights)
    lengths = np.maximum(np.linalg.norm(weights, axis=0), 1e-9)
    found = significant(weights.T @ weights / np.outer(lengths, lengths))
    order = {i: np.lexsort((np.arange(ITEMS), -found[i])).tolist() for i in range(ITEMS)}
    return {i: [j for j in own if j != i and found[i, j] > 0] for i, own in order.items()}


def test_fused_trials_are_judged_by_the_formula(silver: Silver, periods: list[Validation]) -> None:
    params, period = TuneParams(k=3), periods[0]
    spark = silver.run.lakehouse.spark
    users = [int(user) for user in period.judged.user_idx]
    rng = np.random.default_rng(1)
    heard = {u: {i for v, i, at in silver.plays if v == u and at < VALID} for u in users}
    lists = {m: {u: [int(i) for i in rng.permutation(ITEMS) if i not in heard[u]] for u in users} for m in "ab"}
    frames = {
        m: spark.createDataFrame([(u, own, [0.0] * len(own)) for u, own in rows.items()],
                                 "user_idx int, items array<int>, scores array<double>")
        for m, rows in lists.items()
    }  # fmt: skip
    trials = [(n, HybridParams(weights={"a": w, "b": 1 - w}, k=10)) for n, w in enumerate((0.2, 1.0))]
    trials.append((2, HybridParams(weights={"c": 1.0})))
    found = list(judge_fusion([Parts(period, frames)], trials, 50, params))
    assert "names among the lists" in found[2].error
    for outcome, (_, own) in zip(found[:2], trials[:2], strict=True):
        assert outcome.scores is not None
        for user, value in zip(users, outcome.scores.values, strict=True):
            scores: dict[int, float] = {}
            for name, weight in own.weights.items():
                for rank, item in enumerate(lists[name][user], 1):
                    scores[item] = scores.get(item, 0.0) + (weight / (10 + rank) if weight else 0.0)
            best = sorted(scores, key=lambda item: (-round(scores[item], 12), item))[:3]
            relevant = set(period.judged.relevant[users.index(user)])
            gains = [1 / np.log2(place + 2) for place in range(3)]
            hits = sum(gain for gain, item in zip(gains, best, strict=True) if item in relevant)
            assert value == pytest.approx(hits / sum(gains[: len(relevant)]))


@pytest.fixture
def told(silver: Silver, tmp_path: Path) -> Iterator[Command]:
    space = tmp_path / "space.toml"
    space.write_text("[als]\nrank = [2, 3, 5]\nregularization = { low = 1e-3, high = 1e9, log = true }\n")
    overrides = (f"lakehouse.root={silver.run.lakehouse.root}", f"lakehouse.files={tmp_path / 'files'}", "als.rank=4",
                 "als.iterations=2", "tune.trials=4", "tune.batch=2", "tune.task_memory_mb=64")  # fmt: skip
    return Command("als", LOCAL, "2014-06-06", (), overrides, False, space, tmp_path / "out" / "als.toml")


def test_the_job_writes_a_preset_and_its_books_and_goes_on_from_what_is_there(
    silver: Silver, periods: list[Validation], told: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(told)
    assert told.out is not None
    text = told.out.read_text()
    preset = load_config(LOCAL, told.overrides[:2], [told.out])  # the others would be put over it
    runs = [row for row in silver.rows("ops.runs") if row["job"] == "tune"]
    assert [(row["status"], row["rows_out"]) for row in runs] == [("ok", 5)]
    metrics = [row for row in silver.rows("ops.metrics") if row["run_id"] == runs[0]["run_id"]]
    trials = {row["step"]: row for row in metrics if row["name"] in ("ndcg_10", "trial_failed")}
    assert sorted(trials) == [0, 1, 2, 3, 4]
    assert json.loads(trials[0]["tags"])["als.rank"] == "4"
    judged = {step: row["value"] for step, row in trials.items() if row["name"] == "ndcg_10"}
    best = min(judged, key=lambda step: (-judged[step], step))
    tags = json.loads(trials[best]["tags"])
    for key in ("als.rank", "als.regularization"):
        assert value_at(preset, key) == json.loads(tags[key])
    assert f"trial {best} of 5" in text
    assert "2014-06-04 00:00 to 2014-06-05 00:00" in text
    assert f"best {judged[best]:.4f}, as configured {judged[0]:.4f}" in text
    # It is finished: nothing is fitted again, and it says the same.
    monkeypatch.setattr(tune_job, "validations", validations_as_read(silver, periods))
    refused = replace(tune_job.MODELS["als"], judge=lambda *_: pytest.fail("judged again"))
    monkeypatch.setitem(tune_job.MODELS, "als", refused)
    tune(told)
    assert told.out.read_text() == text
    # Other tables or settings are another study.
    with pytest.raises(pytest.fail.Exception, match="judged again"):
        tune(replace(told, overrides=(*told.overrides, "als.steps=2")))


def validations_as_read(silver: Silver, periods: list[Validation]) -> Any:
    """The last period that was made already, of the same versions of the tables."""

    def read(run: Run, *_: object) -> list[Validation]:
        run.lakehouse.versions_read.update(silver.run.lakehouse.versions_read)
        return periods[:1]

    return read


def test_a_study_of_failures_only_is_an_error_and_a_wrong_name_too(
    silver: Silver, periods: list[Validation], told: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_job, "validations", validations_as_read(silver, periods))
    assert told.space is not None
    told.space.write_text("[als]\nregularization = [1e9, 1e10]\n")
    overrides = (*told.overrides, "als.regularization=1e11", "tune.trials=2")
    with pytest.raises(MusicrecError, match=r"tune als: all 3 trials failed, the first with: als.regularization"):
        tune(replace(told, overrides=overrides))
    runs = [row for row in silver.rows("ops.runs") if "all 3 trials failed" in (row["error"] or "")]
    assert [row["status"] for row in runs] == ["failed"]
    assert told.out is not None
    assert not told.out.exists()
    with pytest.raises(MusicrecError, match=r"MODEL: expected one of .*als.*, found asl"):
        tune(replace(told, model="asl"))


def test_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("jobs_tune", ROOT / "jobs" / "tune.py")
    assert spec is not None
    assert spec.loader is not None
    job = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(job)
    seen: list[Command] = []
    monkeypatch.setattr(job, "tune", seen.append)
    done = CliRunner().invoke(job.main, ["als", "--trials", "3", "--sampler", "grid", "--set", "als.rank=2"])
    assert done.exit_code == 0, done.output
    assert seen == [
        Command("als", Path("conf/local.toml"), overrides=("als.rank=2", "tune.trials=3", "tune.sampler=grid"))
    ]
    done = CliRunner().invoke(job.main, ["als", "--trials", "0"])
    assert "tune.trials=0" in seen[-1].overrides
