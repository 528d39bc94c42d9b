"""The shelf `fresh`: tracks of the catalogue that no one has played, by the one top-N engine."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.io.runs import Run
from musicrec.models.embedding import EmbeddingModel
from musicrec.pipelines.feedback import blocked_artist_keys
from musicrec.pipelines.publish import load_vectors
from musicrec.pipelines.train_cold_start import ALS_CONTENT
from musicrec.pipelines.training_data import TrainingData
from musicrec.ranking.explain import explain_discover
from musicrec.ranking.filters import Filters
from musicrec.ranking.topn import top_n
from musicrec.transforms.indexing import new_entries
from musicrec.transforms.unplayed import unplayed_tracks

FRESH = "fresh"


def fresh_rows(
    run: Run, als: EmbeddingModel, data: TrainingData, users: DataFrame, n: int, cap: int
) -> DataFrame | None:
    """Rows of gold.recommendations of this shelf, without as_of and run_id; None where there is nothing to offer.

    Items are track_ids. What has been played since the model was trained is left out too. A model that is older than
    ALS lies in another space: then there is no shelf, and the log says so.

    Parameters
    ----------
    als : the newest ALS, whose listeners' vectors are used.
    users : DataFrame (user_idx, user_id).
    n : entries of each listener; 0 for no shelf.
    cap : of them, those of one artist at most.
    """
    lake = run.lakehouse
    vectors = load_vectors(run, ALS_CONTENT, "item_vectors")
    if n == 0 or not lake.exists("silver.track_features") or vectors.isEmpty():
        return None
    if _is_older_than_als(run):
        run.log.warning("fresh: no shelf, since als was trained after als_content: run train_cold_start")
        run.metric("fresh_left_out", 1)
        return None
    features = lake.read("silver.track_features")
    offered = unplayed_tracks(features, lake.read("silver.recordings"), lake.read("silver.links"))
    tracks = offered.select(
        "track_idx", "track_id", "artist_key", "name", F.col("artists")[0].alias("artist")
    ).persist()
    lists = _lists(als, vectors, tracks, data.heard.limit(0), blocked_artist_keys(run), n, cap)
    explained = _explained(lists, als, vectors, tracks, data).join(users.select("user_idx", "user_id"), "user_idx")
    return _rows(explained, tracks, data.n_items)


def _is_older_than_als(run: Run) -> bool:
    models = run.lakehouse.read("ops.models", is_input=False).where(F.col("model").isin("als", ALS_CONTENT))
    rows = models.groupBy("model").agg(F.max("trained_at").alias("at")).collect()
    newest = {row.model: row.at for row in rows}
    return ALS_CONTENT not in newest or newest[ALS_CONTENT] < newest.get("als", newest[ALS_CONTENT])


def _lists(
    als: EmbeddingModel,
    vectors: DataFrame,
    tracks: DataFrame,
    nothing: DataFrame,
    keys_out: DataFrame | None,
    n: int,
    cap: int,
) -> DataFrame:
    """(user_idx, items array<int> of track_idx, scores), at most `cap` by one artist, none by a blocked one.

    `keys_out` is (user_idx, artist_key) of the artists that a listener blocks.
    """
    keys = tracks.select("artist_key")
    none = keys.limit(0).withColumn("artist_idx", F.lit(0))
    artists = tracks.join(new_entries(keys, none, "artist_key", "artist_idx"), "artist_key", "inner")
    artists = artists.select(F.col("track_idx").alias("item_idx"), "artist_idx")
    allowed = tracks.select(F.col("track_idx").alias("item_idx"))
    model = EmbeddingModel(ALS_CONTENT, als.user_vectors, vectors)
    blocked = None
    if keys_out is not None:
        out = keys_out.join(tracks.select("artist_key", "track_idx"), "artist_key", "inner")
        blocked = out.groupBy("user_idx").agg(F.collect_set("track_idx").alias("items"))
    filters = Filters(blocked=blocked, artists=artists, artist_cap=cap)
    return top_n(model, nothing, n, "discover", allowed, filters=filters)


def _explained(
    lists: DataFrame, als: EmbeddingModel, vectors: DataFrame, tracks: DataFrame, data: TrainingData
) -> DataFrame:
    """The lists with `reasons`; track_idx are shifted behind the item_idx of recordings, so that one space holds both.

    Only what is offered to someone is put beside the recordings.
    """
    shift = F.lit(data.n_items)
    # Evaluated once: it is looked at for what is offered, and for the reasons.
    kept = lists.persist()
    shifted = kept.withColumn("items", F.transform("items", lambda item: item + shift))
    shifted = shifted.withColumn("filled", F.transform("items", lambda _: F.lit(False)))
    offered = kept.select(F.explode("items").alias("item_idx")).distinct()
    own = vectors.join(offered, "item_idx", "left_semi").withColumn("item_idx", F.col("item_idx") + shift)
    together = als.item_vectors.select("item_idx", "vector", "bias").unionByName(own)
    names = tracks.select((F.col("track_idx") + shift).alias("item_idx"), "artist")
    titles = data.items.select("item_idx", "artist").unionByName(names)
    explained = explain_discover(shifted, data.heard, together, titles, data.popular)
    return explained.withColumn("reasons", F.transform("reasons", _worded))


def _worded(reason: Column) -> Column:
    """The sentence as a track deserves it that no one has played."""
    because = F.regexp_replace(reason, "^because you play ", "sounds like what you play: ")
    return F.regexp_replace(because, "^more of (.*), which you play$", "unplayed so far, by $1, whom you play")


def _rows(lists: DataFrame, tracks: DataFrame, shift: int) -> DataFrame:
    """(shelf, user_id, rank, item, title, artist, score, model, reason)."""
    picks = F.posexplode(F.arrays_zip("items", "scores", "reasons")).alias("place", "pick")
    ranked = lists.select("user_id", picks).select("user_id", "place", "pick.*")
    named = ranked.join(F.broadcast(tracks), F.col("items") == F.col("track_idx") + shift, "inner")
    return named.select(
        F.lit(FRESH).alias("shelf"),
        "user_id",
        (F.col("place") + 1).alias("rank"),
        F.col("track_id").alias("item"),
        F.col("name").alias("title"),
        "artist",
        F.col("scores").alias("score"),
        F.lit(ALS_CONTENT).alias("model"),
        F.col("reasons").alias("reason"),
    )
