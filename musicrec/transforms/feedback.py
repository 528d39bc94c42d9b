"""Feedback: which statements can be right, what they are about, and what stands of them at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.transforms.bounds import LONGEST_ID, LONGEST_NAME, is_longer, kept_text
from musicrec.transforms.ids import mbid_column, mbids_column, mbids_of_list, msid_column
from musicrec.transforms.interactions import InteractionParams, ItemKind, weight_of_one_play
from musicrec.transforms.numbers import decimal
from musicrec.transforms.text import artist_key_column, trimmed
from musicrec.transforms.times import TIME_REASONS, instant_of, stamp_of, time_faults

# `malformed`: the line could not be parsed at all; `undecoded`: it holds bytes that are not UTF-8; `file`: where it
# stood; `row`: the line as received.
RAW_COLUMNS = {
    "user_id": "string",
    "user_name": "string",
    "recording_msid": "string",
    "recording_mbid": "string",
    "artist_mbid": "string",
    "artist_name": "string",
    "score": "string",
    "feedback": "string",
    "created": "string",
    "malformed": "boolean",
    "undecoded": "boolean",
    "file": "string",
    "row": "string",
}

REASONS = ("malformed", "bad_encoding", "too_long", "missing_user", "missing_item", "bad_score", *TIME_REASONS)

LOVE, REMOVED, HATE = 1, 0, -1

# What ListenBrainz' rating of a recommendation says of the recording.
_RATINGS = {"love": LOVE, "like": LOVE, "dislike": HATE, "hate": HATE, "bad_recommendation": HATE}
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
# What tells two statements apart.
_SAID = (
    "item_kind",
    "user_id",
    "user_name",
    "recording_msid",
    "recording_mbid",
    "artist_mbid",
    "artist_name",
    "score",
    "created_at",
)


def judge(raw: DataFrame, now: datetime) -> DataFrame:
    """The columns of bronze.feedback that follow from a line, `reason` and `row`.

    `reason` says why a line cannot be right, several joined by commas in the order of `REASONS`; null = it can.
    `item_kind` is `recording`, `artist`, or `user` for a line that says whose name a name is. A recording's score is
    1, -1 or 0; an artist is blocked by -1, which may be left out, and allowed again by 0. Nothing was said after
    `now`, the run's clock.
    """
    texts = {
        name: trimmed(F.col(name)) for name in ("user_id", "user_name", "artist_name", "score", "feedback", "created")
    }
    ids = {
        "recording_msid": F.lower(msid_column(F.col("recording_msid"))),
        "recording_mbid": mbid_column(F.col("recording_mbid")),
        # A joint credit's MBIDs, with commas: all of its artists are meant.
        "artist_mbid": F.array_join(mbids_column(F.col("artist_mbid")), ","),
    }
    said = raw.withColumns({**texts, **ids})
    of_recording = F.coalesce("recording_msid", "recording_mbid").isNotNull()
    of_artist = F.coalesce("artist_mbid", "artist_name").isNotNull()
    of_user = F.col("user_id").isNotNull() & F.col("user_name").isNotNull() & F.coalesce("score", "feedback").isNull()
    kind = F.when(of_recording, "recording").when(of_artist, "artist").when(of_user, "user")
    created = F.col("created")
    created_at = instant_of(created, whole_days=True)
    said = said.withColumns({"item_kind": kind, "score": _score(kind), "created_at": created_at})
    undecoded = F.coalesce("undecoded", F.lit(False))
    readable, needs_more = ~F.col("malformed") & ~undecoded, F.col("item_kind") != "user"
    faults = {
        "malformed": F.col("malformed") & ~undecoded,
        "bad_encoding": undecoded,
        "too_long": readable & _is_too_long(),
        "missing_user": readable & F.coalesce("user_id", "user_name").isNull(),
        "missing_item": readable & F.col("item_kind").isNull(),
        "bad_score": readable & needs_more & F.col("score").isNull(),
    }
    of_time = time_faults(F.col("created_at"), stamp_of(created, whole_days=True), _EARLIEST, now, now)
    faults |= {name: readable & needs_more & is_so for name, is_so in of_time.items()}
    reason = F.concat_ws(",", *[F.when(faults[name], F.lit(name)) for name in REASONS])
    judged = said.withColumns(
        {
            "reason": F.when(reason != "", reason),
            "row": kept_text(F.col("row")),
            "statement_id": F.md5(F.to_json(F.struct(*_SAID), {"ignoreNullFields": "false"})),
        }
    )
    return judged.select(*_SAID, "statement_id", "reason", "file", "row")


def said_before(statements: DataFrame, until: datetime) -> DataFrame:
    """What of bronze.feedback was said, and not silently withdrawn, before `until`; user names come along.

    A dump holds all that stood when it was made: of the recordings' statements made before the newest dump (before
    `until`) only those that it holds count. Names count whenever they were learnt.
    """
    is_name = F.col("item_kind") == "user"
    early = statements.where(is_name | (F.col("created_at") < F.lit(until)))
    dumps = statements.where(F.col("snapshot_at") <= F.lit(until))
    newest = dumps.agg(F.max(F.struct("snapshot_at", "source_id")).alias("dump"))
    is_told = F.col("dump").isNull() | (F.col("item_kind") != "recording")
    still_there = (F.col("source_id") == F.col("dump.source_id")) | (F.col("created_at") >= F.col("dump.snapshot_at"))
    return early.crossJoin(F.broadcast(newest)).where(is_told | still_there).drop("dump")


def standing(
    statements: DataFrame, listens: DataFrame, spellings: DataFrame, user_index: DataFrame, item_index: DataFrame
) -> DataFrame:
    """silver.feedback: what each listener last said of each recording and artist, without what they took back.

    A statement counts for every recording or artist that it names, by msid, MBID or normalised artist name, and that
    someone has played; the newest of a listener on an item wins, of those of one second the lowest score.

    Parameters
    ----------
    statements : the result of `said_before`.
    listens, spellings, user_index, item_index : of silver.
    """
    who = _with_listener(statements, user_index)
    named = _recordings(who, listens).unionByName(_artists(who, spellings))
    indexed = named.join(item_index, ["item_kind", "item_id"], "inner")
    order = F.struct("at", (-F.col("score")).alias("less"))
    last = indexed.groupBy("user_id", "user_idx", "item_kind", "item_id", "item_idx").agg(
        F.max(order).alias("last"),
    )
    scored = last.withColumns({"at": F.col("last.at"), "score": -F.col("last.less")}).drop("last")
    return scored.where(F.col("score") != REMOVED)


def blocked_items(feedback: DataFrame, items: DataFrame, item: ItemKind) -> DataFrame:
    """(user_idx, blocked array<int>, ascending): the items that a listener hates, and all of the artists they block.

    Parameters
    ----------
    feedback : silver.feedback.
    items : (item_idx, artist_idx) of the items of the kind `item`.
    """
    hated = feedback.where(F.col("score") == HATE).select("user_idx", "item_kind", F.col("item_idx").alias("idx"))
    own = hated.where(F.col("item_kind") == item).select("user_idx", F.col("idx").alias("item_idx"))
    artists = hated.where(F.col("item_kind") == "artist").select("user_idx", F.col("idx").alias("artist_idx"))
    theirs = artists.join(items, "artist_idx", "inner").select("user_idx", "item_idx")
    blocked = F.array_sort(F.collect_set("item_idx")).alias("blocked")
    return own.union(theirs).groupBy("user_idx").agg(blocked)


def add_loved(pairs: DataFrame, feedback: DataFrame, params: InteractionParams) -> DataFrame:
    """Interactions in which love counts.

    The weight of a loved item that was played is multiplied by 1 + love_weight. One that this listener has not played,
    but someone has, becomes an interaction with 0 plays, at the time of the statement, that weighs love_weight single
    plays; so models learn from it, and it is still new to the listener.

    Parameters
    ----------
    pairs : (item_kind, user_idx, item_idx, plays, first_listened_at, last_listened_at, weight), as of `interactions`.
    feedback : silver.feedback.
    """
    key = ["item_kind", "user_idx", "item_idx"]
    loved = feedback.where((F.col("score") == LOVE) & F.col("item_kind").isin(*params.kinds)).select(*key, "at")
    joined = pairs.join(F.broadcast(loved), key, "left")
    raised = F.round(F.col("weight") * (1.0 + params.love_weight), 9)
    heard = joined.withColumn("weight", F.when(F.col("at").isNotNull(), raised).otherwise(F.col("weight"))).drop("at")
    if not params.love_weight:
        return heard
    known = pairs.select("item_kind", "item_idx").distinct()
    new = loved.join(pairs, key, "left_anti").join(known, ["item_kind", "item_idx"], "left_semi")
    new = new.join(pairs.select("user_idx").distinct(), "user_idx", "left_semi")
    told = new.select(
        *key,
        F.lit(0).cast("long").alias("plays"),
        F.col("at").alias("first_listened_at"),
        F.col("at").alias("last_listened_at"),
        F.lit(round(params.love_weight * weight_of_one_play(params.confidence), 9)).alias("weight"),
    )
    return heard.unionByName(told)


def _is_too_long() -> Column:
    bounds = dict.fromkeys(("user_id", "user_name", "recording_msid", "recording_mbid"), LONGEST_ID)
    bounds |= dict.fromkeys(("artist_mbid", "artist_name"), LONGEST_NAME)
    return reduce(Column.__or__, [is_longer(F.col(name), longest) for name, longest in bounds.items()])


def _score(kind: Column) -> Column:
    """1, 0 or -1; null where it is none of them, or love of an artist, which has no meaning here."""
    given = F.coalesce("score", "feedback")
    number = decimal(given)
    rating = F.create_map(*[F.lit(x) for pair in _RATINGS.items() for x in pair])[F.lower(given)]
    score = F.when(number.isin(-1.0, 0.0, 1.0), number.cast("int")).when(number.isNull(), rating)
    blocked = F.when(given.isNull(), F.lit(HATE)).when(score <= REMOVED, score)
    return F.when(kind == "artist", blocked).otherwise(score)


def _with_listener(statements: DataFrame, user_index: DataFrame) -> DataFrame:
    """The statements of listeners who have listens, with user_id as the listens have it, and user_idx.

    A name that some line gave an id to stands for that id (the last one in the order of text, where there are several);
    else the id, else the name, is taken as it is.
    """
    is_name = F.col("item_kind") == "user"
    names = (
        statements.where(is_name).groupBy(F.lower("user_name").alias("name")).agg(F.max("user_id").alias("named_id"))
    )
    said = statements.where(~is_name).withColumn("name", F.lower(F.coalesce("user_name", "user_id")))
    known = said.join(F.broadcast(names), "name", "left")
    who = known.withColumn("user_id", F.coalesce("named_id", "user_id", "user_name"))
    told = who.select("user_id", "item_kind", *_SAID[3:8], F.col("created_at").alias("at"))
    return told.join(user_index, "user_id", "inner")


def _recordings(who: DataFrame, listens: DataFrame) -> DataFrame:
    # Statements that were taken in by an earlier version hold ids as they came.
    ids = {
        "recording_msid": F.lower(msid_column(F.col("recording_msid"))),
        "recording_mbid": mbid_column(F.col("recording_mbid")),
    }
    said = who.where(F.col("item_kind") == "recording").withColumns(ids)
    msids = said.select(F.col("recording_msid").alias("msid")).distinct()
    met = listens.select(F.lower("recording_msid").alias("msid"), "recording_id")
    met = met.join(F.broadcast(msids), "msid", "left_semi").distinct()
    by_msid = said.join(met, F.col("recording_msid") == F.col("msid"), "inner")
    of_msid = by_msid.select(*_NAMED, F.col("recording_id").alias("item_id"))
    of_mbid = said.where("recording_mbid IS NOT NULL").select(*_NAMED, F.col("recording_mbid").alias("item_id"))
    return of_msid.unionByName(of_mbid)


def _artists(who: DataFrame, spellings: DataFrame) -> DataFrame:
    said = who.where(F.col("item_kind") == "artist")
    by_key = spellings.select("artist_key", "artist_id").distinct()
    by_mbid = spellings.select(F.explode(mbids_of_list(F.col("artist_mbids"))).alias("mbid"), "artist_id").distinct()
    spelt = said.where("artist_name IS NOT NULL").withColumn("artist_key", artist_key_column(F.col("artist_name")))
    of_name = spelt.where("artist_key != ''").join(by_key, "artist_key", "inner")
    of_mbid = said.withColumn("mbid", F.explode(mbids_column(F.col("artist_mbid")))).join(by_mbid, "mbid", "inner")
    found = of_name.select(*_NAMED, "artist_id").unionByName(of_mbid.select(*_NAMED, "artist_id"))
    return found.select(*_NAMED, F.col("artist_id").alias("item_id"))


_NAMED = ("user_id", "user_idx", "item_kind", "score", "at")
