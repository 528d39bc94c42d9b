"""ALS factors for the tracks that no one has played, from what they sound like and whose they are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.errors import NonFiniteError, TooLittleError
from musicrec.evaluation.told_apart import Sample, check_told_apart
from musicrec.io.runs import Run, Stage
from musicrec.models.blocks import Ragged, read_vectors, write_lists
from musicrec.models.cold_start.collect import World, by_hash, collect_world
from musicrec.models.cold_start.content_map import Choice, Training, choose_map, fit_map
from musicrec.models.cold_start.inputs import Ints, Matrix
from musicrec.models.cold_start.params import ColdStartParams
from musicrec.pipelines.content import NO_FEATURES
from musicrec.pipelines.publish import load_models, load_vectors, register, withdraw
from musicrec.pipelines.telling import ITEMS, LISTENERS, settings_of
from musicrec.transforms.interactions import ItemKind
from musicrec.transforms.unplayed import unplayed_tracks

ALS_CONTENT = "als_content"

# So many listeners say how much an error in the factors moves scores.
_LISTENERS = 10_000
_BITS = 20


def train_cold_start(run: Run, item: ItemKind, params: ColdStartParams, places: int = 10) -> Stage:
    """Publish the model `als_content`: item vectors of unplayed tracks, by track_idx, in the space of the newest ALS.

    Where too few tracks with features were played, or ALS had too little, the model is empty and the step counts as
    skipped; where items are artists it is empty.

    Raises
    ------
    InputError : ALS was never trained.
    NonFiniteError : the fit diverged.
    DegenerateModelError : the scores cannot tell `places` of the tracks apart, though their features differ.
    """
    lake = run.lakehouse
    features = lake.read_or_empty("silver.track_features")
    if item != "recording":
        withdraw(run, ALS_CONTENT)
        return Stage(0, 0, "items are artists")
    if features.isEmpty():
        return _nothing(run, NO_FEATURES)
    if not load_models(run, ("als",)):
        return _nothing(run, TooLittleError("cold start", "vectors of the model als", "none, there was too little"))
    world = collect_world(features, model_items(run), params.min_plays)
    if len(world.known) < params.min_tracks:
        needed = f"{params.min_tracks} played tracks with features (cold_start.min_tracks)"
        return _nothing(run, TooLittleError("cold start", needed, f"{len(world.known)}"))
    fresh = unplayed_tracks(features, lake.read("silver.recordings"), lake.read("silver.links"))
    track_idx = np.sort(fresh.select("track_idx").toArrow()["track_idx"].to_numpy())
    halves, listeners = _halves(world, track_idx, params), _some_listeners(run)
    choice, explained = choose_map(
        world.training,
        world.factors,
        world.plays,
        world.played,
        world.tracks.take(halves[0]),
        listeners,
        params,
        run.log,
    )
    vectors = predicted(world, choice, params, track_idx, halves)
    _check(world, track_idx, listeners, vectors, params, places)
    for tried, share in explained.items():
        run.metric("explained_held_out", share, map=str(tried))
    _publish(run, _frame(lake.spark, track_idx, vectors), params, choice, explained, len(world.known))
    note = f"{len(track_idx):,} unplayed tracks from {len(world.known):,} played; {choice.kind}"
    return Stage(len(world.known), len(track_idx), f"{note}; explains {explained[choice]:.3f} of held-out tracks")


def model_items(run: Run) -> DataFrame:
    """(item_idx, vector, bias, plays, artist_key, track_id or null) of the newest ALS's items."""
    lake = run.lakehouse
    pairs = lake.read("silver.interactions").where(F.col("item_kind") == "recording")
    plays = pairs.groupBy("item_idx").agg(F.sum("plays").alias("plays"))
    index = lake.read("silver.item_index").where(F.col("item_kind") == "recording")
    index = index.select("item_idx", F.col("item_id").alias("recording_id"))
    recordings = lake.read("silver.recordings").select("recording_id", "artist_key")
    links = lake.read("silver.links").select("recording_id", "track_id")
    named = index.join(recordings, "recording_id", "inner").join(links, "recording_id", "left")
    vectors = load_vectors(run, "als", "item_vectors")
    return vectors.join(named, "item_idx", "inner").join(plays, "item_idx", "left")


