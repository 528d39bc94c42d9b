"""Which recording and artist a listen is of, and what is known of each recording. The rules: decision 0003."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.schemas import TABLES
from musicrec.transforms.text import artist_key_column, title_key_column

# Stands between the parts of a hashed text, so that ("ab", "c") and ("a", "bc") differ; no key holds it.
_SEPARATOR = "\u001f"
_HASH_DIGITS = 32  # 128 bits: no two of a billion recordings meet by chance


def resolve_recordings(bronze_listens: DataFrame) -> DataFrame:
    """Listens with `artist_key`, `title_key`, `recording_id` and `artist_id`; needs the columns of bronze.listens.

    `recording_id` is the recording MBID, else `h:` and a hash of the two keys. `artist_id` is the artist MBID where
    the credit has one, `m:` and the sorted MBIDs where it has several, else `h:` and a hash of the artist's key.
    """
    keyed = bronze_listens.withColumns(
        {"artist_key": artist_key_column(F.col("artist_name")), "title_key": title_key_column(F.col("recording_name"))}
    )
    mbid = F.nullif(F.lower(F.trim("recording_mbid")), F.lit(""))
    return keyed.withColumns(
        {
            "recording_id": F.coalesce(mbid, _hashed("artist_key", "title_key")),
            "artist_id": F.coalesce(_credit_id(F.col("artist_mbids")), _hashed("artist_key")),
        }
    )


def recordings(resolved: DataFrame) -> DataFrame:
    """silver.recordings of resolved listens: one row a recording.

    Title, artist and release are the spellings met most often, of equals the first in the alphabet; the keys are
    those of these spellings.
    """
    mbids = F.array_sort(F.transform(F.coalesce("artist_mbids", F.array().cast("array<string>")), F.lower))
    credit = F.struct("artist_id", F.when(F.size(mbids) > 0, mbids).alias("artist_mbids"))
    grouped = resolved.groupBy("recording_id").agg(
        F.mode(F.struct("recording_name", "title_key"), True).alias("title"),
        F.mode(F.struct("artist_name", "artist_key"), True).alias("artist"),
        F.mode(F.nullif(F.col("release_name"), F.lit("")), True).alias("release_name"),
        F.mode(credit, True).alias("credit"),
        F.min(F.nullif(F.lower(F.trim("recording_mbid")), F.lit(""))).alias("recording_mbid"),
        F.count("*").alias("plays"),
        F.min("listened_at").alias("first_listened_at"),
    )
    fields = {
        "title": "title.recording_name",
        "title_key": "title.title_key",
        "artist_name": "artist.artist_name",
        "artist_key": "artist.artist_key",
        "artist_id": "credit.artist_id",
        "artist_mbids": "credit.artist_mbids",
    }
    return grouped.select(*[F.col(fields.get(c, c)).alias(c) for c in TABLES["silver.recordings"].columns])


def _hashed(*keys: str) -> Column:
    digest = F.sha2(F.concat_ws(_SEPARATOR, *keys), 256)
    return F.concat(F.lit("h:"), F.substring(digest, 1, _HASH_DIGITS))


def _credit_id(mbids: Column) -> Column:
    """The artist's MBID, or `m:` and those of a joint credit in a fixed order; null where there is none."""
    known = F.array_sort(F.array_distinct(F.filter(F.transform(mbids, F.lower), lambda mbid: mbid != "")))
    joint = F.concat(F.lit("m:"), F.array_join(known, ","))
    return F.when(F.size(known) == 1, known[0]).when(F.size(known) > 1, joint)
