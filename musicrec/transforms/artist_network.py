"""Which artists belong together: on one song, by one listener, in one session; how much more often than by chance."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from musicrec.params import Params


class NetworkParams(Params):
    """Which pairs of artists are edges, and how many of them the graph's figures are found from.

    Attributes
    ----------
    artists_per_basket : of a listener's or session's artists, the most played so many are paired; of a song's, any.
        It bounds the work: so many artists are half as many pairs as their square.
    support : listeners or sessions that a pair needs; `song_support` is that of songs.
    shrinkage : baskets by which a lift is drawn towards 1.
    artists : the most played so many, of those with an edge, make the graph of PageRank and communities.
    strongest : edges of each of them in that graph.
    """

    artists_per_basket: int = Field(default=100, ge=2)
    support: int = Field(default=5, ge=1)
    song_support: int = Field(default=1, ge=1)
    shrinkage: float = Field(default=5.0, ge=0)
    artists: int = Field(default=1000, ge=1)
    strongest: int = Field(default=50, ge=1)


def listened_artists(recordings: DataFrame, links: DataFrame, keyed: DataFrame) -> DataFrame:
    """(artist_id, artist_key): each artist of the listens under the key by which the catalogue knows it.

    The key is that of its commonest name where the catalogue has an artist of that name; else that of the artist to
    whose tracks more than half of its linked plays lead; else that of its name. So spellings and MBIDs of one name
    meet, and so do two artists who have the same name.

    Parameters
    ----------
    recordings : silver.recordings.
    links : silver.links.
    keyed : silver.tracks with artist_key.
    """
    own = _commonest(recordings.select("artist_id", "artist_key", "plays"), "artist_key").select(
        "artist_id", F.col("artist_key").alias("own_key")
    )
    known = keyed.select(F.col("artist_key").alias("own_key")).distinct().withColumn("is_known", F.lit(True))
    catalogued = links.select("recording_id", "track_id").join(
        keyed.select("track_id", "artist_key"), "track_id", "inner"
    )
    led = recordings.select("recording_id", "artist_id", "plays").join(
        catalogued.select("recording_id", "artist_key"), "recording_id", "inner"
    )
    linked = _commonest(led, "artist_key").where(2 * F.col("most") > F.col("total"))
    joined = own.join(known, "own_key", "left").join(
        linked.select("artist_id", F.col("artist_key").alias("linked_key")), "artist_id", "left"
    )
    key = F.when(F.col("is_known"), F.col("own_key")).otherwise(F.coalesce("linked_key", "own_key"))
    return joined.select("artist_id", key.alias("artist_key"))


def _commonest(rows: DataFrame, value: str) -> DataFrame:
    """(artist_id, value, most, total): the value with most plays, of equals the smallest, its plays and all plays."""
    plays = rows.groupBy("artist_id", value).agg(F.sum("plays").alias("plays"))
    order = F.struct((-F.col("plays")).alias("less"), value)
    return plays.groupBy("artist_id").agg(
        F.min(order)[value].alias(value), F.max("plays").alias("most"), F.sum("plays").alias("total")
    )


def pair_lifts(
    baskets: DataFrame, per_basket: int, supports: Mapping[str, int], shrinkage: float, seed: int
) -> DataFrame:
    """How much more often two artists are in one basket than if they were put in by chance, by kind of basket.

    The lift is (together + s) / (expected + s) with expected = a's baskets × b's / all baskets: the mean of the
    Gamma-Poisson model whose prior has the mean 1 and the weight of s baskets (DuMouchel 1999, "Bayesian Data Mining
    in Large Frequency Tables"). Only pairs above 1 are given.

    Parameters
    ----------
    baskets : (kind, basket string, artist_key, plays), one row each.
    per_basket : of a basket's artists, the most played so many count; of equals by a hash of both.
    supports : of each kind, baskets that a pair needs; an artist in fewer is left out before the baskets are cut.

    Returns
    -------
    (kind, artist_key, other_key, together long, expected, lift), artist_key < other_key.
    """
    support = F.coalesce(*[F.when(F.col("kind") == kind, F.lit(least)) for kind, least in supports.items()])
    of_kind = baskets.groupBy("kind").agg(F.count_distinct("basket").alias("baskets"))
    of_artist = baskets.groupBy("kind", "artist_key").agg(F.count("*").alias("n")).where(F.col("n") >= support)
    order = Window.partitionBy("kind", "basket").orderBy(
        F.desc("plays"), F.xxhash64(F.lit(seed), "basket", "artist_key"), "artist_key"
    )
    kept = (
        baskets.join(of_artist, ["kind", "artist_key"], "left_semi")
        .withColumn("place", F.row_number().over(order))
        .where(F.col("place") <= per_basket)
    )
    contents = kept.groupBy("kind", "basket").agg(F.array_sort(F.collect_list("artist_key")).alias("artists"))
    first = contents.select("kind", F.posexplode("artists").alias("place", "artist_key"), "artists")
    # From itself on: how often an artist meets itself is in how many baskets it is.
    rest = F.explode(F.slice("artists", F.col("place") + 1, F.size("artists"))).alias("other_key")
    met = first.select("kind", "artist_key", rest).groupBy("kind", "artist_key", "other_key")
    counted = met.agg(F.count("*").alias("together")).where(F.col("together") >= support)
    own = counted.where("artist_key = other_key").withColumnRenamed("together", "n")
    return _lifts(counted.where("artist_key < other_key"), own, of_kind, shrinkage)


def _lifts(pairs: DataFrame, own: DataFrame, of_kind: DataFrame, shrinkage: float) -> DataFrame:
    other = own.select("kind", "other_key", F.col("n").alias("other_n"))
    joined = (
        pairs.join(own.select("kind", "artist_key", "n"), ["kind", "artist_key"], "inner")
        .join(other, ["kind", "other_key"], "inner")
        .join(F.broadcast(of_kind), "kind", "inner")
    )
    expected = F.col("n") * F.col("other_n") / F.col("baskets")
    lift = (F.col("together") + shrinkage) / (expected + shrinkage)
    rounded = [F.round(expected, 9).alias("expected"), F.round(lift, 9).alias("lift")]
    return joined.select("kind", "artist_key", "other_key", "together", *rounded).where("lift > 1")


def session_artists(sequences: DataFrame, artist_of_item: DataFrame) -> DataFrame:
    """(basket, artist_key, plays) of silver.sequences: a listener's session is a basket.

    A play that two windows share counts once. `artist_of_item` has item_idx and artist_key.
    """
    entries = F.explode(F.arrays_zip("items", "times")).alias("entry")
    plays = sequences.select("user_idx", "session", entries).select(
        "user_idx", "session", F.col("entry.items").alias("item_idx"), F.col("entry.times").alias("time")
    )
    named = plays.where("item_idx >= 0").join(artist_of_item, "item_idx", "inner")
    counted = named.groupBy("user_idx", "session", "artist_key").agg(
        F.count_distinct("time", "item_idx").alias("plays")
    )
    return counted.select(F.concat_ws(" ", "user_idx", "session").alias("basket"), "artist_key", "plays")


def one_weight_a_pair(edges: DataFrame) -> DataFrame:
    """(artist_key, other_key, weight): the edges of all kinds between two artists as one.

    Its weight is the sum of their log2 lifts, so that kinds add up as evidence does: a lift of 1 adds nothing.
    """
    pairs = edges.groupBy("artist_key", "other_key").agg(F.sum(F.log2("lift")).alias("weight"))
    return pairs.select("artist_key", "other_key", F.round("weight", 9).alias("weight")).where("weight > 0")


def from_both_ends(pairs: DataFrame) -> DataFrame:
    """(artist_key, other_key, weight): each pair twice, once from each of its artists."""
    turned = pairs.select(F.col("other_key").alias("artist_key"), F.col("artist_key").alias("other_key"), "weight")
    return pairs.select("artist_key", "other_key", "weight").union(turned)


def degrees(pairs: DataFrame) -> DataFrame:
    """(artist_key, degree long, weighted_degree) of the artists of weighted pairs."""
    ends = from_both_ends(pairs).groupBy("artist_key")
    return ends.agg(F.count("*").alias("degree"), F.round(F.sum("weight"), 6).alias("weighted_degree"))


def strongest_pairs(pairs: DataFrame, within: DataFrame, strongest: int) -> DataFrame:
    """The pairs between artists of `within` (artist_key) that are among the strongest of either."""
    inside = pairs.join(within.select("artist_key"), "artist_key", "left_semi")
    inside = inside.join(within.select(F.col("artist_key").alias("other_key")), "other_key", "left_semi")
    order = Window.partitionBy("artist_key").orderBy(F.desc("weight"), "other_key")
    best = from_both_ends(inside).withColumn("place", F.row_number().over(order)).where(F.col("place") <= strongest)
    return best.select(_smaller().alias("artist_key"), _larger().alias("other_key"), "weight").distinct()


def _smaller() -> Column:
    return F.least("artist_key", "other_key")


def _larger() -> Column:
    return F.greatest("artist_key", "other_key")
