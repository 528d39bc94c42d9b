"""Catalogues into bronze, and silver.tracks merged from all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import CountMismatchError
from musicrec.io.runs import Run, Stage, fates_note
from musicrec.io.spotify import Catalogue, read_catalogues
from musicrec.io.spotify_schemas import CATALOGUE_SCHEMAS, CatalogueKind
from musicrec.schemas import TABLES
from musicrec.transforms.catalogues import unify, unify_artists, unify_play_counts
from musicrec.transforms.tracks import merge_catalogues, one_row_a_key, one_row_a_track

_BRONZE: Mapping[CatalogueKind, str] = {
    "tracks": "bronze.tracks",
    "artists": "bronze.artists",
    "play_counts": "bronze.play_counts",
}
_ONE_ROW: Mapping[CatalogueKind, Callable[[DataFrame], DataFrame]] = {
    "tracks": one_row_a_track,
    "artists": lambda rows: one_row_a_key(rows, "artist_id"),
    "play_counts": lambda rows: one_row_a_key(rows, "user_id", "track_id"),
}


@dataclass(frozen=True)
class _Counts:
    """A file's rows: all that were read, and where each went."""

    rows_in: int
    kept: int
    duplicate: int
    quarantined: int


def ingest_tracks(run: Run, catalogues: Sequence[Catalogue]) -> Stage:
    """Take in the catalogues whose content is new, then rebuild silver.tracks.

    A row is kept in its bronze table, counted as the duplicate of a kept one, or put into bronze.quarantine. A file
    that was taken in before, but whose record in ops.sources was lost, replaces its own rows.

    Raises
    ------
    CountMismatchError : a file's rows are not all accounted for; nothing was written.
    """
    known = {row.source_id for row in run.lakehouse.read_or_empty("ops.sources").select("source_id").collect()}
    new = [catalogue for catalogue in catalogues if catalogue.source_id not in known]
    if not new:
        run.log.info("no new catalogue", known=len(catalogues))
        return Stage(0, 0, "no new catalogue")
    kinds = sorted({catalogue.kind for catalogue in new})
    classified = {kind: _classified(run, [c for c in new if c.kind == kind]) for kind in kinds}
    kept = {kind: _ONE_ROW[kind](rows.where("reason IS NULL").drop("lines")) for kind, rows in classified.items()}
    for rows in (*classified.values(), *kept.values()):
        rows.persist(StorageLevel.DISK_ONLY)
    try:
        counts = _counted(run, new, classified, kept)
        tracks = _write(run, new, classified, kept)
        _record(run, new, counts)
    finally:
        for rows in (*kept.values(), *classified.values()):
            rows.unpersist()
    rows_in, kept_rows, duplicate, quarantined = (
        sum(column) for column in zip(*map(astuple, counts.values()), strict=True)
    )
    return Stage(rows_in, tracks, fates_note(kept_rows, duplicate, quarantined))


def _classified(run: Run, catalogues: Sequence[Catalogue]) -> DataFrame:
    """The rows of all new files of a kind in the shape of their bronze table, with `reason` and `row`."""
    shaped = []
    for schema_name, raw in read_catalogues(run.lakehouse.spark, catalogues):
        kind = CATALOGUE_SCHEMAS[schema_name].kind
        if kind == "tracks":
            shaped.append(unify(raw, schema_name))
        else:
            shaped.append(unify_artists(raw) if kind == "artists" else unify_play_counts(raw))
    return reduce(DataFrame.unionByName, shaped)


def _counted(
    run: Run,
    new: Sequence[Catalogue],
    classified: Mapping[CatalogueKind, DataFrame],
    kept: Mapping[CatalogueKind, DataFrame],
) -> dict[str, _Counts]:
    """Each file's counts by source_id; the rows in are counted apart from what became of them."""
    one, line = F.lit(1), F.get_json_object("row", "$._line").cast("long")
    nothing = F.lit(None).cast("long")
    fates = F.create_map(F.lit("kept"), one, F.lit("duplicate"), F.col("copies").cast("int") - 1)
    parts = []
    for rows in classified.values():
        parts.append(rows.select("source_id", F.lit("rows_in").alias("what"), one.alias("rows"), nothing.alias("line")))
        parts.append(rows.select("source_id", F.lit("lines"), "lines", nothing))
        parts.append(rows.where("reason IS NOT NULL").select("source_id", F.concat(F.lit("!"), "reason"), one, line))
    parts += [rows.select("source_id", F.explode(fates).alias("what", "rows"), nothing) for rows in kept.values()]
    tally = (
        reduce(DataFrame.union, parts)
        .groupBy("source_id", "what")
        .agg(F.sum("rows").alias("rows"), F.min("line").alias("line"))
    )
    found: dict[str, dict[str, tuple[int, int | None]]] = defaultdict(dict)
    for row in tally.collect():
        found[row.source_id][row.what] = (row["rows"], row.line)
    return {c.source_id: _checked(run, c, found[c.source_id]) for c in new}


