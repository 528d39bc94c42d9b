"""What songs are like by year, decade and genre, and which artists stand out."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from musicrec.schemas import AUDIO_FEATURES

# A pitch class is a circle: it has no mean.
MEASURES = ("popularity", "minutes", *(name for name in AUDIO_FEATURES if name != "key"))

_NORMAL_95 = 1.959964  # of a two-sided 95 % interval


def trends(songs: DataFrame, least: int) -> DataFrame:
    """Popularity, duration and audio features of the songs of each year, decade and genre.

    Parameters
    ----------
    songs : one row a song, see `musicrec.transforms.songs.songs`; one with several genres counts in each.
    least : a group with fewer songs that have the measure is left out.

    Returns
    -------
    (grouping, value, measure, n, mean, low, high, q25, median, q75): low and high are the 95 % interval of the mean,
    by the normal distribution; quartiles are exact, as numpy interpolates them.
    """
    measured = songs.withColumn("minutes", F.col("duration_ms") / 60_000)
    groups = F.array(
        _group("year", F.col("year").cast("string")),
        _group("decade", _decade().cast("string")),
    )
    genres = F.transform(F.coalesce("genres", F.array().cast("array<string>")), lambda name: _group("genre", name))
    rows = measured.select(F.explode(F.concat(groups, genres)).alias("group"), *MEASURES).where(
        "group.value IS NOT NULL"
    )
    summaries = [_summary(name).alias(name) for name in MEASURES]
    wide = rows.groupBy("group.grouping", "group.value").agg(*summaries)
    each = F.explode(F.array(*[F.struct(F.lit(name).alias("measure"), f"{name}.*") for name in MEASURES]))
    found = wide.select("grouping", "value", each.alias("one")).select("grouping", "value", "one.*")
    spread = _NORMAL_95 * F.col("deviation") / F.sqrt("n")
    quartiles = {"q25": 0, "median": 1, "q75": 2}
    return found.where(F.col("n") >= least).select(
        "grouping",
        "value",
        "measure",
        "n",
        F.round("mean", 6).alias("mean"),
        F.round(F.col("mean") - spread, 6).alias("low"),
        F.round(F.col("mean") + spread, 6).alias("high"),
        *[F.round(F.col("quartiles")[place], 6).alias(name) for name, place in quartiles.items()],
    )


def _group(grouping: str, value: Column) -> Column:
    return F.struct(F.lit(grouping).alias("grouping"), value.alias("value"))


def _decade() -> Column:
    return (F.floor(F.col("year") / 10) * 10).cast("int")


def _summary(measure: str) -> Column:
    return F.struct(
        F.count(measure).alias("n"),
        F.avg(measure).alias("mean"),
        F.stddev(measure).alias("deviation"),
        F.percentile(measure, [0.25, 0.5, 0.75]).alias("quartiles"),
    )


def genre_shares(songs: DataFrame, least: int) -> DataFrame:
    """(decade, genre, n, songs, share, low, high): which part of a decade's songs with a genre have this one.

    A song with several genres counts in each, so that a decade's shares may sum to more than 1. Decades with fewer
    than `least` such songs are left out. low and high: Wilson's 95 % interval (1927).
    """
    known = songs.where("year IS NOT NULL AND size(genres) > 0").withColumn("decade", _decade())
    of_decade = known.groupBy("decade").agg(F.count("*").alias("songs")).where(F.col("songs") >= least)
    of_genre = (
        known.select("decade", F.explode("genres").alias("genre"))
        .groupBy("decade", "genre")
        .agg(F.count("*").alias("n"))
    )
    joined = of_genre.join(of_decade, "decade", "inner")
    share, total, z = F.col("n") / F.col("songs"), F.col("songs"), F.lit(_NORMAL_95)
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    spread = z / (1 + z * z / total) * F.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return joined.select(
        "decade",
        "genre",
        "n",
        "songs",
        F.round(share, 6).alias("share"),
        F.round(F.greatest(centre - spread, F.lit(0.0)), 6).alias("low"),
        F.round(F.least(centre + spread, F.lit(1.0)), 6).alias("high"),
    )


def artist_facts(played: DataFrame, names: DataFrame, songs: DataFrame, keyed: DataFrame) -> DataFrame:
    """One row per artist of the listens or the catalogue, by key.

    Parameters
    ----------
    played : (user_idx, artist_key, plays), one row a listener and artist.
    names : (artist_key, artist, plays): spellings in the listens.
    songs, keyed : of the catalogue, see `musicrec.transforms.songs`; a song counts for its first artist.

    Returns
    -------
    (artist_key, artist, plays, listeners, songs, popularity_sum, popularity, low, high, top_genre). `artist` is the
    spelling met most often, in the listens first; popularity is the mean of its songs' with its 95 % interval;
    top_genre that of most of its songs, of equals the first in the alphabet.
    """
    plays = played.groupBy("artist_key").agg(F.sum("plays").alias("plays"), F.count("*").alias("listeners"))
    deviation = _NORMAL_95 * F.stddev("popularity") / F.sqrt(F.count("popularity"))
    catalogue = (
        songs.where("artist_key <> ''")
        .groupBy("artist_key")
        .agg(
            F.count("*").alias("songs"),
            F.count("popularity").alias("rated"),
            F.round(F.sum("popularity"), 6).alias("popularity_sum"),
            F.round(F.avg("popularity"), 6).alias("popularity"),
            F.round(F.avg("popularity") - deviation, 6).alias("low"),
            F.round(F.avg("popularity") + deviation, 6).alias("high"),
        )
    )
    merged = plays.join(catalogue, "artist_key", "full")
    named = merged.join(_spellings(names, keyed), "artist_key", "inner").join(_top_genres(songs), "artist_key", "left")
    zero = {name: F.coalesce(name, F.lit(0)).alias(name) for name in ("plays", "listeners", "songs", "rated")}
    rest = ("popularity_sum", "popularity", "low", "high", "top_genre")
    return named.select("artist_key", "artist", *zero.values(), *rest)


def _spellings(names: DataFrame, keyed: DataFrame) -> DataFrame:
    listed = keyed.where("artist_key <> ''").select("artist_key", F.get("artists", F.lit(0)).alias("artist"))
    met = names.select("artist_key", "artist", "plays", F.lit(0).alias("tracks"))
    both = met.union(listed.select("artist_key", "artist", F.lit(0).alias("plays"), F.lit(1).alias("tracks")))
    counted = both.groupBy("artist_key", "artist").agg(F.sum("plays").alias("plays"), F.sum("tracks").alias("tracks"))
    order = F.struct((-F.col("plays")).alias("plays"), (-F.col("tracks")).alias("tracks"), "artist")
    return counted.groupBy("artist_key").agg(F.min(order)["artist"].alias("artist"))


def _top_genres(songs: DataFrame) -> DataFrame:
    each = songs.select("artist_key", F.explode("genres").alias("genre"))
    counted = each.groupBy("artist_key", "genre").agg(F.count("*").alias("n"))
    order = F.struct((-F.col("n")).alias("less"), "genre")
    return counted.groupBy("artist_key").agg(F.min(order)["genre"].alias("top_genre"))


def top_artists(facts: DataFrame, n: int, least: int) -> DataFrame:
    """(by, rank, the columns of `artist_facts`): the n first artists by plays, and by the mean popularity of songs.

    By popularity only artists with at least `least` songs that have one are ranked. Equals are ranked by their key.
    """
    columns = [c for c in facts.columns if c != "rated"]
    by_plays = _first(facts.where("plays > 0"), "plays", n)
    by_popularity = _first(facts.where(F.col("rated") >= least), "popularity", n)
    return by_plays.unionByName(by_popularity).select("by", "rank", *columns)


def _first(facts: DataFrame, by: str, n: int) -> DataFrame:
    """The window sorts only the n rows that the limit leaves."""
    order = (F.desc(by), F.asc("artist_key"))
    first = facts.orderBy(*order).limit(n).withColumn("by", F.lit(by))
    return first.withColumn("rank", F.row_number().over(Window.partitionBy("by").orderBy(*order)))
