"""Which recording and artist a listen is of, and what is known of each recording. The rules: decision 0003.

Listens are many and the ways that their recordings are spelt are few, so names are looked at once a spelling.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.schemas import TABLES
from musicrec.transforms.ids import mbid_column, mbids_of_list
from musicrec.transforms.text import artist_key_column, title_key_column

# What of a listen says which recording it is of; equal in all of these, it is the same one.
SPELLING = ("artist_name", "recording_name", "release_name", "recording_mbid", "artist_mbids")

# Stands between the parts of a hashed text, so that ("ab", "c") and ("a", "bc") differ; no key holds it.
_SEPARATOR = "\u001f"
_HASH_DIGITS = 32  # 128 bits: no two of a billion recordings meet by chance


def count_spellings(listens: DataFrame) -> DataFrame:
    """(the columns of `SPELLING`, plays, first_listened_at), one row a spelling, of rows of bronze.listens."""
    return listens.groupBy(*SPELLING).agg(F.count("*").alias("plays"), F.min("listened_at").alias("first_listened_at"))


def resolve_spellings(counted: DataFrame) -> DataFrame:
    """silver.spellings: the result of `count_spellings` with the recording and artist that each spelling is of.

    `recording_id` is the recording MBID, else `h:` and a hash of the two keys. `artist_id` is the artist MBID where
    the credit has one, `m:` and the sorted MBIDs where it has several, else `h:` and a hash of the artist's key.
    """
    keyed = counted.withColumns(
        {"artist_key": artist_key_column(F.col("artist_name")), "title_key": title_key_column(F.col("recording_name"))}
    )
    # Listens that were taken in by an earlier version hold ids as they came.
    mbid = mbid_column(F.col("recording_mbid"))
    resolved = keyed.withColumns(
        {
            # As JSON, so that a null and an empty text, and "a", "b" and "a, b", are told apart.
            "spelling_id": F.md5(F.to_json(F.struct(*SPELLING), {"ignoreNullFields": "false"})),
            "recording_id": F.coalesce(mbid, _hashed("artist_key", "title_key")),
            "artist_id": F.coalesce(_credit_id(F.col("artist_mbids")), _hashed("artist_key")),
        }
    )
    return resolved.select(*TABLES["silver.spellings"].columns)


def add_spellings(known: DataFrame, counted: DataFrame) -> DataFrame:
    """silver.spellings of all listens, from that of the earlier ones and the counts of the later ones."""
    numbers = ("plays", "first_listened_at")
    rest = [c for c in TABLES["silver.spellings"].columns if c not in (*SPELLING, *numbers)]
    later = counted.select(*SPELLING, *[F.col(c).alias(f"_{c}") for c in numbers])
    met = later.alias("l").join(F.broadcast(known.alias("k")), same_spelling("l", "k"), "left_semi")
    new = resolve_spellings(counted.alias("l").join(known.alias("k"), same_spelling("l", "k"), "left_anti"))
    joined = known.alias("k").join(F.broadcast(met.alias("l")), same_spelling("k", "l"), "left")
    updated = joined.select(
        *[F.col(f"k.{c}").alias(c) for c in (*SPELLING, *rest)],
        (F.col("k.plays") + F.coalesce("_plays", F.lit(0))).alias("plays"),
        F.least("k.first_listened_at", "_first_listened_at").alias("first_listened_at"),
    )
    return updated.unionByName(new)


def same_spelling(left: str, right: str) -> Column:
    """The join condition between two aliased DataFrames with the columns of `SPELLING`; null equals null."""
    return reduce(Column.__and__, [F.col(f"{left}.{c}").eqNullSafe(F.col(f"{right}.{c}")) for c in SPELLING])


def recordings(spellings: DataFrame) -> DataFrame:
    """silver.recordings of silver.spellings: one row a recording.

    Title, artist and release are the spellings met most often, of equals the first in the alphabet; the keys are
    those of these spellings.
    """
    mbids = F.array_sort(mbids_of_list(F.col("artist_mbids")))
    shown = {
        "title": F.struct("recording_name", "title_key"),
        "artist": F.struct("artist_name", "artist_key"),
        "release": F.struct(F.nullif(F.col("release_name"), F.lit("")).alias("release_name")),
        "credit": F.struct("artist_id", mbids.alias("artist_mbids")),
    }
    rows = spellings.select(
        "recording_id",
        "plays",
        "first_listened_at",
        mbid_column(F.col("recording_mbid")).alias("recording_mbid"),
        *[value.alias(name) for name, value in shown.items()],
    )
    # The plays of each value of a field, within the recording; the release counts only where one is named.
    grouped = rows.groupBy("recording_id").agg(
        *[F.sum("plays").alias("plays"), F.min("first_listened_at").alias("first_listened_at")],
        F.min("recording_mbid").alias("recording_mbid"),
        *[
            F.collect_list(F.when(_is_named(name), F.struct(F.col(name).alias("value"), "plays"))).alias(name)
            for name in shown
        ],
    )
    best = grouped.select(
        "recording_id",
        "plays",
        "first_listened_at",
        "recording_mbid",
        *[_commonest(F.col(name)).alias(name) for name in shown],
    )
    fields = {
        "title": "title.recording_name",
        "title_key": "title.title_key",
        "artist_name": "artist.artist_name",
        "artist_key": "artist.artist_key",
        "artist_id": "credit.artist_id",
        "artist_mbids": "credit.artist_mbids",
        "release_name": "release.release_name",
    }
    return best.select(*[F.col(fields.get(c, c)).alias(c) for c in TABLES["silver.recordings"].columns])


def _is_named(field: str) -> Column:
    return F.col("release.release_name").isNotNull() if field == "release" else F.lit(True)


def _commonest(counted: Column) -> Column:
    """Of an array of (value, plays), the value with most plays in all; of equals the smallest."""
    values = F.array_distinct(F.transform(counted, lambda one: one["value"]))

    def total(value: Column) -> Column:
        own = F.filter(counted, lambda one: one["value"] == value)
        return F.aggregate(own, F.lit(0).cast("bigint"), lambda plays, one: plays + one["plays"])

    ranked = F.transform(values, lambda value: F.struct((-total(value)).alias("less"), value.alias("value")))
    return F.array_min(ranked)["value"]


def _hashed(*keys: str) -> Column:
    digest = F.sha2(F.concat_ws(_SEPARATOR, *keys), 256)
    return F.concat(F.lit("h:"), F.substring(digest, 1, _HASH_DIGITS))


def _credit_id(mbids: Column) -> Column:
    """The artist's MBID, or `m:` and those of a joint credit in a fixed order; null where there is none."""
    known = F.array_sort(mbids_of_list(mbids))
    joint = F.concat(F.lit("m:"), F.array_join(known, ","))
    return F.when(F.size(known) == 1, known[0]).when(F.size(known) > 1, joint)
