from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deltalake import DeltaTable

from musicrec import steps
from musicrec.books import recorded
from musicrec.config import load_config
from musicrec.entry import parse_day, run_steps, steps_from
from musicrec.errors import InputError
from musicrec.io.runs import Run
from musicrec.logs import make_logger
from musicrec.steps import INGEST, NIGHTLY, needed_steps
from tests.conftest import ROOT
from tests.dumps import listen, write_spark_dump


def run_job(job: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"jobs/{job}.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def check_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2 and one line on standard error that holds the words."""
    lines = [line for line in done.stderr.splitlines() if "[info" not in line]
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "als.rnak=4"], ["conf/local.toml", "unknown key als.rnak", "als.rank"]),
        (["--set", "als.rank=many"], ["als.rank", "'many'"]),
        (["--as-of", "2014-13-01"], ["--as-of", "YYYY-MM-DD", "2014-13-01"]),
        (["--config", "conf/none.toml"], ["conf/none.toml", "no such file"]),
        (["--set", "sources.listens=data/nowhere"], ["data/nowhere"]),
    ],
)
def test_bad_arguments_end_with_one_line_and_a_row_in_the_books_alone(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    root = tmp_path / "lakehouse"
    done = run_job("ingest_listens", "--set", f"lakehouse.root={root}", *arguments)
    check_refused(done, *words)
    check_kept(root, "ingest_listens", done.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    "told",
    [
        {"overrides": ("lakehouse.rot=x",)},
        {"overrides": ("lakehouse.root=",)},
        {"config_path": Path("conf/none.toml")},
        {"presets": [Path("conf/none.toml")]},
    ],
)
def test_where_the_lakehouse_is_not_known_no_books_are_made(
    told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"config_path": ROOT / "conf" / "local.toml", "overrides": (), "as_of": None, "force": False}
    with pytest.raises(InputError):
        run_steps(["ingest_listens"], **given | told)
    assert list(tmp_path.iterdir()) == []


def test_every_refusal_before_the_session_has_its_row(tmp_path: Path) -> None:
    root, folder = tmp_path / "lakehouse", tmp_path / "empty"
    folder.mkdir()
    dump = write_spark_dump(tmp_path / "full-dump-1", [listen()])
    places = (f"lakehouse.root={root}", f"sources.listens={dump}", "sources.tracks=")
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("nightly", "--from", {"first": "trian_als"}),
        ("nightly", "--as-of", {"as_of": "tomorrow"}),
        ("nightly", "conf/none.toml", {"presets": [Path("conf/none.toml")]}),
        ("nightly", "--set als", {"overrides": (*places, "als")}),
        ("ingest_listens", str(folder), {"overrides": (*places, f"sources.listens={folder}")}),
        ("ingest_tracks", str(folder), {"overrides": (*places, f"sources.tracks={folder}")}),
        ("ingest_feedback", str(folder), {"overrides": (*places, f"sources.feedback={folder}")}),
    ]
    reasons = []
    for _, words, told in cases:
        given = {"as_of": None, "overrides": places, "force": False} | told
        with pytest.raises(InputError, match=words) as refused:
            run_steps(NIGHTLY, ROOT / "conf" / "local.toml", **given)
        reasons.append(str(refused.value))
    kept = sorted(books(root), key=lambda row: row["started_at"])
    assert [(row["job"], row["status"], row["error"]) for row in kept] == [
        (job, "refused", reason) for (job, _, _), reason in zip(cases, reasons, strict=True)
    ]
    assert {path.name for path in root.iterdir()} == {"ops"}


def test_a_crash_before_the_session_is_kept_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("by zero,\nsomehow")

    monkeypatch.setattr(steps, "find_dumps", crash)
    with pytest.raises(ZeroDivisionError):
        run_steps(NIGHTLY, ROOT / "conf" / "local.toml", None, (f"lakehouse.root={tmp_path / 'lake'}",), False)
    [row] = books(tmp_path / "lake")
    assert (row["job"], row["status"]) == ("ingest_listens", "failed")
    assert row["error"].startswith("ZeroDivisionError: by zero, somehow (at musicrec/steps.py:")


