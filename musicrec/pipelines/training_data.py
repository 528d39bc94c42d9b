"""What models are fitted on. The nightly's models and the ones under evaluation get it from here, by the same code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError, TooLittleError
from musicrec.evaluation.baselines import popularity
from musicrec.io.runs import Run
from musicrec.pipelines.feedback import feedback_before
from musicrec.transforms.feedback import add_loved, blocked_items
from musicrec.transforms.interactions import InteractionParams, ItemKind, heard_items, indexed_plays, interactions


@dataclass(frozen=True)
class TrainingData:
    """Everything before `until`, for one kind of item.

    Attributes
    ----------
    plays : (user_id, user_idx, item_idx, listened_at, recording_msid), one row a listen.
    interactions : (user_idx, item_idx, plays, first_listened_at, last_listened_at, weight).
    heard : (user_idx, heard array<int>).
    blocked : (user_idx, blocked array<int>), hated or of a blocked artist; None where there is none.
    popular : (item_idx, listeners, plays) of every item that was played.
    sequences : silver.sequences, whose plays carry their times; cut by time when it is used.
    sequences_version : its Delta version.
    items : (item_idx, item_id, title, artist, artist_idx) of every indexed item of the kind.
    users : (user_idx, user_id) of every listener with a play.
    n_items : item_idx run from 0 to n_items - 1.
    until : the end of what may be learnt from.
    """

    plays: DataFrame
    interactions: DataFrame
    heard: DataFrame
    popular: DataFrame
    sequences: DataFrame
    sequences_version: int
    items: DataFrame
    users: DataFrame
    n_items: int
    until: datetime
    blocked: DataFrame | None = None


def midnight(day: date) -> datetime:
    """The start of a day, UTC."""
    return datetime.combine(day, time(), UTC)


def training_data(
    run: Run, item: ItemKind, params: InteractionParams, until: datetime | None = None, *, read_often: bool = True
) -> TrainingData:
    """What may be learnt from before `until`, by default all of silver.

    With `read_often` it is persisted, since each scan of a Delta table plans its files anew; that costs as much as a
    few scans.

    Raises
    ------
    InputError : silver was built without this kind of item, or holds no play.
    TooLittleError : nothing was played before `until`.
    """
    lake = run.lakehouse
    users, items = lake.read("silver.user_index"), lake.read("silver.item_index")
    listens = lake.read("silver.listens")
    feedback = feedback_before(run, until) if until else _standing_feedback(run)
    if until is None:
        pairs = lake.read("silver.interactions").where(F.col("item_kind") == item)
    else:
        listens = listens.where(F.col("listened_at") < F.lit(until))
        only = params.model_copy(update={"kinds": (item,)})
        pairs = interactions(listens, only, until.date())
        pairs = pairs if feedback is None else add_loved(pairs, feedback, only)
    columns = ("user_idx", "item_idx", "plays", "first_listened_at", "last_listened_at", "weight")
    pairs = pairs.select(*columns)
    pairs = pairs.persist() if read_often else pairs
    if pairs.isEmpty():
        where = f"table silver.interactions at {lake.location('silver.interactions')}"
        kind = TooLittleError if until else InputError
        raise kind(where, f"plays of item kind {item} before {until or midnight(run.day)}", "none")
    sequences = lake.read("silver.sequences")
    facts = item_facts(lake.read("silver.recordings"), items, item).persist()
    return TrainingData(
        plays=indexed_plays(listens, item),
        interactions=pairs,
        heard=heard_items(pairs).persist(),
        popular=popularity(pairs.where("plays > 0")).persist(),
        sequences=sequences,
        sequences_version=lake.versions_read["silver.sequences"],
        items=facts,
        users=users.join(pairs.select("user_idx").distinct(), "user_idx", "left_semi").persist(),
        n_items=items.where(F.col("item_kind") == item).agg(F.max("item_idx")).collect()[0][0] + 1,
        until=until or midnight(run.day),
        blocked=None if feedback is None else blocked_items(feedback, facts, item).persist(),
    )


def _standing_feedback(run: Run) -> DataFrame | None:
    if not run.lakehouse.exists("silver.feedback"):
        return None
    feedback = run.lakehouse.read("silver.feedback")
    return None if feedback.isEmpty() else feedback


def item_facts(recordings: DataFrame, item_index: DataFrame, item: ItemKind) -> DataFrame:
    """(item_idx, item_id, title, artist, artist_idx) of the items of a kind; an artist's title is null."""
    of_kind = item_index.where(F.col("item_kind") == item).select("item_id", "item_idx")
    artists = item_index.where(F.col("item_kind") == "artist").select(
        F.col("item_id").alias("artist_id"), F.col("item_idx").alias("artist_idx")
    )
    facts = recordings.join(artists, "artist_id", "inner")
    if item == "artist":
        # An artist's spelling is that of its most played recording.
        first = F.max_by("artist_name", F.struct("plays", "recording_id")).alias("artist")
        facts = facts.groupBy("artist_id", "artist_idx").agg(first)
        facts = facts.select(
            F.col("artist_id").alias("item_id"), F.lit(None).cast("string").alias("title"), "artist", "artist_idx"
        )
    else:
        facts = facts.select(
            F.col("recording_id").alias("item_id"), "title", F.col("artist_name").alias("artist"), "artist_idx"
        )
    return of_kind.join(facts, "item_id", "inner").select("item_idx", "item_id", "title", "artist", "artist_idx")
