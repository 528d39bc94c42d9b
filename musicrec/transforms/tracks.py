"""One row a track: the rows of one catalogue that repeat it, and the catalogues that know it."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.schemas import TABLES
from musicrec.transforms.catalogues import TRACK_FIELDS

# Of two catalogues that know a field, the one that stands first here is believed: those with lists of artists and
# their ids first, then those with albums and dates, last the one whose artist is a chart's credit.
SOURCE_PRIORITY = ("tracks_600k", "dataset_114k", "spotify_songs", "spotify_1million", "music_info", "hit_predictor")

_UNITED = ("genres", "tags")


def one_row_a_track(unified: DataFrame) -> DataFrame:
    """Rows of one file and track as one, `copies` of them: genres and tags united, a hit where any row says so.

    The other fields are those of one of the rows: the most popular, of equals the smallest in all its fields.
    """
    rest = [c for c in TRACK_FIELDS if c not in ("track_id", *_UNITED, "is_hit")]
    smallest = F.struct((-F.coalesce(F.col("popularity"), F.lit(-1.0))).alias("_order"), *rest)
    grouped = unified.groupBy("source", "source_id", "file", "track_id").agg(
        F.min(smallest).alias("_row"),
        *[_united(F.col(c)).alias(c) for c in _UNITED],
        F.max("is_hit").alias("is_hit"),
        F.count("*").alias("copies"),
    )
    fields = [F.col(f"_row.{c}") if c in rest else F.col(c) for c in TRACK_FIELDS]
    return grouped.select("source", *[f.alias(c) for f, c in zip(fields, TRACK_FIELDS, strict=True)],
                          "source_id", "file", "copies")  # fmt: skip


def one_row_a_key(unified: DataFrame, *key: str) -> DataFrame:
    """Rows of one file and key as one, the smallest in all its columns, and how many they were (`copies`)."""
    rest = [c for c in unified.columns if c not in ("source_id", "file", "reason", "row", *key)]
    grouped = unified.groupBy("source_id", "file", *key).agg(
        F.min(F.struct(*rest)).alias("_row"), F.count("*").alias("copies")
    )
    return grouped.select(*key, *[F.col(f"_row.{c}").alias(c) for c in rest], "source_id", "file", "copies")


def merge_catalogues(bronze_tracks: DataFrame, bronze_artists: DataFrame | None = None) -> DataFrame:
    """One row a track, silver.tracks: each field from the first catalogue that has it, by `SOURCE_PRIORITY`.

    Within one layout the file taken in last goes first, then by file name and content. Genres and tags are united and
    sorted, those of the track's artists with them; a track is a hit where any catalogue says so.
    """
    rank = F.coalesce(
        *[F.when(F.col("source") == name, F.lit(place)) for place, name in enumerate(SOURCE_PRIORITY)],
        F.lit(len(SOURCE_PRIORITY)),
    )
    order = F.struct(rank, -F.unix_micros("ingested_at"), "source", "file", "source_id")
    chosen = [c for c in TRACK_FIELDS if c not in ("track_id", *_UNITED, "is_hit")]
    merged = (
        bronze_tracks.withColumn("_order", order)
        .groupBy("track_id")
        .agg(
            *[_first_known(c).alias(c) for c in [*chosen, "source"]],
            *[_united(F.col(c)).alias(c) for c in _UNITED],
            F.max("is_hit").alias("is_hit"),
            F.array_sort(F.collect_set("source")).alias("sources"),
        )
    )
    if bronze_artists is not None:
        merged = _with_artist_genres(merged, bronze_artists)
    return merged.select(*TABLES["silver.tracks"].columns)


def _first_known(column: str) -> Column:
    """The column's value in the first row, in the order of `_order`, where it has one."""
    value = F.col(column)
    empty = F.size(value) == 0 if column in ("artists", "artist_ids") else F.lit(False)
    known = value.isNotNull() & ~empty
    return F.min(F.when(known, F.struct("_order", column)))[column]


def _united(lists: Column) -> Column:
    """All values of a group's lists, each once and sorted."""
    return F.array_sort(F.array_distinct(F.flatten(F.collect_list(lists))))


def _with_artist_genres(tracks: DataFrame, bronze_artists: DataFrame) -> DataFrame:
    """The genres of a track's artists added to its own; of an artist met in several files, the last taken in."""
    newest = F.struct(F.unix_micros("ingested_at"), "file", "source_id")
    artists = bronze_artists.groupBy("artist_id").agg(F.max_by("genres", newest).alias("_genres"))
    credits = tracks.select("track_id", F.explode("artist_ids").alias("artist_id"))
    of_artists = (
        credits.join(artists, "artist_id", "inner").groupBy("track_id").agg(_united(F.col("_genres")).alias("_genres"))
    )
    together = reduce(F.array_union, [F.col("genres"), F.coalesce(F.col("_genres"), F.array().cast("array<string>"))])
    return tracks.join(of_artists, "track_id", "left").withColumn("genres", F.array_sort(together))