def test_a_failure_of_spark_itself_is_kept_too(tmp_path: Path) -> None:
    def dead(*_: object) -> None:
        raise ConnectionError("no JVM")

    def work() -> Any:
        raise ValueError("the first error")

    @contextmanager
    def as_they_were() -> Iterator[None]:
        yield

    catalog = SimpleNamespace(clearCache=dead)
    lake = SimpleNamespace(
        root=str(tmp_path),
        catalog=None,
        versions_read={},
        versions_written={"gold.clusters": 1},
        append_rows=dead,
        unchanged_on_error=as_they_were,
        spark=SimpleNamespace(catalog=catalog),
    )
    run: Any = Run(lake, "r1", "analyse", datetime(2026, 1, 2, tzinfo=UTC), 7, make_logger("r1"), date(2014, 6, 23))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the first error"):
        recorded(run, {}, work)
    [row] = books(tmp_path)
    assert (row["run_id"], row["job"], row["status"], row["tables_written"]) == ("r1", "analyse", "failed", [])
    assert row["error"] == "ValueError: the first error"


def books(root: Path) -> list[dict[str, Any]]:
    return DeltaTable(str(root / "ops" / "runs")).to_pyarrow_table().to_pylist()


def check_kept(root: Path, job: str, line: str) -> None:
    """One row in ops.runs with what was said on standard error, and nothing else in the lakehouse."""
    [row] = books(root)
    assert (row["job"], row["status"], f"musicrec: {row['error']}") == (job, "refused", line)
    assert {path.relative_to(root).parts[:2] for path in root.rglob("*") if path.is_file()} == {("ops", "runs")}


def test_the_nightly_checks_every_source_before_it_writes(tmp_path: Path) -> None:
    dump = write_spark_dump(tmp_path / "full-dump-1", [listen()])
    header = tmp_path / "strange.csv"
    header.write_text("one,two\n1,2\n")
    root = tmp_path / "lakehouse"
    overrides = (f"lakehouse.root={root}", f"sources.listens={dump}", f"sources.tracks={header}")
    done = run_job("nightly", *(part for override in overrides for part in ("--set", override)))
    check_refused(done, str(header), "one, two")
    check_kept(root, "ingest_tracks", done.stderr.splitlines()[-1])


def test_an_archive_that_would_write_elsewhere_leaves_nothing_behind(tmp_path: Path) -> None:
    archive, secret = tmp_path / "full-dump-1.tar", tmp_path / "secret"
    secret.write_text("x")
    with tarfile.open(archive, "w") as tar:
        tar.add(secret, "full-dump-1/../../secret")
    root = tmp_path / "lakehouse"
    done = run_job("ingest_listens", "--set", f"lakehouse.root={root}", "--set", f"sources.listens={archive}")
    check_refused(done, str(archive), "../../secret")
    check_kept(root, "ingest_listens", done.stderr.splitlines()[-1])


def test_steps_restart_at_the_one_that_failed() -> None:
    assert steps_from("recommend") == ["recommend", "build_playlists", "evaluate", "analyse"]
    assert steps_from(None)[0] == "ingest_listens"
    with pytest.raises(InputError, match=r"--from.*build_silver.*bulid"):
        steps_from("bulid")


def test_what_the_lists_need_follows_from_what_they_are_made_of() -> None:
    def needed(*overrides: str) -> set[str]:
        return set(needed_steps(load_config(ROOT / "conf" / "local.toml", overrides))) - base

    base = {*INGEST, "build_silver", "recommend"}
    assert needed() == {"train_als", "train_pca", "train_sequence"}
    assert needed("recommend.discover=popular", "recommend.again=own_top") == set()
    assert needed("recommend.discover=ncf", "recommend.again=own_top") == {"train_als", "train_neural"}
    assert needed("hybrid.discover.weights.content=1", "hybrid.discover.weights.knn=0.5") >= {
        "build_features",
        "train_content",
        "train_knn",
    }
    alone = needed("recommend.discover=ranker", "recommend.again=own_top", "ranker.retrievers=['pca', 'popular']")
    assert alone == {"train_ranker", "train_pca", "train_knn"}
    assert "train_als" in needed("recommend.diversity.mmr_lambda=0.5", "recommend.diversity.similarity=als")


def test_days() -> None:
    assert parse_day("2014-06-23") == date(2014, 6, 23)
    assert parse_day(None) is None
