"""The Spark session. The only place that makes one; everything else is handed it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pydantic import Field, field_validator
from pyspark import SparkConf
from pyspark.errors import IllegalArgumentException
from pyspark.sql import SparkSession

from musicrec.errors import ConfigError
from musicrec.models.side_by_side import usual_partitions
from musicrec.params import Params

# What the tables' contents depend on. It is set on every session, wherever it comes from: a file beside the
# configuration may be missing, and a session that is taken over has another machine's or person's settings.
FIXED_CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    # pandas writes times in nanoseconds, which Spark refuses to read as times; the readers make times of the numbers.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
}
_DELTA_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
_DELTA_CONF = {
    "spark.sql.extensions": _DELTA_EXTENSION,
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_DEFAULTS = "spark-defaults.conf"
_OUR_CONF = Path(__file__).parent.parent / "conf"
_PARTITIONS = "spark.sql.shuffle.partitions"


class SparkParams(Params):
    """`conf` holds settings that fit the size of the machine, applied to the running session."""

    conf: dict[str, str] = Field(default_factory=dict)

    @field_validator("conf")
    @classmethod
    def _leave_fixed(cls, conf: dict[str, str]) -> dict[str, str]:
        for key, value in FIXED_CONF.items():
            if conf.get(key, value) != value:
                raise ValueError(f"{key} is always {value}, not {conf[key]}")
        return conf


def build_session(app_name: str, conf_dir: Path, conf: Mapping[str, str]) -> SparkSession:
    """Start or take over the session.

    Under spark-submit the JVM is up already and has read SPARK_CONF_DIR/spark-defaults.conf; started as plain Python,
    the launcher reads the same file through SPARK_CONF_DIR, so Delta's jars are named once.

    Parameters
    ----------
    app_name : shown in Spark's UI and history.
    conf_dir : folder of spark-defaults.conf and log4j2.properties; where it has none, a checkout's own conf/ is used.
    conf : runtime SQL settings, such as spark.sql.shuffle.partitions, which may be `auto`.

    Raises
    ------
    ConfigError : the session has no Delta.
    """
    os.environ.setdefault("SPARK_CONF_DIR", str(_conf_dir(conf_dir)))
    # Workers must run this environment's Python: on a laptop `python3` on the PATH is often another one.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    _use_utc()
    builder = SparkSession.builder.appName(app_name)
    for key, value in {**_missing_delta_conf(), **FIXED_CONF, "spark.executorEnv.TZ": "UTC"}.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    for key, value in {**conf, **FIXED_CONF}.items():
        if (key, value) == (_PARTITIONS, "auto"):
            _leave_partitions_to(spark)
        else:
            spark.conf.set(key, value)
    _check_delta(spark)
    return spark


def _conf_dir(wanted: Path) -> Path:
    has_defaults = (wanted / _DEFAULTS).is_file() or not (_OUR_CONF / _DEFAULTS).is_file()
    return (wanted if has_defaults else _OUR_CONF).absolute()


def _use_utc() -> None:
    """PySpark gives collected times in the process's own time zone, without saying so."""
    os.environ["TZ"] = "UTC"
    time.tzset()


def _missing_delta_conf() -> dict[str, str]:
    """Delta's settings that spark-submit was not given, where its JVM is up: jars alone do not make Delta."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return {}
    known = SparkConf()
    return {key: value for key, value in _DELTA_CONF.items() if not known.contains(key)}


def _check_delta(spark: SparkSession) -> None:
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:  # has its own
        return
    jvm = spark.sparkContext._jvm
    found = "none of its jars"
    try:
        jvm.java.lang.Thread.currentThread().getContextClassLoader().loadClass(_DELTA_EXTENSION)  # type: ignore[union-attr]
        extensions = spark.conf.get("spark.sql.extensions", None) or "none"
        if _DELTA_EXTENSION in extensions:
            return
        found = f"spark.sql.extensions = {extensions}"
    except Py4JJavaError:
        pass
    raise ConfigError(
        f"Spark (SPARK_CONF_DIR={os.environ['SPARK_CONF_DIR']})",
        "a session with Delta, as conf/spark-defaults.conf makes it: set SPARK_CONF_DIR to that folder",
        found,
    )


def _leave_partitions_to(spark: SparkSession) -> None:
    """What Databricks calls `auto`; elsewhere four for each core, of which adaptive execution joins the small."""
    try:
        spark.conf.set(_PARTITIONS, "auto")
    except IllegalArgumentException:
        spark.conf.set(_PARTITIONS, str(usual_partitions(spark)))
        spark.conf.set("spark.sql.adaptive.enabled", "true")
