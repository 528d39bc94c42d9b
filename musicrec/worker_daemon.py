"""Spark's Python daemon, which forks the workers, made ready once for all of them: `spark.python.daemon.module`.

Three costs that pyspark's own daemon leaves to every task or worker:

- Spark puts pyspark.zip and its own jar on the workers' path, and a worker forgets all import caches when a task starts
  (`importlib.invalidate_caches`), which reads the archives' directories again, once for each package in them: .15 s of
  processor time a task. Here pyspark is imported from the environment's own folder, where there is one.
- Each new worker imports numpy, pyarrow, pandas and numba by itself, about a second. A fork of a process that has them
  has them too, and shares their memory.
- After each task a worker collects garbage, looking at every object of every module: .05 s with pandas and numba. What
  the daemon holds when it forks is frozen, so that no collection looks at it (or copies its pages by doing so).
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys

_IMPORTED_ONCE = ("numpy", "pyarrow.compute", "pandas", "numba", "scipy.sparse")


def leave_archives_out() -> None:
    """Take zip archives and jars off the path if pyspark and py4j are found without them."""
    before = sys.path[:]
    sys.path[:] = [entry for entry in before if not os.path.isfile(entry)]
    sys.path_importer_cache.clear()
    if any(importlib.util.find_spec(name) is None for name in ("pyspark", "py4j")):
        sys.path[:] = before


def import_once() -> None:
    """Import what the workers need; one that is not there is left to the task that asks for it."""
    for name in _IMPORTED_ONCE:
        try:
            importlib.import_module(name)
        except ImportError:
            continue


if __name__ == "__main__":
    leave_archives_out()
    import_once()
    from pyspark.daemon import manager

    gc.collect()
    gc.freeze()
    manager()  # type: ignore[no-untyped-call]
