"""Catalogue tracks as what a listener calls them: the recording that was played, one of a song's many releases."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def track_items(features: DataFrame, links: DataFrame, recordings: DataFrame) -> DataFrame:
    """Each track under the name of its most played recording, or its own where no recording is linked to it.

    Parameters
    ----------
    features : (track_id, track_idx, name, artists, artist_key, title_key, popularity), one row a track.
    links : silver.links.
    recordings : (recording_id, title, artist_name, plays).

    Returns
    -------
    (track_id, track_idx, item, title, artist, is_offered, song_idx): `song_idx` is the track_idx that stands for all
    tracks of one artist and title, `is_offered` whether it is this one: the most played, then the most popular, then by
    track_id. Its other releases are the same song, so they are nobody's neighbours.
    """
    played = (
        links.join(recordings, "recording_id", "inner")
        .groupBy("track_id")
        .agg(
            F.max_by(
                F.struct("recording_id", "title", "artist_name", "plays"), F.struct("plays", "recording_id")
            ).alias("_played")
        )
    )
    named = features.join(played, "track_id", "left").select(
        "track_id",
        "track_idx",
        F.coalesce("_played.recording_id", "track_id").alias("item"),
        F.coalesce("_played.title", "name").alias("title"),
        F.coalesce("_played.artist_name", F.array_join("artists", ", ")).alias("artist"),
        F.coalesce(F.concat("artist_key", F.lit("\n"), "title_key"), "track_id").alias("_song"),
        F.coalesce("_played.plays", F.lit(-1)).alias("_plays"),
        F.coalesce("popularity", F.lit(-1.0)).alias("_popularity"),
    )
    first = Window.partitionBy("_song").orderBy(F.desc("_plays"), F.desc("_popularity"), "track_id")
    standing = named.withColumn("song_idx", F.first("track_idx").over(first))
    offered = standing.withColumn("is_offered", F.col("song_idx") == F.col("track_idx"))
    return offered.drop("_song", "_plays", "_popularity")
