"""Bronze to silver: spellings, recordings, links, growing indexes, listens, interactions and sequences.

What is looked at one listen, spelling or recording at a time is done for the new ones only, where the last build still
stands: the outcome is that of a build from nothing.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.runs import Run, Stage
from musicrec.pipelines.earlier_build import EarlierBuild, earlier_build
from musicrec.pipelines.feedback import write_feedback
from musicrec.transforms.feedback import add_loved
from musicrec.transforms.indexing import new_entries
from musicrec.transforms.interactions import (
    InteractionParams,
    ItemKind,
    indexed_plays,
    interactions,
    listens_before,
    with_ids,
)
from musicrec.transforms.linking import link_recordings, linked_share
from musicrec.transforms.recordings import (
    SPELLING,
    add_spellings,
    count_spellings,
    recordings,
    resolve_spellings,
    same_spelling,
)
from musicrec.transforms.sequences import SequenceParams, windows

# Of so many spellings each task may hold all; of more, each holds a part, and the listens are shuffled to them.
_BROADCAST_SPELLINGS = 1_000_000


def build_silver(run: Run, interaction: InteractionParams, sequence: SequenceParams, item: ItemKind) -> Stage:
    """Bring the silver tables to the listens before `run.day`.

    Parameters
    ----------
    interaction : kinds of items and how plays become weights.
    sequence : how windows are cut.
    item : the kind of item that sequences are made of.

    Returns
    -------
    Listens, and rows of listens, recordings, interactions and sequences.
    """
    lake = run.lakehouse
    received = listens_before(lake.read("bronze.listens"), run.day)
    expected = received.count()
    if not expected:
        raise InputError(
            f"table bronze.listens at {lake.location('bronze.listens')}", f"listens before {run.day}", "none"
        )
    earlier = earlier_build(run)
    found = _resolve(run, received, earlier)
    if earlier and found != expected:
        run.log.warning("silver is built from nothing: the earlier one lacks rows", found=found, expected=expected)
        earlier = None
        _resolve(run, received, None)
    _link(run, earlier)

    listens = lake.read("silver.listens")
    pairs = interactions(listens, interaction, run.day)
    if write_feedback(run):
        pairs = add_loved(pairs, lake.read("silver.feedback"), interaction)
    lake.overwrite(
        "silver.interactions", with_ids(pairs, lake.read("silver.user_index"), lake.read("silver.item_index"))
    )
    lake.overwrite("silver.sequences", windows(indexed_plays(listens, item), sequence))

    counts = {name: lake.read(f"silver.{name}").count() for name in ("listens", "recordings", "interactions")}
    counts["sequences"] = lake.read("silver.sequences").count()
    for name, count in counts.items():
        run.metric(f"rows_{name}", count)
    return Stage(counts["listens"], sum(counts.values()), ", ".join(f"{n} {c:,}" for n, c in counts.items()))


def _resolve(run: Run, received: DataFrame, earlier: EarlierBuild | None) -> int:
    """Spellings, recordings, indexes and listens; gives the number of silver.listens."""
    lake = run.lakehouse
    fresh = earlier.unseen(received) if earlier else received
    counted = count_spellings(fresh).persist()
    try:
        if earlier:
            known = lake.read("silver.spellings")
            lake.overwrite("silver.spellings", add_spellings(known, counted))
        else:
            lake.overwrite("silver.spellings", resolve_spellings(counted))
        spellings = lake.read("silver.spellings")
        lake.overwrite("silver.recordings", recordings(spellings))
        _grow_indexes(run, fresh, spellings)
        listens = _resolved(run, fresh, counted, spellings)
        if earlier:
            lake.append("silver.listens", listens)
        else:
            lake.overwrite("silver.listens", listens)
    finally:
        counted.unpersist()
    return lake.read("silver.listens").count()


def _resolved(run: Run, fresh: DataFrame, counted: DataFrame, spellings: DataFrame) -> DataFrame:
    """silver.listens of the rows `fresh` of bronze.listens."""
    lake = run.lakehouse
    index = lake.read("silver.item_index")
    wanted = spellings.alias("s").join(counted.select(*SPELLING).alias("c"), same_spelling("s", "c"), "left_semi")
    for kind in ("recording", "artist"):
        of_kind = index.where(F.col("item_kind") == kind).select(
            F.col("item_id").alias(f"{kind}_id"), F.col("item_idx").alias(f"{kind}_idx")
        )
        wanted = wanted.join(of_kind, f"{kind}_id", "inner")
    ids = ["recording_id", "artist_id", "recording_idx", "artist_idx"]
    wanted = wanted.select(*SPELLING, *ids)
    named = wanted.hint("broadcast" if counted.count() <= _BROADCAST_SPELLINGS else "shuffle_hash")
    joined = fresh.alias("l").join(named.alias("s"), same_spelling("l", "s"), "inner")
    listens = joined.select("user_id", "listened_at", "recording_msid", *ids)
    return listens.join(lake.read("silver.user_index"), "user_id", "inner")


def _link(run: Run, earlier: EarlierBuild | None) -> None:
    """Link the recordings to tracks; only those that are new or otherwise named, if the catalogues are the same."""
    lake = run.lakehouse
    known = lake.read("silver.recordings")
    tracks, spellings = lake.read_or_empty("silver.tracks"), lake.read_or_empty("bronze.tracks")
    before = earlier.links(run) if earlier else None
    if before is None:
        lake.overwrite("silver.links", link_recordings(known, tracks, spellings))
    else:
        names = ("recording_id", "artist_name", "title")
        changed = known.select(*names).join(before.recordings.select(*names), list(names), "left_anti").persist()
        standing = before.links.join(changed, "recording_id", "left_anti")
        links = standing.unionByName(link_recordings(changed, tracks, spellings))
        lake.overwrite("silver.links", links)
        changed.unpersist()
    shares = linked_share(lake.read("silver.links"), known).collect()[0]
    for name, share in shares.asDict().items():
        run.metric(name, share or 0.0)
    run.log.info("recordings linked to tracks", **{k: round(v or 0.0, 4) for k, v in shares.asDict().items()})


def _grow_indexes(run: Run, fresh: DataFrame, spellings: DataFrame) -> None:
    lake = run.lakehouse
    users = lake.read_or_empty("silver.user_index")
    lake.append_if_any("silver.user_index", new_entries(fresh, users, "user_id", "user_idx"))
    items = lake.read_or_empty("silver.item_index")
    # Both kinds are always indexed: the diversity of a list of recordings is measured by its artists.
    kinds = [
        spellings.select(F.lit(kind).alias("item_kind"), F.col(f"{kind}_id").alias("item_id")).distinct()
        for kind in ("recording", "artist")
    ]
    numbered = new_entries(kinds[0].union(kinds[1]), items, "item_id", "item_idx", group="item_kind")
    lake.append_if_any("silver.item_index", numbered)
    highest = lake.read("silver.item_index").groupBy("item_kind").agg(F.max("item_idx") + 1).collect()
    for kind, count in highest:
        run.metric("items_indexed", count, kind=kind)
