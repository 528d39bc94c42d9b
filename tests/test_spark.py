"""The session is the same wherever it is started and whatever it was before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from musicrec.config import load_config
from musicrec.errors import ConfigError
from musicrec.spark import FIXED_CONF, build_session
from tests.conftest import ROOT, SMALL_SPARK
from tests.dumps import json_listen, utc, write_json_dump

ZONE = "spark.sql.session.timeZone"


def ingest(config: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The job as its own process on a machine in another zone, with nothing set but what is given."""
    own = {name: value for name, value in os.environ.items() if name not in ("SPARK_CONF_DIR", "TZ")}
    command = [sys.executable, str(ROOT / "jobs" / "ingest_listens.py"), "--config", str(config)]
    return subprocess.run(
        command, cwd=config.parent, env={**own, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration in a folder of its own, without spark-defaults.conf."""
    folder = tmp_path / "etc"
    folder.mkdir()
    lines = [json_listen(1, "2014-03-09 02:30:00", "No such hour there"), json_listen(1, 1414906200, "Twice there")]
    write_json_dump(tmp_path / "dump", [*lines, json_listen(1, "2014-11-04T01:00:00-05:00", "Zone")], end=None)
    places = f'[lakehouse]\nroot = "{tmp_path}/lake"\n[sources]\nlistens = "{tmp_path}/dump"\n'
    shelves = "".join(f"[hybrid.{shelf}.weights]\nals = 1\n" for shelf in ("discover", "again"))
    (folder / "mine.toml").write_text(places + shelves)
    return folder / "mine.toml"


def test_a_machine_in_another_zone_and_a_configuration_elsewhere_give_the_same_times(config: Path) -> None:
    done = ingest(config, TZ="America/New_York")
    assert done.returncode == 0, done.stderr
    root = config.parent.parent / "lake"
    rows = DeltaTable(root / "bronze" / "listens").to_pyarrow_table().to_pylist()
    assert {row["recording_name"]: row["listened_at"] for row in rows} == {
        "No such hour there": utc("2014-03-09 02:30:00"),
        "Twice there": utc("2014-11-02 05:30:00"),
        "Zone": utc("2014-11-04 06:00:00"),
    }
    (source,) = DeltaTable(root / "ops" / "sources").to_pyarrow_table().to_pylist()
    assert source["ended_at"] == utc("2014-11-05")


def test_a_session_without_delta_is_one_line_that_says_where_to_set_it(config: Path) -> None:
    (config.parent / "empty").mkdir()
    done = ingest(config, SPARK_CONF_DIR=str(config.parent / "empty"))
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("musicrec: ")]
    assert "Traceback" not in done.stderr
    for words in (str(config.parent / "empty"), "Delta", "conf/spark-defaults.conf", "SPARK_CONF_DIR", "found none"):
        assert words in line


def test_a_session_that_is_there_is_set_to_utc(spark: SparkSession) -> None:
    spark.conf.set(ZONE, "America/New_York")
    assert build_session("other", ROOT / "conf", SMALL_SPARK) is spark
    assert {key: spark.conf.get(key) for key in FIXED_CONF} == FIXED_CONF
    collected = spark.sql("SELECT TIMESTAMP '2014-06-22 10:00:00 UTC' AS at").collect()[0]["at"]
    assert collected == utc("2014-06-22 10:00:00").replace(tzinfo=None)


def test_another_zone_cannot_be_configured() -> None:
    with pytest.raises(ConfigError, match=r"spark\.conf.*timeZone is always UTC, not Europe/Berlin"):
        load_config(ROOT / "conf" / "local.toml", (f'spark.conf={{"{ZONE}" = "Europe/Berlin"}}',))
    assert load_config(ROOT / "conf" / "local.toml", (f'spark.conf={{"{ZONE}" = "UTC"}}',)).spark.conf[ZONE] == "UTC"
