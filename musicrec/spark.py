"""The Spark session. The only place that makes one; everything else is handed it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field
from pyspark.errors import IllegalArgumentException
from pyspark.sql import SparkSession

from musicrec.models.side_by_side import TASKS_A_CORE, slots
from musicrec.params import Params

_PARTITIONS = "spark.sql.shuffle.partitions"


class SparkParams(Params):
    """`conf` holds settings that fit the size of the machine, applied to the running session."""

    conf: dict[str, str] = Field(default_factory=dict)


def build_session(app_name: str, conf_dir: Path, conf: Mapping[str, str]) -> SparkSession:
    """Start or take over the session.

    Under spark-submit the JVM is up already and has read `conf_dir`/spark-defaults.conf; started as plain Python,
    the launcher reads the same file through SPARK_CONF_DIR, so Delta's jars and extensions are named once.

    Parameters
    ----------
    app_name : shown in Spark's UI and history.
    conf_dir : folder of spark-defaults.conf and log4j2.properties.
    conf : runtime SQL settings, such as spark.sql.shuffle.partitions, which may be `auto`.
    """
    os.environ.setdefault("SPARK_CONF_DIR", str(conf_dir.absolute()))
    # Workers must run this environment's Python: on a laptop `python3` on the PATH is often another one.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = SparkSession.builder.appName(app_name).getOrCreate()
    for key, value in conf.items():
        if (key, value) == (_PARTITIONS, "auto"):
            _leave_partitions_to(spark)
        else:
            spark.conf.set(key, value)
    return spark


def _leave_partitions_to(spark: SparkSession) -> None:
    """What Databricks calls `auto`; elsewhere adaptive execution joins small partitions of four for each core."""
    try:
        spark.conf.set(_PARTITIONS, "auto")
    except IllegalArgumentException:
        spark.conf.set(_PARTITIONS, str(TASKS_A_CORE * slots(spark)))
        spark.conf.set("spark.sql.adaptive.enabled", "true")