def _checked(run: Run, catalogue: Catalogue, found: Mapping[str, tuple[int, int | None]]) -> _Counts:
    """A file's counts, logged, where they add up, of the rows as of the lines; `found`: what → how many, first line."""
    reasons = {what[1:]: figures for what, figures in sorted(found.items()) if what.startswith("!")}
    rows_in, lines, kept, duplicate = (
        found.get(what, (0, None))[0] for what in ("rows_in", "lines", "kept", "duplicate")
    )
    counts = _Counts(rows_in, kept, duplicate, sum(rows for rows, _ in reasons.values()))
    file, counted = catalogue.shown_path, catalogue.form.row_lines
    if lines != counted:
        raise CountMismatchError(f"{file}: {counted} lines with rows, but the rows that were read take {lines}")
    if counts.rows_in != counts.kept + counts.duplicate + counts.quarantined:
        raise CountMismatchError(
            f"{file}: {counts.rows_in} rows in, but {counts.kept} kept + {counts.duplicate} duplicates + "
            f"{counts.quarantined} quarantined"
        )
    figures = {
        "rows_in": counts.rows_in,
        "rows_kept": counts.kept,
        "rows_duplicate": counts.duplicate,
        "rows_quarantined": counts.quarantined,
    }
    said = ", ".join(f"{reason} {rows} (first in line {line})" for reason, (rows, line) in reasons.items())
    how = {"format": catalogue.schema_name, "encoding": catalogue.form.encoding}
    run.log.info("catalogue read", file=file, **how, **figures, reasons=said or "none")
    if not counts.kept:
        run.log.warning("no row of the catalogue was kept", file=file, reasons=said)
    for name, value in figures.items():
        run.metric(name, value, source=catalogue.name, source_id=catalogue.source_id)
    for reason, (rows, _) in reasons.items():
        run.metric("rows_quarantined_for", rows, source=catalogue.name, source_id=catalogue.source_id, reason=reason)
    return counts


def _write(
    run: Run,
    new: Sequence[Catalogue],
    classified: Mapping[CatalogueKind, DataFrame],
    kept: Mapping[CatalogueKind, DataFrame],
) -> int:
    """Bronze, the quarantine and silver.tracks; gives the number of tracks."""
    lakehouse = run.lakehouse
    now = F.lit(run.now)
    of_new = "source_id IN ({})".format(", ".join(f"'{c.source_id}'" for c in new))
    for kind, rows in kept.items():
        lakehouse.overwrite(_BRONZE[kind], rows.withColumn("ingested_at", now), where=of_new)
    columns = [c for c in TABLES["bronze.quarantine"].columns if c != "ingested_at"]
    refused = [rows.where("reason IS NOT NULL").select(*columns) for rows in classified.values()]
    quarantine = reduce(DataFrame.union, refused).withColumn("ingested_at", now)
    lakehouse.overwrite("bronze.quarantine", quarantine, where=of_new)
    artists = lakehouse.read("bronze.artists") if lakehouse.exists("bronze.artists") else None
    merged = merge_catalogues(lakehouse.read_or_empty("bronze.tracks"), artists)
    lakehouse.overwrite("silver.tracks", merged)
    return lakehouse.read("silver.tracks").count()


def _record(run: Run, new: Sequence[Catalogue], counts: Mapping[str, _Counts]) -> None:
    """The last write: a run that fails before it is done again as a whole."""
    rows = [
        (
            c.source_id,
            "catalogue",
            c.name,
            c.schema_name,
            None,
            None,
            *astuple(counts[c.source_id]),
            run.run_id,
            run.now,
        )
        for c in new
    ]
    run.lakehouse.append_rows("ops.sources", rows)
