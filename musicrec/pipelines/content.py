"""What sounds like what: neighbours of every track by its content, and a recommender from content alone."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError, TooLittleError
from musicrec.io.runs import Run, Stage
from musicrec.io.scalers import load_scaler
from musicrec.models.content import CONTENT, ContentParams, content_model
from musicrec.models.embedding import EmbeddingModel
from musicrec.pipelines.build_features import scaler_folder
from musicrec.pipelines.publish import publish, withdraw
from musicrec.pipelines.similar import neighbours_that_stay, ranked_entries
from musicrec.pipelines.training_data import TrainingData, training_data
from musicrec.ranking.nearest import nearest_items
from musicrec.schemas import TABLES
from musicrec.transforms.interactions import InteractionParams, ItemKind
from musicrec.transforms.track_items import track_items

# Rows of gold.similar_tracks that this job writes and replaces.
_OWN = f"model = '{CONTENT}'"

NO_FEATURES = TooLittleError("table silver.track_features", "a track with audio features", "none")


def train_content(
    run: Run,
    item: ItemKind,
    interaction: InteractionParams,
    params: ContentParams,
    refit_days: int,
    files: Path,
    places: int = 20,
) -> Stage:
    """Replace the content rows of gold.similar_tracks, and publish the content model's vectors.

    A recording that is linked to a track has the neighbours of that track; a track that no one has played has rows
    under its track_id. A neighbour is a recording where one is linked to it, the most played of several; of a song's
    releases only one is offered. Where recordings are not the items (`recommend.item`) nothing is published. Without a
    track that has features the step counts as skipped, and there are neither rows nor vectors.

    Raises
    ------
    InputError : the features' vectors were made with other weights, or of other features than today's.
    DegenerateModelError : the model's scores cannot tell `places` items apart, though their features can.
    """
    features = run.lakehouse.read_or_empty("silver.track_features")
    if features.isEmpty():
        withdraw(run, CONTENT)
        if not run.lakehouse.read_or_empty("gold.similar_tracks").where(_OWN).isEmpty():
            none = run.lakehouse.spark.createDataFrame([], TABLES["gold.similar_tracks"].schema)
            run.lakehouse.overwrite("gold.similar_tracks", none, where=_OWN)
        return Stage(0, 0, str(NO_FEATURES), is_skipped=True)
    weights = load_scaler(scaler_folder(files)).weights
    if weights != params.weights:
        made = f"those of silver.track_features, {weights} (run build_features)"
        raise InputError("content.weights", made, str(params.weights))
    settings = {"recommend.item": item, CONTENT: params.model_dump(mode="json"), "similar.refit_days": refit_days}
    stay = neighbours_that_stay(run, refit_days, settings, _OWN)
    if stay is None:
        _write_neighbours(run, features, params)
    written = run.lakehouse.read("gold.similar_tracks", is_input=False).where(_OWN)
    rows, items = written.agg(F.count("*"), F.count_distinct("item")).collect()[0]
    run.metric("items_with_neighbours", items, model=CONTENT)
    note = f"{items:,} tracks and recordings have neighbours" if stay is None else stay.note
    published = _publish(run, item, interaction, params, places)
    return Stage(features.count(), rows + published, f"{note}; {published:,} vectors")


def fit_content_model(run: Run, data: TrainingData) -> EmbeddingModel | None:
    """The content of the linked recordings and of those who played them; None where none is linked."""
    linked = linked_vectors(run, data)
    return None if linked.isEmpty() else content_model(data.interactions, linked)


def linked_vectors(run: Run, data: TrainingData) -> DataFrame:
    """(item_idx, vector) of the recordings that are linked to a track with features."""
    features = run.lakehouse.read_or_empty("silver.track_features").select("track_id", "vector")
    links = run.lakehouse.read_or_empty("silver.links").select(F.col("recording_id").alias("item_id"), "track_id")
    items = data.items.select("item_idx", "item_id")
    return items.join(links, "item_id", "inner").join(features, "track_id", "inner").select("item_idx", "vector")


def _publish(run: Run, item: ItemKind, interaction: InteractionParams, params: ContentParams, places: int) -> int:
    if item != "recording":
        return 0
    data = training_data(run, item, interaction, read_often=False)
    model = fit_content_model(run, data)
    if model is None:
        run.log.warning("content: no recording is linked to a track with features")
        withdraw(run, CONTENT)
        return 0
    vectors = publish(run, model, params, 0, "", places=places).rows_out
    model.release()
    return vectors


def _write_neighbours(run: Run, features: DataFrame, params: ContentParams) -> None:
    """One commit: the neighbours of each linked recording and of each track that no one has played."""
    lake = run.lakehouse
    links = lake.read_or_empty("silver.links").select("recording_id", "track_id")
    tracks = track_items(features, links, lake.read_or_empty("silver.recordings")).persist()
    vectors = features.select("track_idx", "vector")
    offered = tracks.where("is_offered").select(F.col("track_idx").alias("item_idx"))
    offered = offered.join(vectors.withColumnRenamed("track_idx", "item_idx"), "item_idx", "inner")
    asking = tracks.join(vectors, "track_idx", "inner").select(
        F.col("track_idx").alias("item_idx"), F.col("song_idx").alias("own_idx"), "vector"
    )
    lists = nearest_items(asking, offered, params.k, params.metric)
    names = tracks.select(F.col("track_idx").alias("similar_idx"), F.col("item").alias("similar"), "title", "artist")
    ranked = ranked_entries(lists.select("item_idx", F.col("items").alias("neighbours"), "scores"))
    ranked = ranked.join(names, "similar_idx", "inner")
    askers = tracks.select("track_id", F.col("track_idx").alias("item_idx")).join(links, "track_id", "left")
    askers = askers.select("item_idx", F.coalesce("recording_id", "track_id").alias("item"))
    rows = ranked.join(askers, "item_idx", "inner").select("item", "rank", "similar", "title", "artist", "score")
    marks = {"model": F.lit(CONTENT), "as_of": F.lit(run.day), "run_id": F.lit(run.run_id)}
    ordered = rows.withColumns(marks).repartitionByRange("item").sortWithinPartitions("item", "rank")
    lake.overwrite("gold.similar_tracks", ordered, where=_OWN)
    tracks.unpersist()
