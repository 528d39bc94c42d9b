"""How many tasks a stage should have, and whether they can run at the same time and talk to each other."""

from __future__ import annotations

import re
import secrets
import sys

from pyspark.sql import DataFrame, SparkSession

# Rows of a task, at least, where Spark's shuffles have far more partitions than the executors have cores.
_ROWS_OF_A_TASK = 256
# Tasks for each core, where nothing says how many.
TASKS_A_CORE = 4
_SPARKS_DEFAULT = 200


def slots(session: SparkSession) -> int:
    """How many tasks the session's executors run at the same time, at least 1."""
    context = session.sparkContext
    return max(context.defaultParallelism // int(context.getConf().get("spark.task.cpus", "1") or 1), 1)


def shuffle_partitions(session: SparkSession) -> int:
    """As many partitions as Spark's shuffles have; where that is left to Spark (`auto`), `usual_partitions`."""
    told = session.conf.get("spark.sql.shuffle.partitions") or ""
    return int(told) if told.isdigit() else usual_partitions(session)


def usual_partitions(session: SparkSession) -> int:
    """Four for each core; Spark's own default where executors come and go, so that there are none to count."""
    return _SPARKS_DEFAULT if _is_dynamic(session) else TASKS_A_CORE * slots(session)


def partitions_for(rows: DataFrame) -> int:
    """For so many rows of which each is much work: as Spark's shuffles have, where these are made for far more cores
    than there are no more than one for each 256 rows, which are counted then."""
    session = rows.sparkSession
    most = shuffle_partitions(session)
    if most <= TASKS_A_CORE * slots(session):
        return most
    return max(1, min(most, -(-rows.count() // _ROWS_OF_A_TASK)))


def why_not_side_by_side(session: SparkSession) -> str | None:
    """Why Spark would not start the tasks of a barrier stage together; None where it does."""
    if _is_dynamic(session):
        return "spark.dynamicAllocation.enabled is true, and tasks side by side need a fixed number of cores"
    return None


def _is_dynamic(session: SparkSession) -> bool:
    return session.sparkContext.getConf().get("spark.dynamicAllocation.enabled", "false") == "true"


def meeting(session: SparkSession) -> str | None:
    """A secret by which the tasks of one stage find each other where all run on this machine; None elsewhere."""
    is_near = re.match(r"local(\[|$)", session.sparkContext.master or "") and sys.platform == "linux"
    return secrets.token_hex(16) if is_near else None
