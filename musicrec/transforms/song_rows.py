"""Tracks and recordings as the numbers of which songs are made (ranking/songs.py), and whom feedback hides."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# A recording that is only a part of what its track's name says is no more the same song.
SURE_LINK = 0.8


def track_numbers(features: DataFrame) -> DataFrame:
    """(track_idx, song long, artist long, popularity, year, duration_ms, tempo, key, mode, energy) of each track.

    `features` is silver.track_features. A song is a hash of its keys; without a title it is the track's own.
    """
    return features.select(
        "track_idx",
        *_numbers(F.col("track_id")),
        "popularity",
        F.coalesce("year", F.lit(0)).cast("long").alias("year"),
        F.coalesce("duration_ms", F.lit(0)).cast("long").alias("duration_ms"),
        "tempo",
        "key",
        "mode",
        "energy",
    )


def item_numbers(recordings: DataFrame, item_index: DataFrame, links: DataFrame, features: DataFrame) -> DataFrame:
    """(item_idx, song long, artist long, track_idx or null, plays long) of each recording with an item_idx.

    A link below `SURE_LINK` (a medley, of which the track is a part) does not make the recording the track's song.
    """
    indexed = item_index.where("item_kind = 'recording'").select(F.col("item_id").alias("recording_id"), "item_idx")
    sure = links.where(F.col("confidence") >= SURE_LINK).select("recording_id", "track_id")
    tracks = sure.join(features.select("track_id", "track_idx"), "track_id", "inner").drop("track_id")
    joined = recordings.join(indexed, "recording_id", "inner").join(tracks, "recording_id", "left")
    plays = F.coalesce("plays", F.lit(0)).cast("long").alias("plays")
    return joined.select("item_idx", *_numbers(F.col("recording_id")), "track_idx", plays)


def neighbour_numbers(similar: DataFrame, item_index: DataFrame, features: DataFrame) -> DataFrame:
    """(item_idx, rank, similar_item, similar_track): which songs are near a recording that was played.

    `similar` is rows of gold.similar_tracks of one model, whose items are recordings or, where none is linked, tracks;
    of similar_item and similar_track the other is null.
    """
    indexed = item_index.where("item_kind = 'recording'").select("item_id", "item_idx")
    asking = indexed.withColumnRenamed("item_id", "item")
    found = indexed.select(F.col("item_id").alias("similar"), F.col("item_idx").alias("similar_item"))
    tracks = features.select(F.col("track_id").alias("similar"), F.col("track_idx").alias("similar_track"))
    rows = similar.select("item", "rank", "similar").join(asking, "item", "inner")
    named = rows.join(found, "similar", "left").join(tracks, "similar", "left")
    return named.select("item_idx", "rank", "similar_item", "similar_track")


def hidden_by_feedback(feedback: DataFrame, recordings: DataFrame, item_index: DataFrame) -> DataFrame:
    """(user_idx, hidden array<int>, hidden_artists array<long>): what a listener hates and whom they blocked.

    `feedback` is silver.feedback: (user_idx, item_kind, item_idx, score), −1 for hated; artists are numbered as in
    `item_numbers`.
    """
    hated = feedback.where("score = -1")
    artists = item_index.where("item_kind = 'artist'").select(F.col("item_id").alias("artist_id"), "item_idx")
    named = recordings.select("artist_id", _artist(F.col("recording_id")).alias("artist")).distinct()
    blocked = hated.where("item_kind = 'artist'").join(artists.join(named, "artist_id", "inner"), "item_idx", "inner")
    recording = F.when(F.col("item_kind") == "recording", F.col("item_idx"))
    own = hated.groupBy("user_idx").agg(F.array_sort(F.collect_set(recording)).alias("hidden"))
    whom = blocked.groupBy("user_idx").agg(F.array_sort(F.collect_set("artist")).alias("hidden_artists"))
    return own.join(whom, "user_idx", "left")


def _numbers(own_id: Column) -> tuple[Column, Column]:
    song = F.xxhash64(F.coalesce("artist_key", F.lit("")), F.coalesce("title_key", own_id))
    return song.alias("song"), _artist(own_id).alias("artist")


def _artist(own_id: Column) -> Column:
    # Songs without an artist have one each: nothing says that it is the same.
    return F.xxhash64(F.coalesce("artist_key", own_id))
