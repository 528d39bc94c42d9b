from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
from delta.tables import DeltaTable

from musicrec.errors import CountMismatchError, InputError
from musicrec.io.listenbrainz import find_dumps
from musicrec.io.runs import Run, Stage
from musicrec.pipelines import ingest_listens as module
from musicrec.pipelines.ingest_listens import ingest_listens
from musicrec.transforms.listens import ListenRules
from tests.dumps import json_listen, listen, pack, write_json_dump, write_older_dump, write_spark_dump

RULES = ListenRules()


def ingest(run: Run, tmp_path: Path, *sources: Path) -> Stage:
    with run.lakehouse.unchanged_on_error():
        return ingest_listens(run, find_dumps([str(s) for s in sources], tmp_path / "staging"), RULES)


def listens(run: Run) -> list[tuple[Any, ...]]:
    columns = ("user_id", "listened_at", "recording_msid", "file", "source_id")
    return sorted(tuple(r) for r in run.lakehouse.read("bronze.listens").select(*columns).collect())


def quarantine(run: Run) -> list[tuple[Any, ...]]:
    rows = run.lakehouse.read("bronze.quarantine").select("file", "reason", "row", "source_id").collect()
    return sorted(tuple(r) for r in rows)


def sources(run: Run) -> dict[str, tuple[int, ...]]:
    columns = ("rows_in", "rows_kept", "rows_duplicate", "rows_quarantined")
    rows = run.lakehouse.read("ops.sources").collect()
    return {r["name"]: tuple(r[c] for c in columns) for r in rows}


def figures(run: Run) -> dict[tuple[str, str], float]:
    return {(json.loads(tags)["dump"], name): value for name, _, tags, value in run._figures}


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """A full dump with a copy and a faulty row, and two increments that repeat some of it."""
    full = [listen(1), listen(1), listen(2), listen(3, title=""), listen(4, artist_name=None, recording_name=" ")]
    first = [listen(1), listen(1, at="2021-08-07 10:00:00"), listen(9, at="1999-01-01 00:00:00")]
    second = [listen(1, at="2021-08-07 10:00:00"), listen(5, at="2021-08-08 09:00:00")]
    return [
        write_spark_dump(tmp_path / "in" / "full-1", full, end="2021-08-07", files=2),
        write_spark_dump(tmp_path / "in" / "incremental-2", first, end="2021-08-08"),
        write_spark_dump(tmp_path / "in" / "incremental-3", second, end="2021-08-09"),
    ]


def test_three_dumps_a_second_run_and_lost_bookkeeping(run: Run, tmp_path: Path, three: Sequence[Path]) -> None:
    given_backwards = list(reversed(three))
    assert ingest(run, tmp_path, *given_backwards) == Stage(10, 4, "4 kept, 3 duplicates, 3 quarantined")
    counts = {"full-1": (5, 2, 1, 2), "incremental-2": (3, 1, 1, 1), "incremental-3": (2, 1, 1, 0)}
    assert sources(run) == counts
    names = ("rows_in", "rows_kept", "rows_duplicate", "rows_quarantined")
    found = figures(run)
    assert {d: tuple(int(found[d, n]) for n in names) for d in counts} == counts
    before, rejected = listens(run), quarantine(run)
    assert [(u, f) for u, _, _, f, _ in before] == [
        ("1", "full-1/0.parquet"),
        ("1", "incremental-2/0.parquet"),
        ("2", "full-1/0.parquet"),
        ("5", "incremental-3/0.parquet"),
    ]
    assert [(f, reason) for f, reason, _, _ in rejected] == [
        ("full-1/0.parquet", "missing_artist,missing_title"),
        ("full-1/1.parquet", "missing_title"),
        ("incremental-2/0.parquet", "too_early"),
    ]
    assert json.loads(rejected[1][2])["user_id"] == 3

    versions = {name: run.lakehouse.version(name) for name in ("bronze.listens", "bronze.quarantine", "ops.sources")}
    again = ingest(run, tmp_path, tmp_path / "in")
    assert (again.rows_in, again.rows_out) == (0, 0)
    assert "applied before" in again.note
    assert {name: run.lakehouse.version(name) for name in versions} == versions

    DeltaTable.forPath(run.lakehouse.spark, run.lakehouse.location("ops.sources")).delete("name = 'full-1'")
    assert ingest(run, tmp_path, tmp_path / "in") == Stage(5, 0, "0 kept, 3 duplicates, 2 quarantined")
    assert (listens(run), quarantine(run)) == (before, rejected)
    assert sources(run)["full-1"] == (5, 0, 3, 2)


def test_every_form_of_dump_comes_in_together(run: Run, tmp_path: Path) -> None:
    older = write_older_dump(
        tmp_path / "older",
        [(7, "Kiasmos", "K", "Lit", date(2020, 1, 4), time(15, 38)), (7, "", "K", "Lit", date(2020, 1, 4), time(1))],
    )
    folder = write_json_dump(tmp_path / "lines-full", [json_listen(1), json_listen(2), "{broken"], end="2021-08-06")
    spark_dump = write_spark_dump(tmp_path / "spark-full", [listen(1), listen(3)], end="2021-08-07")
    packed = [pack(folder, tmp_path / "lines.tar.zst"), pack(spark_dump, tmp_path / "spark.tar")]
    stage = ingest(run, tmp_path, *packed, older)
    assert (stage.rows_in, stage.rows_out) == (7, 4)
    # The listen of user 1 is in the JSON and in the parquet dump: same user, second and msid.
    assert sources(run) == {"older": (2, 1, 0, 1), "lines-full": (3, 2, 0, 1), "spark-full": (2, 1, 1, 0)}
    assert [reason for _, reason, _, _ in quarantine(run)] == ["malformed", "missing_artist"]


def test_bad_input_touches_no_table(run: Run, tmp_path: Path, three: Sequence[Path]) -> None:
    file = three[2] / "0.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"incremental-3/0\.parquet"):
        ingest(run, tmp_path, *three)
    assert not Path(run.lakehouse.root).exists()


def test_rows_that_vanish_are_noticed_before_anything_is_written(
    run: Run, tmp_path: Path, three: Sequence[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_all = module.read_dump
    monkeypatch.setattr(module, "read_dump", lambda spark, dump: read_all(spark, dump).where("user_id != '2'"))
    with pytest.raises(CountMismatchError, match="full-1: 5 rows in, but 1 kept"):
        ingest(run, tmp_path, *three)
    assert not run.lakehouse.exists("bronze.listens")


def test_a_failure_in_a_later_dump_puts_the_earlier_back(
    run: Run, tmp_path: Path, three: Sequence[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(three[2])
    count = module.count_rows
    monkeypatch.setattr(module, "count_rows", lambda s, d: count(s, d) + (d.name == "incremental-2"))
    with pytest.raises(CountMismatchError, match="incremental-2"):
        ingest(run, tmp_path, *three[:2])
    assert not any(run.lakehouse.exists(name) for name in ("bronze.listens", "bronze.quarantine", "ops.sources"))
