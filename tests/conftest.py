"""One Spark session for each process: two cores, two shuffle partitions, Delta from conf/spark-defaults.conf."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import torch
from pyspark.sql import SparkSession

from musicrec.io.runs import Run
from musicrec.io.tables import Lakehouse
from musicrec.logs import make_logger
from musicrec.spark import build_session

ROOT = Path(__file__).parent.parent
SMALL_SPARK = {
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.sql.adaptive.enabled": "false",
    # Compiling a query takes longer than a few rows do; the nightly on the sample runs compiled.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The networks of the tests are so small that a second thread only waits for the first."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = build_session("musicrec-tests", ROOT / "conf", SMALL_SPARK)
    yield session
    session.stop()


@pytest.fixture
def lakehouse(spark: SparkSession, tmp_path: Path) -> Lakehouse:
    return Lakehouse(spark, str(tmp_path / "lakehouse"))


@pytest.fixture
def run(lakehouse: Lakehouse) -> Run:
    """A run with a fixed clock; its as_of is the day after the sample's last listen."""
    return Run(
        lakehouse=lakehouse,
        run_id="test-run",
        job="test",
        now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        seed=7,
        log=make_logger("test-run"),
        as_of=date(2014, 6, 23),
    )
