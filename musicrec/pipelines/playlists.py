"""gold.playlists: each listener's playlists of the week."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.io.runs import Run, Stage
from musicrec.models.blocks import Ragged, find
from musicrec.models.content import CONTENT
from musicrec.pipelines.publish import load_models
from musicrec.pipelines.training_data import TrainingData, training_data
from musicrec.ranking.batch_playlists import batch_playlists, near_lists
from musicrec.ranking.listener_playlists import LOVED, SOUND, ListenerPlaylistParams
from musicrec.ranking.songs import NONE, ItemRows, Songs, TrackRows, ints, make_songs
from musicrec.ranking.topn import LISTS_SCHEMA, top_n
from musicrec.transforms.interactions import InteractionParams, ItemKind
from musicrec.transforms.song_rows import hidden_by_feedback, item_numbers, neighbour_numbers, track_numbers

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Ints = NDArray[np.int64]


# Files of a day's playlists, for each core.
_PARTS_A_CORE = 4


class PlaylistsParams(ListenerPlaylistParams):
    """How the playlists of the week are made.

    Attributes
    ----------
    weekday : when all are made anew; on other days only those that a listener lacks.
    model : whose lists of what a listener has not heard the playlists draw on.
    depth : length of these lists.
    """

    weekday: Weekday = "monday"
    model: Literal["als", "pca", "lstm"] = "als"
    depth: int = Field(default=200, ge=1)


@dataclass(frozen=True)
class _Numbers:
    """All songs, what sounds like each, and the track_idx of the tracks' rows."""

    songs: Songs
    near: Ragged
    track_idx: Ints


def build_playlists(run: Run, item: ItemKind, interaction: InteractionParams, params: PlaylistsParams) -> Stage:
    """Make the playlists of each listener who has none since the last `params.weekday`; the others' stay.

    A night that is run again makes its own again. Where recordings are not the items there are no playlists. What a
    listener hates, and the artists whom they blocked, stay out where silver.feedback says so.
    """
    if item != "recording":
        return Stage(0, 0, f"items are of kind {item}: no playlists")
    data = training_data(run, item, interaction, read_often=False)
    week = week_start(run.day, params.weekday)
    users = _without_playlists(run, data.users, week).persist()
    listeners = users.count()
    if not listeners:
        return Stage(data.users.count(), 0, f"the playlists of the week from {week} stay")
    heard = data.heard.join(users.select("user_idx"), "user_idx", "left_semi")
    offered = _offered(run, data, heard, params)
    numbers = _collect_numbers(run)
    salt = (run.seed << 20) + week.toordinal()
    rows = batch_playlists(_tastes(run, heard, offered), numbers.songs, numbers.near, params, salt)
    playlists, rows_out = _write(run, _named(run, rows, numbers, data), users)
    users.unpersist()
    run.metric("listeners", listeners)
    run.metric("playlists", playlists)
    return Stage(listeners, rows_out, f"{playlists:,} playlists of {listeners:,} listeners")


def _offered(run: Run, data: TrainingData, heard: DataFrame, params: PlaylistsParams) -> DataFrame:
    """(user_idx, items, scores): what the model says that listeners may like; nothing where it had too little."""
    model = load_models(run, (params.model,)).get(params.model)
    if model is None:
        run.log.warning("playlists: nothing of other listeners' taste", lacking=params.model)
        return run.lakehouse.spark.createDataFrame([], LISTS_SCHEMA)
    return top_n(model, heard, params.depth, "discover", allowed_items=data.popular.select("item_idx"))


def _without_playlists(run: Run, users: DataFrame, week: date) -> DataFrame:
    """(user_idx, user_id) of the listeners for whom no earlier night of the week made playlists."""
    lake = run.lakehouse
    if not lake.exists("gold.playlists"):
        return users.select("user_idx", "user_id")
    made = lake.read("gold.playlists", is_input=False)
    made = made.where((F.col("as_of") >= F.lit(week)) & (F.col("as_of") < F.lit(run.day)))
    lacking = users.join(made.select("user_id").distinct(), "user_id", "left_anti")
    return lacking.select("user_idx", "user_id")


def _write(run: Run, rows: DataFrame, users: DataFrame) -> tuple[int, int]:
    """Replace the day's rows; gives how many playlists and rows they are.

    In the order of listeners, so that an app that asks for one reads few row groups. Listeners are put in ranges, not
    rows: to find ranges of rows Spark would make them twice.
    """
    lake = run.lakehouse
    parts = lake.spark.sparkContext.defaultParallelism * _PARTS_A_CORE
    ranged = users.repartitionByRange(parts, "user_id").withColumn("part", F.spark_partition_id())
    joined = rows.join(ranged, "user_idx", "inner").repartition(parts, "part")
    joined = joined.sortWithinPartitions("user_id", "playlist", "position")
    marks = {"as_of": F.lit(run.day), "run_id": F.lit(run.run_id)}
    lake.overwrite("gold.playlists", joined.withColumns(marks), where=f"as_of = '{run.day}'")
    written = lake.read("gold.playlists", is_input=False).where(F.col("as_of") == F.lit(run.day))
    counts = written.agg(F.count_if(F.col("position") == 1), F.count("*")).collect()[0]
    return counts[0], counts[1]


