"""Take ListenBrainz dumps in: each listen once into bronze.listens, what cannot be right into bronze.quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import starmap

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import CountMismatchError
from musicrec.io.listen_span import believed_span
from musicrec.io.listenbrainz import Dump, check_dumps, count_rows, in_order, read_dump, readable_files
from musicrec.io.read_errors import named_when_broken
from musicrec.io.runs import Run, Stage, fates_note
from musicrec.transforms.listens import (
    KEY,
    ListenRules,
    add_fate,
    believed_end,
    judge,
    number_copies,
    repeated_digests,
    tidy,
)
from musicrec.transforms.times import midnight

SOURCE = "listenbrainz"

# The keys of so many rows fit into each task.
_FEW_ROWS = 2_000_000


@dataclass(frozen=True)
class Counts:
    """What became of a dump's rows. `kept`: new listens; `duplicate`: twice in the dump, or taken in before."""

    rows_in: int
    kept: int
    duplicate: int
    quarantined: int
    reasons: tuple[tuple[str, int], ...] = ()

    def check(self, dump: Dump) -> None:
        """Raise CountMismatchError where a row was lost or made."""
        if self.rows_in != self.kept + self.duplicate + self.quarantined:
            raise CountMismatchError(
                f"{dump.name}: {self.rows_in} rows in, but {self.kept} kept + {self.duplicate} duplicates"
                f" + {self.quarantined} quarantined"
            )


def ingest_listens(run: Run, dumps: Sequence[Dump], rules: ListenRules) -> Stage:
    """Apply the dumps in order of their end; one that ops.sources names is skipped.

    A dump whose row in ops.sources was lost is applied again, which adds no listen and no quarantined row twice.
    Wrap the call in `lakehouse.unchanged_on_error()`.

    Returns
    -------
    Stage : rows_in = rows of the dumps applied now, rows_out = listens new to the table.

    Raises
    ------
    InputError : a dump is damaged, empty or lacks a column; raised before any table is touched, but for a file that is
        damaged in its middle.
    CountMismatchError : a dump's rows are not kept + duplicates + quarantined.
    """
    check_dumps(dumps)
    applied = {row[0] for row in run.lakehouse.read_or_empty("ops.sources").select("source_id").collect()}
    done: list[Counts] = []
    for dump in in_order(dumps):
        if dump.source_id in applied:
            run.log.info("dump skipped: applied before", dump=dump.name, source_id=dump.source_id)
            continue
        with named_when_broken(run.lakehouse.spark, readable_files(dump).behind):
            done.append(_apply(run, dump, rules))
        applied.add(dump.source_id)
    kept = sum(c.kept for c in done)
    fates = fates_note(kept, sum(c.duplicate for c in done), sum(c.quarantined for c in done))
    return Stage(sum(c.rows_in for c in done), kept, fates if done else "every dump was applied before")


def _apply(run: Run, dump: Dump, rules: ListenRules) -> Counts:
    """Take in one dump: one pass over its files, kept on disk while its rows are sorted out and written."""
    spark = run.lakehouse.spark
    file = F.concat_ws("/", F.lit(dump.name), F.col("file"))
    rows = tidy(read_dump(spark, dump))
    dump = _with_end(run, dump, rows, rules)
    judged = judge(rows, rules, dump.ended_at, run.now).withColumn("file", file).persist(StorageLevel.DISK_ONLY)
    good = judged.where("reason IS NULL")
    repeated = repeated_digests(good).persist()
    try:
        rows_in = count_rows(spark, dump)
        known, within = _known(run, judged, rows_in)
        stamps = {"source": F.lit(SOURCE), "source_id": F.lit(dump.source_id), "ingested_at": F.lit(run.now)}
        fates = add_fate(number_copies(good, repeated), known).withColumns(stamps)
        counts = _count(judged, fates, rows_in)
        counts.check(dump)
        _quarantine(run, dump, judged.where("reason IS NOT NULL").withColumns(stamps), counts.quarantined)
        _insert(run, dump, fates.where("fate = 'kept'"), counts.kept, within)
    finally:
        repeated.unpersist()
        judged.unpersist()
    _record(run, dump, counts)
    return counts


