from __future__ import annotations

import subprocess
import sys
import tarfile
from datetime import date
from pathlib import Path

import pytest

from musicrec.entry import parse_day, steps_from
from musicrec.errors import InputError
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
def test_bad_arguments_end_with_one_line_and_touch_nothing(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    root = tmp_path / "lakehouse"
    check_refused(run_job("ingest_listens", "--set", f"lakehouse.root={root}", *arguments), *words)
    assert not root.exists()


def test_the_nightly_checks_every_source_before_it_writes(tmp_path: Path) -> None:
    dump = write_spark_dump(tmp_path / "full-dump-1", [listen()])
    header = tmp_path / "strange.csv"
    header.write_text("one,two\n1,2\n")
    root = tmp_path / "lakehouse"
    overrides = (f"lakehouse.root={root}", f"sources.listens={dump}", f"sources.tracks={header}")
    done = run_job("nightly", *(part for override in overrides for part in ("--set", override)))
    check_refused(done, str(header), "one, two")
    assert not root.exists()


def test_an_archive_that_would_write_elsewhere_leaves_nothing_behind(tmp_path: Path) -> None:
    archive, secret = tmp_path / "full-dump-1.tar", tmp_path / "secret"
    secret.write_text("x")
    with tarfile.open(archive, "w") as tar:
        tar.add(secret, "full-dump-1/../../secret")
    root = tmp_path / "lakehouse"
    done = run_job("ingest_listens", "--set", f"lakehouse.root={root}", "--set", f"sources.listens={archive}")
    check_refused(done, str(archive), "../../secret")
    assert not root.exists()


def test_steps_restart_at_the_one_that_failed() -> None:
    assert steps_from("recommend") == ["recommend", "build_playlists", "evaluate", "analyse"]
    assert steps_from(None)[0] == "ingest_listens"
    with pytest.raises(InputError, match=r"--from.*build_silver.*bulid"):
        steps_from("bulid")


def test_days() -> None:
    assert parse_day("2014-06-23") == date(2014, 6, 23)
    assert parse_day(None) is None