def week_start(day: date, weekday: Weekday) -> date:
    """The last such weekday, the day itself included."""
    return day - timedelta(days=(day.weekday() - get_args(Weekday).index(weekday)) % 7)


def _tastes(run: Run, heard: DataFrame, offered: DataFrame) -> DataFrame:
    """What batch_playlists needs of each listener."""
    lake = run.lakehouse
    lists = offered.select("user_idx", F.col("items").alias("offered"))
    tastes = heard.select("user_idx", "heard", "plays").join(lists, "user_idx", "left")
    if lake.exists("silver.feedback"):
        feedback, recordings = lake.read("silver.feedback"), lake.read("silver.recordings")
        return tastes.join(hidden_by_feedback(feedback, recordings, lake.read("silver.item_index")), "user_idx", "left")
    nothing = {"hidden": F.lit(None).cast("array<int>"), "hidden_artists": F.lit(None).cast("array<long>")}
    return tastes.withColumns(nothing)


def _collect_numbers(run: Run) -> _Numbers:
    """All songs on the driver, as numbers alone: some 100 bytes a track and 40 a recording."""
    lake = run.lakehouse
    features = lake.read_or_empty("silver.track_features")
    index, links = lake.read("silver.item_index"), lake.read_or_empty("silver.links")
    tracks = track_numbers(features).toArrow().sort_by("track_idx")
    items = item_numbers(lake.read("silver.recordings"), index, links, features).toArrow().sort_by("item_idx")
    track_idx = _ints(tracks["track_idx"])
    item_track, has_track = find(_ints(items["track_idx"]), track_idx)
    songs = make_songs(
        TrackRows.of_table(tracks, _ints(tracks["song"]), _ints(tracks["artist"])),
        ItemRows(
            item_idx=_ints(items["item_idx"]),
            song=_ints(items["song"]),
            artist=_ints(items["artist"]),
            track=np.where(has_track, item_track, -1),
            plays=_ints(items["plays"]),
        ),
    )
    return _Numbers(songs, _near(run, songs, track_idx), track_idx)


def _near(run: Run, songs: Songs, track_idx: Ints) -> Ragged:
    """What sounds like each song that was played, from gold.similar_tracks."""
    lake = run.lakehouse
    similar = lake.read_or_empty("gold.similar_tracks").where(F.col("model") == CONTENT)
    features = lake.read_or_empty("silver.track_features")
    found = neighbour_numbers(similar, lake.read("silver.item_index"), features).toArrow()
    if not found.num_rows:
        run.log.warning("playlists: no neighbours by content, so nothing is found by its sound")
    row, is_track = find(_ints(found["similar_track"]), track_idx)
    by_track = np.where(is_track, songs.of_track[row] if len(songs.of_track) else -1, -1)
    by_item = songs.of_items(_ints(found["similar_item"]))
    asking = songs.of_items(_ints(found["item_idx"]))
    return near_lists(asking, _ints(found["rank"]), np.where(by_item >= 0, by_item, by_track), len(songs))


def _named(run: Run, rows: DataFrame, numbers: _Numbers, data: TrainingData) -> DataFrame:
    """The rows with ids, names and reasons in place of numbers; a song is called as its recording is, if it has one."""
    spark, songs = run.lakehouse.spark, numbers.songs
    track = np.where(songs.track >= 0, numbers.track_idx[songs.track] if len(numbers.track_idx) else -1, -1)
    table = pa.table({"song": np.arange(len(songs), dtype=np.int32), "item_idx": songs.item, "track_idx": track})
    of_songs = spark.createDataFrame(table)
    items = data.items.select("item_idx", F.col("item_id").alias("item"), F.col("title").alias("own_title"), "artist")
    names = of_songs.join(items, "item_idx", "left")
    tracks = run.lakehouse.read_or_empty("silver.track_features").select(
        "track_idx", "track_id", "name", F.array_join("artists", ", ").alias("artists"), "duration_ms", "year"
    )
    names = names.join(tracks, "track_idx", "left").select(
        "song",
        "item",
        "track_id",
        F.coalesce("own_title", "name").alias("title"),
        F.coalesce("artist", "artists").alias("artist"),
        "duration_ms",
        "year",
    )
    names = names.persist()
    by = names.select(F.col("song").alias("because"), F.concat_ws(" - ", "artist", "title").alias("_by"))
    joined = rows.join(F.broadcast(names), "song", "inner").join(F.broadcast(by), "because", "left")
    return joined.withColumn("reason", _reason())


def _reason() -> Any:
    often = F.concat(F.lit("you played it "), F.col("plays").cast("string"), F.lit(" times"))
    loved = F.when(F.col("plays") == 1, F.lit("you played it once")).otherwise(often)
    sound = F.concat(F.lit("sounds like "), F.col("_by"))
    by_kind = F.when(F.col("kind") == LOVED, loved).when(F.col("kind") == SOUND, sound)
    return by_kind.otherwise(F.lit("played by listeners of your taste"))


def _ints(column: pa.ChunkedArray) -> Ints:
    return ints(column, NONE)
