"""The tracks of a catalogue that no one has played."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

_SONG = ["artist_key", "title_key"]


def unplayed_tracks(features: DataFrame, recordings: DataFrame, links: DataFrame) -> DataFrame:
    """The rows of `features` whose song was never played, one for each song.

    A song was played where a recording is linked to one of its tracks, or has its artist's and title's key. So a track
    that is a played song under another id is not among them. Of several tracks of one unplayed song the most popular
    stays, of those the lowest track_id. A track without a title or artist is left out.

    Parameters
    ----------
    features : silver.track_features (track_id, artist_key, title_key, popularity, anything else).
    recordings : silver.recordings (recording_id, artist_key, title_key).
    links : silver.links (recording_id, track_id).
    """
    linked = links.select("track_id").where(F.col("track_id").isNotNull()).distinct()
    of_linked = features.join(linked, "track_id", "left_semi").select(*_SONG)
    played = recordings.select(*_SONG).unionByName(of_linked).distinct()
    named = features.where((F.trim("artist_key") != "") & (F.trim("title_key") != ""))
    unplayed = named.join(linked, "track_id", "left_anti").join(played, _SONG, "left_anti")
    order = Window.partitionBy(*_SONG).orderBy(F.coalesce("popularity", F.lit(-1.0)).desc(), "track_id")
    first = unplayed.withColumn("_place", F.row_number().over(order)).where(F.col("_place") == 1)
    return first.drop("_place")
