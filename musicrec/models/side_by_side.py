"""Whether, and how many, tasks of one stage can run at the same time and talk to each other."""

from __future__ import annotations

import re
import secrets
import sys

from pyspark.sql import SparkSession


def slots(session: SparkSession) -> int:
    """How many tasks the session's executors run at the same time, at least 1."""
    context = session.sparkContext
    return max(context.defaultParallelism // int(context.getConf().get("spark.task.cpus", "1") or 1), 1)


def why_not_side_by_side(session: SparkSession) -> str | None:
    """Why Spark would not start the tasks of a barrier stage together; None where it does."""
    if session.sparkContext.getConf().get("spark.dynamicAllocation.enabled", "false") == "true":
        return "spark.dynamicAllocation.enabled is true, and tasks side by side need a fixed number of cores"
    return None


def meeting(session: SparkSession) -> str | None:
    """A secret by which the tasks of one stage find each other where all run on this machine; None elsewhere."""
    is_near = re.match(r"local(\[|$)", session.sparkContext.master or "") and sys.platform == "linux"
    return secrets.token_hex(16) if is_near else None
