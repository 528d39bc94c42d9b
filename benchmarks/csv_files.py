"""A large catalogue as rows of text: musicrec's reader beside Spark's own.

    python -m benchmarks.csv_files [--rows 600000] [--many-lines 0.01] [--repeats 3] [--json FILE]

The file is tracks.csv of invented tracks, some of whose titles run over a line's end. Both read all columns of all rows
in one task, and hash them; musicrec besides finds each row's line. `find` is what find_catalogues does before: it reads
the file to its end for its hash, encoding and lines. The engines take turns, and a row has the best. Ends with 1 if the
hashes differ.
"""

from __future__ import annotations

import csv
import random
import sys
import tempfile
from functools import partial
from pathlib import Path

import click
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from benchmarks.measure import Row, benchmark_session, best_of, print_rows, write_json
from musicrec.io.spotify import find_catalogues, read_catalogues
from musicrec.io.spotify_schemas import CATALOGUE_SCHEMAS

_COLUMNS = CATALOGUE_SCHEMAS["tracks_600k"].columns


@click.command()
@click.option("--rows", default=600_000, show_default=True)
@click.option("--many-lines", default=0.01, show_default=True, help="Share of titles over two lines.")
@click.option("--repeats", default=3, show_default=True, help="Turns of each engine; the row has its best.")
@click.option("--seed", default=20140616, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(rows: int, many_lines: float, repeats: int, seed: int, json_path: Path | None) -> None:
    """Time the readers on the same file."""
    spark = benchmark_session()
    with tempfile.TemporaryDirectory(prefix="musicrec-bench-") as folder:
        small = write_tracks(Path(folder) / "small.csv", 1_000, many_lines, seed)
        path = write_tracks(Path(folder) / "tracks.csv", rows, many_lines, seed)
        for read in _ENGINES.values():
            read(spark, small)
        timed = best_of({name: partial(read, spark, path) for name, read in _ENGINES.items()}, repeats)
        megabytes = path.stat().st_size / 1e6
    found = [{**row, "rows_per_s": rows / row["seconds"], "mb_per_s": megabytes / row["seconds"]} for row in timed]
    print_rows(found, f"{rows:,} rows, {megabytes:,.0f} MB of CSV", "spark")
    write_json(found, json_path)
    if len({row["hash"] for row in timed if row["hash"]}) > 1:
        print("the readers' rows differ", file=sys.stderr)
        sys.exit(1)


def write_tracks(path: Path, rows: int, many_lines: float, seed: int) -> Path:
    """A file of the layout tracks_600k."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyzé", k=rng.randint(2, 9))).title() for _ in range(5_000)]
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for place in range(rows):
            name = " ".join(rng.choices(words, k=rng.randint(1, 6))) + (', "Live"' if rng.random() < 0.05 else "")
            name += "\nAgain, and again" if rng.random() < many_lines else ""
            artists = [" ".join(rng.choices(words, k=2)) for _ in range(1 + (rng.random() < 0.2))]
            values = {
                "id": f"{place:022d}",
                "name": name,
                "artists": str(artists),
                "id_artists": str(["".join(rng.choices(digits, k=22)) for _ in artists]),
                "release_date": f"{rng.randint(1950, 2020)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
                "explicit": str(rng.randint(0, 1)),
                "duration_ms": str(rng.randint(60_000, 400_000)),
            }
            writer.writerow(values[column] if column in values else f"{rng.random():.4f}" for column in _COLUMNS)
    return path


def find(spark: SparkSession, path: Path) -> Row:
    """What is done before a file is read."""
    find_catalogues([str(path)])
    return {"hash": 0}


def read_musicrec(spark: SparkSession, path: Path) -> Row:
    """Our records."""
    [(_, rows)] = read_catalogues(spark, _found(path))
    return _hashed(rows)


def read_spark(spark: SparkSession, path: Path) -> Row:
    """Spark's CSV reader, told of line ends in fields and of rows with too few columns."""
    schema = StructType([StructField(name, StringType()) for name in (*_COLUMNS, "_corrupt_record")])
    options = {"header": True, "multiLine": True, "quote": '"', "escape": '"', "columnPruning": False}
    return _hashed(spark.read.schema(schema).options(**options).csv(path.as_uri()))


_ENGINES = {"spark": read_spark, "musicrec": read_musicrec, "find": find}
_CATALOGUES: dict[Path, list] = {}


def _found(path: Path) -> list:
    if path not in _CATALOGUES:
        _CATALOGUES[path] = find_catalogues([str(path)])
    return _CATALOGUES[path]


def _hashed(rows: DataFrame) -> Row:
    """The sum of the rows' hashes, whatever their order."""
    each = F.xxhash64(*_COLUMNS).cast("decimal(38,0)")
    return {"hash": int(rows.agg(F.sum(each)).collect()[0][0])}


if __name__ == "__main__":
    main()
