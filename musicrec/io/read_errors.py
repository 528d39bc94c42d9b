"""A source file that breaks while Spark reads it, as one line that names it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from musicrec.errors import InputError

# What Spark says of a file that it cannot read, and how an InputError on a worker ends.
_READING = re.compile(r"error while reading file (\S.*?)\.(?: |\n|$)")
_ON_WORKER = re.compile(r"musicrec\.errors\.InputError: (.*): expected (.*), found (.*)")
_CAUSE = re.compile(r"^Caused by: (.*)$", re.MULTILINE)
# They print the whole stack of each task that failed.
_LOUD = ("org.apache.spark.executor.Executor", "org.apache.spark.scheduler.TaskSetManager")


@contextmanager
def named_when_broken(spark: SparkSession, files: Mapping[str, Path]) -> Iterator[None]:
    """Turn a failure to read one of the files into an InputError that names it.

    Parameters
    ----------
    files : what Spark is given → the file.

    Raises
    ------
    InputError : a file is broken, or is gone.
    """
    with _quiet(spark):
        try:
            yield
        except (Py4JJavaError, PySparkException) as error:
            found = _broken(str(error), files)
            if found is None:
                raise
            raise found from None


def _broken(text: str, files: Mapping[str, Path]) -> InputError | None:
    on_worker = _ON_WORKER.search(text)
    if on_worker:
        where, expected, found = on_worker.groups()
        return InputError(files.get(f"file://{where}", where), expected, found)
    reading = _READING.search(text)
    if reading is None:
        return None
    given = re.sub(r"^file:/+", "file:///", reading[1])
    path = files.get(given) or files.get(unquote(given))
    if path is None:
        return None
    causes = _CAUSE.findall(text, reading.end())
    found = causes[-1] if causes else "bytes that are none of it"
    return InputError(path, "a file that can be read to its end", found[:200])


@contextmanager
def _quiet(spark: SparkSession) -> Iterator[None]:
    """Without the stacks in the log, on this machine: the error that is raised has them too."""
    logging = spark._jvm.org.apache.logging.log4j  # type: ignore[union-attr]
    before = {name: logging.LogManager.getLogger(name).getLevel() for name in _LOUD}
    for name in _LOUD:
        logging.core.config.Configurator.setLevel(name, logging.Level.OFF)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.core.config.Configurator.setLevel(name, level)