def _halves(world: World, track_idx: Ints, params: ColdStartParams) -> tuple[Ints, Ints]:
    """Places of unplayed tracks that train the map, in two halves by hash, each of at most `params.unplayed`."""
    places = by_hash(np.searchsorted(world.track_idx, track_idx), world.ids)[: 2 * params.unplayed]
    middle = -(-len(places) // 2)
    return places[:middle], places[middle:]


def predicted(
    world: World, choice: Choice, params: ColdStartParams, track_idx: Ints, halves: tuple[Ints, Ints]
) -> Matrix:
    """Item vectors, the bias last, of tracks of the world's catalogue [n × (d + 1)].

    A track that trained the map as unplayed is told by another one, that the other half has trained: its own 0 would
    be what it is told.
    """
    places = np.searchsorted(world.track_idx, track_idx)
    vectors = np.zeros((len(places), world.factors.shape[1]))
    for own, asked in zip(halves, (~np.isin(places, halves[0]), np.isin(places, halves[0])), strict=True):
        unplayed = world.tracks.take(own)
        training = Training.of(world.training, world.factors, world.plays, world.played, unplayed, params)
        fitted = fit_map(training, choice, params.landmarks)
        vectors[asked] = fitted.predict(world.tracks.take(places[asked]))
    if not np.isfinite(vectors).all():
        raise NonFiniteError("model als_content: vectors hold NaN or infinity")
    # To a 2²⁰th of the largest factor, whatever the factors' scale: below it is the noise of sums.
    step = 2.0 ** (np.ceil(np.log2(np.abs(world.factors).max(initial=0.0) or 1.0)) - _BITS)
    return np.asarray(np.rint(vectors / step) * step)


def _check(
    world: World, track_idx: Ints, listeners: Matrix, vectors: Matrix, params: ColdStartParams, places: int
) -> None:
    some = np.unique(np.linspace(0, max(len(vectors) - 1, 0), min(len(vectors), ITEMS)).astype(np.int64))
    sample = Sample(listeners[:LISTENERS], vectors[some, :-1], vectors[some, -1])

    def possible() -> Ints:
        own = world.tracks.take(np.searchsorted(world.track_idx, track_idx[some]))
        told = len(np.unique(np.column_stack([own.content, own.artist]), axis=0))
        return np.full(len(sample.users), told, np.int64)

    settings = settings_of("cold_start", params)
    check_told_apart(ALS_CONTENT, settings, sample.different_scores(), min(places, len(some)), possible)


def _some_listeners(run: Run) -> Matrix:
    """Vectors of at most 10,000 listeners, drawn by hash, in the order of user_idx [n × d]."""
    drawn = load_vectors(run, "als", "user_vectors").orderBy(F.xxhash64("user_idx"), "user_idx").limit(_LISTENERS)
    table = drawn.select("user_idx", "vector").toArrow().sort_by("user_idx")
    return read_vectors(table["vector"].combine_chunks()).astype(np.float64)


def _frame(spark: SparkSession, track_idx: Ints, vectors: Matrix) -> DataFrame:
    """(item_idx, vector, bias)."""
    width = vectors.shape[1] - 1
    starts = np.arange(len(track_idx) + 1, dtype=np.int64) * width
    lists = write_lists(Ragged(vectors[:, :-1].astype(np.float32).reshape(-1), starts), pa.float32())
    columns = [pa.array(track_idx, pa.int32()), lists, pa.array(vectors[:, -1], pa.float32())]
    schema = "item_idx int, vector array<float>, bias float"
    return spark.createDataFrame(pa.table(columns, ["item_idx", "vector", "bias"]), schema)


def _publish(
    run: Run, vectors: DataFrame, params: ColdStartParams, choice: Choice, explained: dict[Choice, float], known: int
) -> None:
    marks = {"model": F.lit(ALS_CONTENT), "run_id": F.lit(run.run_id)}
    where = f"model = '{ALS_CONTENT}'"
    items = run.lakehouse.overwrite("models.item_vectors", vectors.withColumns(marks), where=where)
    figures = {"explained_held_out": explained[choice], "training_tracks": float(known)}
    register(run, ALS_CONTENT, params, "", figures, None, items)


def _nothing(run: Run, why: TooLittleError) -> Stage:
    """No model: an earlier night's vectors must not stay, since they lie in another space."""
    withdraw(run, ALS_CONTENT)
    return Stage(0, 0, str(why), is_skipped=True)
