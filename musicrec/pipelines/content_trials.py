"""Settings of content tried out: neighbours by other weights, metrics and k, judged by what was played next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.evaluation.next_neighbours import next_in_neighbours, next_plays
from musicrec.io.runs import Run
from musicrec.models.content import ContentParams
from musicrec.pipelines.training_data import TrainingData
from musicrec.ranking.nearest import nearest_items
from musicrec.transforms.feature_scaler import FeatureScaler


def linked_features(run: Run, data: TrainingData) -> DataFrame:
    """The rows of silver.track_features of the recordings played before `data.until`, with their item_idx.

    Of several recordings of one track the most played stands for it.
    """
    features = run.lakehouse.read("silver.track_features")
    links = run.lakehouse.read("silver.links").select(F.col("recording_id").alias("item_id"), "track_id")
    plays = data.popular.join(data.items.select("item_idx", "item_id"), "item_idx", "inner")
    first = F.max_by("item_idx", F.struct("plays", "item_id")).alias("item_idx")
    items = plays.join(links, "item_id", "inner").groupBy("track_id").agg(first)
    return features.join(items, "track_id", "inner")


def content_trial(
    scaler: FeatureScaler, features: DataFrame, nexts: DataFrame, params: ContentParams, ks: Sequence[int]
) -> DataFrame:
    """Each listener's share of next tracks among the neighbours that `params` (weights, metric) give.

    Parameters
    ----------
    scaler : fitted once, on the catalogue; its own weights play no part.
    features : of `linked_features`; also what may be found.
    nexts : of `valid_plays`.
    params : what is tried out.
    ks : cut-offs; the lists are as long as the largest.

    Returns
    -------
    As `next_in_neighbours`.
    """
    vectors = scaler.reweighted(params.weights).transform(features.drop("vector")).select("item_idx", "vector")
    asking = vectors.withColumn("own_idx", F.col("item_idx"))
    return next_in_neighbours(nexts, nearest_items(asking, vectors, max(ks), params.metric), ks)


def valid_plays(run: Run, data: TrainingData, features: DataFrame, until: datetime) -> DataFrame:
    """`next_plays` of the time from `data.until` to `until`, by listeners' plays in silver.listens."""
    listens = run.lakehouse.read("silver.listens").withColumnRenamed("recording_idx", "item_idx")
    return next_plays(listens, data.until, until, features)