def _with_end(run: Run, dump: Dump, rows: DataFrame, rules: ListenRules) -> Dump:
    """The dump with the end that can be believed: its own, else the midnight after the newest such listen.

    No end where no listen has a time either.
    """
    start, end = (believed_end(time, rules, run.now) for time in (dump.started_at, dump.ended_at))
    if end is None:
        if dump.ended_at:
            run.log.warning("the dump's end cannot be right", dump=dump.name, end=str(dump.ended_at), now=str(run.now))
        span = believed_span(judge(rows, rules, None, run.now).where("reason IS NULL"))
        end = midnight(span.complete_until(rules)) if span else None
        run.log.info("the dump's end by its listens", dump=dump.name, end=str(end))
    return replace(dump, started_at=start, ended_at=end)


def _known(run: Run, judged: DataFrame, rows: int) -> tuple[DataFrame, str | None]:
    """The keys taken in before that the dump may hold again, and the condition on the table that finds them.

    Of a table in the order of time few files hold an increment's days; of these only the increment's keys are kept.
    """
    known = run.lakehouse.read_or_empty("bronze.listens").select(*KEY)
    if not run.lakehouse.exists("bronze.listens"):
        return known, None
    good = judged.where("reason IS NULL")
    first, last = good.agg(F.min("listened_at").cast("string"), F.max("listened_at").cast("string")).collect()[0]
    if first is None:
        return known.limit(0), None
    between = f"listened_at BETWEEN TIMESTAMP '{first}' AND TIMESTAMP '{last}'"
    known = known.where(between)
    if rows <= _FEW_ROWS:
        known = known.join(F.broadcast(good.select(*KEY)), list(KEY), "left_semi")
    return known, f"target.{between}"


def _count(judged: DataFrame, good: DataFrame, rows_in: int) -> Counts:
    reasons = {row.reason: row["count"] for row in judged.groupBy("reason").count().collect() if row.reason is not None}
    fates = {row.fate: row["count"] for row in good.groupBy("fate").count().collect()}
    counted = tuple(sorted(reasons.items()))
    return Counts(rows_in, fates.get("kept", 0), fates.get("duplicate", 0), sum(reasons.values()), counted)


def _quarantine(run: Run, dump: Dump, rejected: DataFrame, expected: int) -> None:
    """Replace the rows that an earlier, lost application of the dump may have left."""
    ours = f"source_id = '{dump.source_id}'"
    table = "bronze.quarantine"
    if expected or (run.lakehouse.exists(table) and not run.lakehouse.read(table).where(ours).isEmpty()):
        run.lakehouse.overwrite(table, rejected, where=ours)


def _insert(run: Run, dump: Dump, kept: DataFrame, expected: int, within: str | None) -> None:
    if expected == 0 and run.lakehouse.exists("bronze.listens"):
        return
    inserted = run.lakehouse.insert_new("bronze.listens", kept, within)
    if inserted != expected:
        raise CountMismatchError(f"{dump.name}: {expected} new listens, but {inserted} were inserted")


def _record(run: Run, dump: Dump, counts: Counts) -> None:
    figures = {
        "rows_in": counts.rows_in,
        "rows_kept": counts.kept,
        "rows_duplicate": counts.duplicate,
        "rows_quarantined": counts.quarantined,
    }
    for name, value in figures.items():
        run.metric(name, value, dump=dump.name)
    for reason, n in counts.reasons:
        run.metric("rows_quarantined_for", n, dump=dump.name, reason=reason)
    reasons = ", ".join(starmap("{} {}".format, counts.reasons))
    run.log.info("dump applied", dump=dump.name, source_id=dump.source_id, **figures, reasons=reasons or "none")
    identity = (dump.source_id, dump.kind, dump.name, dump.format, dump.started_at, dump.ended_at)
    row = (*identity, *figures.values(), run.run_id, run.now)
    run.lakehouse.append_rows("ops.sources", [row])
