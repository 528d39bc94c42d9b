"""Listens as received: which rows can be right, and one row a listen.

Every reader of listens gives the columns of `RAW_COLUMNS`; from there on all formats are one.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from musicrec.params import Params
from musicrec.schemas import TABLES
from musicrec.transforms.ids import mbid_column, mbids_of_list, msid_column
from musicrec.transforms.text import trimmed

KEY = TABLES["bronze.listens"].key

# `malformed`: the row could not be parsed at all; `file`: where it stood; `row`: the row as received, as JSON.
RAW_COLUMNS = {
    "user_id": "string",
    "listened_at": "timestamp",
    "recording_msid": "string",
    "artist_name": "string",
    "recording_name": "string",
    "release_name": "string",
    "recording_mbid": "string",
    "release_mbid": "string",
    "artist_mbids": "array<string>",
    "duration_ms": "bigint",
    "malformed": "boolean",
    "file": "string",
    "row": "string",
}

REASONS = (
    "malformed",
    "missing_user",
    "missing_artist",
    "missing_title",
    "missing_time",
    "too_early",
    "in_future",
    "negative_duration",
)

_TEXTS = ("user_id", "artist_name", "recording_name", "release_name")


class ListenRules(Params):
    """What a listen must be to be kept.

    Attributes
    ----------
    earliest : listens before this day cannot be right (Audioscrobbler, the first such service, began in 2002-10).
    future_tolerance_hours : how far past its dump's END_TIMESTAMP a listen may lie. Published dumps hold listens of
        the END day itself, and clients' clocks and time zones are off by hours.
    """

    earliest: date = date(2002, 10, 1)
    future_tolerance_hours: float = 24.0


def tidy(raw: DataFrame) -> DataFrame:
    """Trim the texts, make blank ones null, bring ids to one form or null, and derive the recording_msid of a row.

    A row without a recording_msid gets a stable one of its names.
    """
    values = {name: trimmed(F.col(name)) for name in _TEXTS} | {
        "recording_msid": msid_column(F.col("recording_msid")),
        "recording_mbid": mbid_column(F.col("recording_mbid")),
        "release_mbid": mbid_column(F.col("release_mbid"), "release"),
        "artist_mbids": mbids_of_list(F.col("artist_mbids")),
    }
    return raw.withColumns(values).withColumn("recording_msid", F.coalesce("recording_msid", derived_msid()))


def derived_msid() -> Column:
    """A UUID from the MD5 of artist, title and release, the same wherever and whenever the three are the same."""
    names = [F.coalesce(F.col(c), F.lit("")) for c in ("artist_name", "recording_name", "release_name")]
    digest = F.md5(F.concat_ws("\n", *names))
    return F.regexp_replace(digest, r"^(.{8})(.{4})(.{4})(.{4})(.{12})$", "$1-$2-$3-$4-$5")


def judge(tidied: DataFrame, rules: ListenRules, ended_at: datetime) -> DataFrame:
    """Add `reason`: why a row cannot be right, several joined by commas in the order of `REASONS`; null = it can.

    `row` stays only where there is a reason.

    Parameters
    ----------
    tidied : the result of `tidy`.
    ended_at : the END_TIMESTAMP of the rows' dump, with its time zone.
    """
    earliest = F.lit(f"{rules.earliest.isoformat()} 00:00:00+00:00").cast("timestamp")
    latest = F.lit((ended_at + timedelta(hours=rules.future_tolerance_hours)).isoformat()).cast("timestamp")
    # Of a row that could not be parsed nothing else is known.
    readable = ~F.col("malformed")
    faults = {
        "malformed": F.col("malformed"),
        "missing_user": readable & F.col("user_id").isNull(),
        "missing_artist": readable & F.col("artist_name").isNull(),
        "missing_title": readable & F.col("recording_name").isNull(),
        "missing_time": readable & F.col("listened_at").isNull(),
        "too_early": readable & (F.col("listened_at") < earliest),
        "in_future": readable & (F.col("listened_at") > latest),
        "negative_duration": readable & (F.col("duration_ms") < 0),
    }
    joined = F.concat_ws(",", *[F.when(faults[reason], F.lit(reason)) for reason in REASONS])
    judged = tidied.withColumn("reason", F.when(joined != "", joined))
    return judged.withColumn("row", F.when(F.col("reason").isNotNull(), F.col("row")))


# What tells two listens apart; `row` spreads the rejected rows, whose keys are often null, and is null for the others.
_SAME = (*KEY, "row")


def repeated_digests(judged: DataFrame) -> DataFrame:
    """(digest long): of listens that are there more than once, or share a digest with another by chance."""
    return judged.groupBy(F.xxhash64(*_SAME).alias("digest")).count().where("count > 1").select("digest")


def number_copies(judged: DataFrame, repeated: DataFrame | None = None) -> DataFrame:
    """Add `copy`: 1 for the row of each listen that stays, 2 and on for its duplicates.

    The row with ids and a duration goes before one without; then the columns' values decide, so the same rows give
    the same winner in whatever order they come. Only listens that are there twice are sorted.

    Parameters
    ----------
    judged : the result of `judge`; read twice, so a caller with many rows keeps it.
    repeated : the result of `repeated_digests`, where the caller has kept it.
    """
    informed = [F.col(c).asc_nulls_last() for c in ("recording_mbid", "release_mbid", "duration_ms", "release_name")]
    rest = [F.col(c).asc_nulls_last() for c in ("artist_name", "recording_name", "file")]
    order = [*informed, F.to_json("artist_mbids").asc_nulls_last(), *rest]
    met = F.broadcast(repeated_digests(judged) if repeated is None else repeated)
    digested = judged.withColumn("digest", F.xxhash64(*_SAME))
    single = digested.join(met, "digest", "left_anti").withColumn("copy", F.lit(1))
    copies = digested.join(met, "digest", "left_semi")
    numbered = copies.withColumn("copy", F.row_number().over(Window.partitionBy(*_SAME).orderBy(*order)))
    return single.unionByName(numbered).drop("digest")


def add_fate(numbered: DataFrame, known: DataFrame) -> DataFrame:
    """Add `fate`: `quarantined`, `duplicate` (a further copy, or its key is among `known`'s) or `kept`.

    Parameters
    ----------
    numbered : the result of `number_copies`.
    known : holds the key columns, each key once: the listens taken in before.
    """
    marked = known.select(*KEY, F.lit(True).alias("is_known"))
    joined = numbered.join(marked, on=list(KEY), how="left")
    is_duplicate = (F.col("copy") > 1) | F.coalesce("is_known", F.lit(False))
    fate = F.when(F.col("reason").isNotNull(), "quarantined").when(is_duplicate, "duplicate").otherwise("kept")
    return joined.withColumn("fate", fate).drop("is_known", "copy")
