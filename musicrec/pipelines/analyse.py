"""Analyses as tables: the network of artists, trends by year and genre, and what goes with popularity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.evaluation.correlation import spearman
from musicrec.io.runs import Run, Stage
from musicrec.models.artist_graph import graph_figures
from musicrec.params import Params
from musicrec.schemas import AUDIO_FEATURES, TABLES
from musicrec.schemas.content import ENGINEERED_FEATURES
from musicrec.transforms.artist_network import (
    NetworkParams,
    degrees,
    listened_artists,
    one_weight_a_pair,
    pair_lifts,
    session_artists,
    strongest_pairs,
)
from musicrec.transforms.interactions import ItemKind
from musicrec.transforms.songs import SONG_KEY, credits, keyed_tracks, songs
from musicrec.transforms.trends import artist_facts, genre_shares, top_artists, trends

# Compared with popularity. A pitch class is a circle and has no ranks.
_COMPARED = ("year", "duration_ms", *(name for name in AUDIO_FEATURES if name != "key"), *ENGINEERED_FEATURES)


class AnalysesParams(Params):
    """What the analyses show.

    Attributes
    ----------
    network : of the artists.
    least_songs : a year, decade or genre with fewer songs is left out, and a correlation over fewer.
    top_artists : rows of each list of top artists.
    least_artist_songs : songs that an artist needs to be ranked by their popularity.
    """

    network: NetworkParams = NetworkParams()
    least_songs: int = Field(default=30, ge=4)
    top_artists: int = Field(default=50, ge=1)
    least_artist_songs: int = Field(default=5, ge=1)


@dataclass(frozen=True)
class _Read:
    """What all the analyses stand on, persisted.

    Attributes
    ----------
    keyed, songs : of the catalogue, see `musicrec.transforms.songs`.
    artist_of : (artist_id, artist_key) of the listens' artists.
    played : (user_idx, artist_key, plays), one row a listener and artist.
    facts : see `musicrec.transforms.trends.artist_facts`.
    """

    keyed: DataFrame
    songs: DataFrame
    artist_of: DataFrame
    played: DataFrame
    facts: DataFrame


def analyse(run: Run, item: ItemKind, has_sessions: bool, params: AnalysesParams) -> Stage:
    """Replace the tables of the analyses.

    Without a catalogue those that stand on it are empty, and without sessions in silver.sequences the network has
    none of kind `session`.

    Raises
    ------
    TableMissingError : silver was never built.
    """
    read = _read(run)
    edges = _edges(run, read, item, has_sessions, params.network)
    counts = {"edges": _write(run, "gold.artist_edges", edges)}
    counts["artists"] = _write(run, "gold.artist_nodes", _nodes(run, read, params.network))
    counts["trends"] = _write(run, "gold.trends", trends(read.songs, params.least_songs))
    _write(run, "gold.genre_shares", genre_shares(read.songs, params.least_songs))
    best = top_artists(read.facts, params.top_artists, params.least_artist_songs)
    _write(run, "gold.top_artists", best)
    counts["correlations"] = _write_correlations(run, read.songs, params.least_songs)
    n_songs = read.songs.count()
    run.metric("songs", n_songs)
    for name, count in counts.items():
        run.metric(f"rows_{name}", count)
    return Stage(n_songs, sum(counts.values()), ", ".join(f"{n} {c:,}" for n, c in counts.items()))


def _read(run: Run) -> _Read:
    lake = run.lakehouse
    recordings = lake.read("silver.recordings")
    keyed = keyed_tracks(lake.read_or_empty("silver.tracks")).persist()
    of_song = songs(keyed).persist()
    artist_of = listened_artists(recordings, lake.read("silver.links"), keyed).persist()
    of_listener = lake.read("silver.listens").groupBy("user_idx", "artist_id").agg(F.count("*").alias("plays"))
    named = of_listener.join(artist_of, "artist_id", "inner")
    played = named.groupBy("user_idx", "artist_key").agg(F.sum("plays").alias("plays")).persist()
    spellings = recordings.join(artist_of.withColumnRenamed("artist_key", "key"), "artist_id", "inner")
    names = spellings.select(F.col("key").alias("artist_key"), F.col("artist_name").alias("artist"), "plays")
    return _Read(keyed, of_song, artist_of, played, artist_facts(played, names, of_song, keyed).persist())


def _edges(run: Run, read: _Read, item: ItemKind, has_sessions: bool, params: NetworkParams) -> DataFrame:
    """The rows of gold.artist_edges: all kinds of baskets in one pass."""
    song = F.concat_ws("\u001f", *SONG_KEY).alias("basket")
    credited = credits(read.keyed).select(song, F.col("credited").alias("artist_key"), F.lit(1).alias("plays"))
    played = read.played.select(F.col("user_idx").cast("string").alias("basket"), "artist_key", "plays")
    kinds = {"song": credited, "listener": played}
    if has_sessions:
        kinds["session"] = session_artists(run.lakehouse.read("silver.sequences"), _artist_of_item(run, read, item))
    rows = [baskets.withColumn("kind", F.lit(kind)) for kind, baskets in kinds.items()]
    baskets = reduce(DataFrame.unionByName, rows).persist()
    supports = {kind: params.song_support if kind == "song" else params.support for kind in kinds}
    edges = pair_lifts(baskets, params.artists_per_basket, supports, params.shrinkage, run.seed)
    names = read.facts.select("artist_key", "artist")
    others = names.select(F.col("artist_key").alias("other_key"), F.col("artist").alias("other"))
    return edges.join(names, "artist_key", "inner").join(others, "other_key", "inner")


def _artist_of_item(run: Run, read: _Read, item: ItemKind) -> DataFrame:
    """(item_idx, artist_key) of what silver.sequences hold."""
    known = read.artist_of.withColumnRenamed("artist_id", "item_id")
    if item == "recording":
        of_recording = run.lakehouse.read("silver.recordings").select("recording_id", "artist_id")
        known = of_recording.join(read.artist_of, "artist_id", "inner")
        known = known.select(F.col("recording_id").alias("item_id"), "artist_key")
    index = run.lakehouse.read("silver.item_index").where(F.col("item_kind") == item)
    return index.join(known, "item_id", "inner").select("item_idx", "artist_key")


def _nodes(run: Run, read: _Read, params: NetworkParams) -> DataFrame:
    """The rows of gold.artist_nodes, from the edges as they were written."""
    lake = run.lakehouse
    pairs = one_weight_a_pair(lake.read("gold.artist_edges", is_input=False)).persist()
    connected = degrees(pairs).join(read.facts, "artist_key", "inner").persist()
    order = (F.desc("plays"), F.desc_nulls_last("popularity_sum"), F.asc("artist_key"))
    chosen = connected.orderBy(*order).limit(params.artists).select("artist_key").persist()
    bounded = strongest_pairs(pairs, chosen, params.strongest).toPandas()
    figures = graph_figures(bounded, run.seed)
    for kind, n in {"connected_artists": connected.count(), "artists_in_graph": len(figures)}.items():
        run.metric(kind, n)
    run.metric("edges_in_graph", len(bounded))
    run.metric("communities", figures["community"].nunique())
    found = lake.spark.createDataFrame(
        figures.astype({"pagerank": float, "community": int}), "artist_key string, pagerank double, community int"
    )
    return connected.join(found, "artist_key", "left")


def _write_correlations(run: Run, of_song: DataFrame, least: int) -> int:
    """gold.feature_correlations, over songs; a feature that was imputed counts as unknown."""
    lake = run.lakehouse
    features = lake.read_or_empty("silver.track_features")
    own = [F.col(name).cast("double").alias(name) for name in ("year", "duration_ms")]
    known = [
        F.when(~F.array_contains(F.coalesce("imputed", F.array().cast("array<string>")), name), F.col(name)).alias(name)
        for name in _COMPARED
        if name not in ("year", "duration_ms")
    ]
    of_track = features.select("track_id", *known)
    joined = of_song.select("track_id", "popularity", *own).join(of_track, "track_id", "inner")
    rows: pd.DataFrame = joined.where("popularity IS NOT NULL").drop("track_id").toPandas()
    popularity = rows["popularity"].to_numpy(dtype=float)
    found = {name: spearman(rows[name].to_numpy(dtype=float), popularity, least) for name in _COMPARED}
    table = [
        (name, *(float(np.round(value, 6)) for value in figures[:3]), figures[3], run.day, run.run_id)
        for name, figures in found.items()
        if figures
    ]
    schema = TABLES["gold.feature_correlations"].schema
    lake.overwrite("gold.feature_correlations", lake.spark.createDataFrame(table, schema))
    return len(table)


def _write(run: Run, name: str, rows: DataFrame) -> int:
    lake = run.lakehouse
    lake.overwrite(name, rows.withColumns({"as_of": F.lit(run.day), "run_id": F.lit(run.run_id)}))
    return lake.read(name, is_input=False).count()
