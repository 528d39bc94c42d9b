"""Listens as received: which rows can be right, and one row a listen.

Every reader of listens gives the columns of `RAW_COLUMNS`; from there on all formats are one.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import reduce

from pydantic import Field
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from musicrec.params import Params
from musicrec.schemas import TABLES
from musicrec.transforms.bounds import LONGEST_ID, LONGEST_NAME, are_longer, is_longer, kept_text
from musicrec.transforms.ids import mbid_column, mbids_of_list, msid_column
from musicrec.transforms.text import trimmed
from musicrec.transforms.times import TIME_REASONS, midnight, time_faults

KEY = TABLES["bronze.listens"].key

# `stamp`: what stood in place of a time, as `musicrec.transforms.times` has it; `malformed`: the row could not be
# parsed at all; `undecoded`: it holds bytes that are not UTF-8; `file`: where it stood; `row`: the row as received, as
# JSON.
RAW_COLUMNS = {
    "user_id": "string",
    "listened_at": "timestamp",
    "stamp": "double",
    "recording_msid": "string",
    "artist_name": "string",
    "recording_name": "string",
    "release_name": "string",
    "recording_mbid": "string",
    "release_mbid": "string",
    "artist_mbids": "array<string>",
    "duration_ms": "bigint",
    "malformed": "boolean",
    "undecoded": "boolean",
    "file": "string",
    "row": "string",
}

REASONS = (
    "malformed",
    "bad_encoding",
    "too_long",
    "missing_user",
    "missing_artist",
    "missing_title",
    *TIME_REASONS,
    "negative_duration",
)

_NAMES = ("artist_name", "recording_name", "release_name")
_IDS = ("user_id", "recording_msid", "recording_mbid", "release_mbid")
_TEXTS = ("user_id", *_NAMES)


class ListenRules(Params):
    """What a listen must be to be kept.

    Attributes
    ----------
    earliest : listens before this day cannot be right (Audioscrobbler, the first such service, began in 2002-10).
    future_tolerance_hours : how far past its dump's end a listen may lie, if it is not past the run's clock. Published
        dumps hold listens of the END day itself, and clients' clocks and time zones are off by hours.
    end_tolerance_minutes : so shortly before midnight the end of a dump counts as that midnight.
    """

    # pandas counts nanoseconds since 1970 and cannot hold what is before 1677-09-21.
    earliest: date = Field(default=date(2002, 10, 1), ge=date(1678, 1, 1))
    future_tolerance_hours: float = Field(default=24.0, ge=0, le=8784, allow_inf_nan=False)
    end_tolerance_minutes: float = Field(default=15.0, ge=0, le=720, allow_inf_nan=False)


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


def believed_end(marked: datetime | None, rules: ListenRules, now: datetime) -> datetime | None:
    """The end that a dump says, where it can be right: not before all listening, nor past the run's clock."""
    if marked is None or marked < midnight(rules.earliest):
        return None
    return marked if marked <= now + timedelta(minutes=rules.end_tolerance_minutes) else None


def judge(tidied: DataFrame, rules: ListenRules, ended_at: datetime | None, now: datetime) -> DataFrame:
    """Add `reason`: why a row cannot be right, several joined by commas in the order of `REASONS`; null = it can.

    `row` stays only where there is a reason, cut where it is very long, and as text in UTF-8.

    Parameters
    ----------
    tidied : the result of `tidy`.
    ended_at : the end of the rows' dump, with its time zone; None where it is not known.
    now : the run's clock; no listen can be later.
    """
    latest = now if ended_at is None else min(ended_at + timedelta(hours=rules.future_tolerance_hours), now)
    at, stamp = F.col("listened_at"), F.col("stamp")
    # Of a row that could not be parsed or decoded nothing else is known.
    undecoded = F.coalesce("undecoded", F.lit(False))
    readable = ~F.col("malformed") & ~undecoded
    faults = {
        "malformed": F.col("malformed") & ~undecoded,
        "bad_encoding": undecoded,
        "too_long": readable & _is_too_long(),
        "missing_user": readable & F.col("user_id").isNull(),
        "missing_artist": readable & F.col("artist_name").isNull(),
        "missing_title": readable & F.col("recording_name").isNull(),
        "negative_duration": readable & (F.col("duration_ms") < 0),
    }
    of_time = time_faults(at, stamp, midnight(rules.earliest), latest, now)
    faults |= {reason: readable & is_so for reason, is_so in of_time.items()}
    joined = F.concat_ws(",", *[F.when(faults[reason], F.lit(reason)) for reason in REASONS])
    judged = tidied.withColumn("reason", F.when(joined != "", joined)).drop("stamp", "undecoded")
    return judged.withColumn("row", F.when(F.col("reason").isNotNull(), kept_text(F.col("row"))))


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


def _is_too_long() -> Column:
    names = [is_longer(F.col(name), LONGEST_NAME) for name in _NAMES]
    ids = [is_longer(F.col(name), LONGEST_ID) for name in _IDS]
    return reduce(Column.__or__, [*names, *ids, are_longer(F.col("artist_mbids"))])
