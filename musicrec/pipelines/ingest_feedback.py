"""Take feedback in: each statement of a source once into bronze.feedback, what cannot be right into the quarantine."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import CountMismatchError
from musicrec.io.feedback import FeedbackSource, read_feedback, read_lines, readable_files
from musicrec.io.read_errors import named_when_broken
from musicrec.io.runs import Run, Stage, fates_note
from musicrec.schemas import TABLES
from musicrec.transforms.feedback import judge

KIND = "feedback"


def ingest_feedback(run: Run, sources: Sequence[FeedbackSource]) -> Stage:
    """Append the sources that ops.sources does not name; one whose record was lost replaces its own rows.

    Without any source bronze.feedback is made all the same, empty, so that the jobs after this one see when it fills.

    Raises
    ------
    CountMismatchError : a source's rows are not kept + duplicates + quarantined.
    """
    lake = run.lakehouse
    if not lake.exists("bronze.feedback"):
        lake.append("bronze.feedback", lake.read_or_empty("bronze.feedback"))
    known = {row[0] for row in lake.read_or_empty("ops.sources").select("source_id").collect()} if sources else set()
    new = [source for source in sources if source.source_id not in known]
    if not new:
        return Stage(0, 0, "no new feedback")
    counts = []
    for source in new:
        with named_when_broken(lake.spark, readable_files(source).behind):
            counts.append(_apply(run, source))
    rows_in, kept, duplicate, quarantined = (sum(column) for column in zip(*counts, strict=True))
    return Stage(rows_in, kept, fates_note(kept, duplicate, quarantined))


def _apply(run: Run, source: FeedbackSource) -> tuple[int, int, int, int]:
    """Take in one source; gives its rows in, kept, duplicate and quarantined."""
    lake = run.lakehouse
    stamps = {
        "source_id": F.lit(source.source_id),
        "snapshot_at": F.lit(source.snapshot_at).cast("timestamp"),
        "ingested_at": F.lit(run.now),
    }
    judged = judge(read_feedback(lake.spark, source), run.now).withColumns(stamps).persist(StorageLevel.DISK_ONLY)
    try:
        good = judged.where("reason IS NULL")
        columns = [c for c in TABLES["bronze.feedback"].columns if c not in ("statement_id", "file")]
        # All that tells statements apart is in statement_id; of its copies the first file is named.
        kept = good.groupBy("statement_id").agg(*[F.first(c).alias(c) for c in columns], F.min("file").alias("file"))
        counted = judged.agg(
            F.count("*"), F.count_distinct(F.when(F.col("reason").isNull(), F.col("statement_id"))), F.count("reason")
        ).collect()[0]
        total, unique, quarantined = counted
        rows_in = read_lines(lake.spark, source).count()
        duplicate = total - quarantined - unique
        if rows_in != unique + duplicate + quarantined:
            raise CountMismatchError(
                f"{source.name}: {rows_in} rows in, but {unique} kept + {duplicate} duplicates"
                f" + {quarantined} quarantined"
            )
        ours = f"source_id = '{source.source_id}'"
        lake.overwrite("bronze.feedback", kept, where=ours)
        _quarantine(run, judged.where("reason IS NOT NULL"), ours, quarantined)
    finally:
        judged.unpersist()
    _record(run, source, (rows_in, unique, duplicate, quarantined))
    return rows_in, unique, duplicate, quarantined


def _quarantine(run: Run, rejected: DataFrame, ours: str, expected: int) -> None:
    """Replace the rows that an earlier, lost application of the source may have left."""
    lake, table = run.lakehouse, "bronze.quarantine"
    if expected or (lake.exists(table) and not lake.read(table).where(ours).isEmpty()):
        lake.overwrite(table, rejected, where=ours)


def _record(run: Run, source: FeedbackSource, counts: tuple[int, int, int, int]) -> None:
    names = ("rows_in", "rows_kept", "rows_duplicate", "rows_quarantined")
    figures = dict(zip(names, counts, strict=True))
    for name, value in figures.items():
        run.metric(name, value, source=source.name, source_id=source.source_id)
    run.log.info("feedback applied", source=source.name, source_id=source.source_id, **figures)
    form = "dump" if source.snapshot_at else "lines"
    row = (source.source_id, KIND, source.name, form, None, source.snapshot_at, *counts, run.run_id, run.now)
    run.lakehouse.append_rows("ops.sources", [row])
