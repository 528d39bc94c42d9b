from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import py4j
import pyspark

_SPARK = Path(pyspark.__file__).parent
_ARCHIVE = _SPARK / "python" / "lib" / "pyspark.zip"
_JARS = sorted((_SPARK / "jars").glob("spark-core_*.jar"))


def run(code: str, *path: Path, isolated: bool = False) -> str:
    """Standard output of `code`, run with `path` first on the workers' path, as Spark does it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    options = ["-S"] if isolated else []
    done = subprocess.run(
        [sys.executable, *options, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_no_archive_is_left_on_the_path() -> None:
    code = "; ".join(
        [
            "import sys, zipimport",
            "from musicrec import worker_daemon",
            "worker_daemon.leave_archives_out()",
            "worker_daemon.import_once()",
            "import pyspark.worker",
            "zips = [f for f in sys.path_importer_cache.values() if isinstance(f, zipimport.zipimporter)]",
            "print(pyspark.__file__, len(zips), 'numba' in sys.modules)",
        ]
    )
    root = Path(__file__).parent.parent
    assert run(code, _ARCHIVE, *_JARS, root) == f"{_SPARK / '__init__.py'} 0 True"


def test_the_archive_stays_where_pyspark_is_nowhere_else() -> None:
    code = (
        "import sys; from musicrec import worker_daemon; worker_daemon.leave_archives_out(); "
        "import pyspark; print('pyspark.zip' in pyspark.__file__)"
    )
    root = Path(__file__).parent.parent
    py4j_archive = next((_SPARK / "python" / "lib").glob("py4j-*.zip"))
    assert Path(py4j.__file__).exists()
    assert run(code, _ARCHIVE, py4j_archive, root, isolated=True) == "True"
