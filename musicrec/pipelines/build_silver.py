"""Bronze to silver: recordings, links, growing indexes, interactions and sequences."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.runs import Run, Stage
from musicrec.transforms.indexing import new_entries
from musicrec.transforms.interactions import (
    InteractionParams,
    ItemKind,
    interactions,
    items_of_kinds,
    listens_before,
    with_indexes,
)
from musicrec.transforms.linking import link_recordings, linked_share
from musicrec.transforms.recordings import recordings, resolve_recordings
from musicrec.transforms.sequences import SequenceParams, windows

# Both kinds are always indexed: the diversity of a list of recordings is measured by its artists.
_INDEXED: tuple[ItemKind, ...] = ("recording", "artist")


def build_silver(run: Run, interaction: InteractionParams, sequence: SequenceParams, item: ItemKind) -> Stage:
    """Rebuild the silver tables from the listens before `run.day`.

    Parameters
    ----------
    interaction : kinds of items and how plays become weights.
    sequence : how windows are cut.
    item : the kind of item that sequences are made of.

    Returns
    -------
    Listens read, and rows of listens, recordings, interactions and sequences written.
    """
    lake = run.lakehouse
    received = listens_before(lake.read("bronze.listens"), run.day)
    if received.isEmpty():
        raise InputError(
            f"table bronze.listens at {lake.location('bronze.listens')}", f"listens before {run.day}", "none"
        )
    resolved = resolve_recordings(received).persist()
    try:
        lake.overwrite("silver.listens", resolved)
        lake.overwrite("silver.recordings", recordings(resolved))
    finally:
        resolved.unpersist()
    listens = lake.read("silver.listens")
    _link(run, listens)
    _grow_indexes(run, listens)

    users, items = lake.read("silver.user_index"), lake.read("silver.item_index")
    pairs = interactions(listens, interaction, run.day)
    lake.overwrite("silver.interactions", with_indexes(pairs, users, items))
    lake.overwrite("silver.sequences", windows(indexed_plays(listens, users, items, item), sequence))

    counts = {name: lake.read(f"silver.{name}").count() for name in ("listens", "recordings", "interactions")}
    counts["sequences"] = lake.read("silver.sequences").count()
    for name, count in counts.items():
        run.metric(f"rows_{name}", count)
    return Stage(counts["listens"], sum(counts.values()), ", ".join(f"{n} {c:,}" for n, c in counts.items()))


def indexed_plays(listens: DataFrame, users: DataFrame, items: DataFrame, item: ItemKind) -> DataFrame:
    """(user_id, user_idx, item_idx, listened_at, recording_msid): one row a listen, its item of the given kind."""
    indexed = with_indexes(items_of_kinds(listens, (item,)), users, items)
    return indexed.select("user_id", "user_idx", "item_idx", "listened_at", "recording_msid")


def _link(run: Run, listens: DataFrame) -> None:
    lake = run.lakehouse
    known = lake.read("silver.recordings")
    tracks, spellings = lake.read_or_empty("silver.tracks"), lake.read_or_empty("bronze.tracks")
    lake.overwrite("silver.links", link_recordings(known, tracks, spellings))
    shares = linked_share(lake.read("silver.links"), listens).collect()[0]
    for name, share in shares.asDict().items():
        run.metric(name, share or 0.0)
    run.log.info("recordings linked to tracks", **{k: round(v or 0.0, 4) for k, v in shares.asDict().items()})


def _grow_indexes(run: Run, listens: DataFrame) -> None:
    lake = run.lakehouse
    users = lake.read_or_empty("silver.user_index")
    lake.append_if_any("silver.user_index", new_entries(listens, users, "user_id", "user_idx"))
    items = lake.read_or_empty("silver.item_index")
    ids = items_of_kinds(listens, _INDEXED).select("item_kind", "item_id")
    fresh = new_entries(ids, items, "item_id", "item_idx", group="item_kind")
    lake.append_if_any("silver.item_index", fresh)
    highest = lake.read("silver.item_index").groupBy("item_kind").agg(F.max("item_idx") + 1).collect()
    for kind, count in highest:
        run.metric("items_indexed", count, kind=kind)
