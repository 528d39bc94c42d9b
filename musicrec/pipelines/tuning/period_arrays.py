"""A validation period as arrays: what a task needs to fit a model and judge its lists by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.evaluation.judged import Judged
from musicrec.evaluation.metrics import ItemFacts, measure, metric_columns
from musicrec.models.blocks import Ragged, find, read_lists
from musicrec.pipelines.lists import popularity_score
from musicrec.pipelines.settings import Shelf
from musicrec.pipelines.tuning.side_by_side import Arrays
from musicrec.pipelines.tuning.validation import Validation
from musicrec.ranking.blocks import with_blocked
from musicrec.ranking.fill import complete_one, in_order

Array = NDArray[Any]


def pair_arrays(interactions: DataFrame) -> dict[str, Array]:
    """`users`, `items` and `weights` of the interactions, by listener, then item: 16 bytes a pair on the driver."""
    kinds = {"user_idx": "int", "item_idx": "int", "weight": "double"}
    found = interactions.select(*(F.col(name).cast(kind).alias(name) for name, kind in kinds.items())).toArrow()
    users, items, weights = (found[name].to_numpy() for name in kinds)
    order = np.lexsort((items, users))
    return {"users": users[order], "items": items[order], "weights": weights[order]}


def list_arrays(period: Validation, shelf: Shelf) -> dict[str, Array]:
    """What `list_ndcg` needs beside the lists; `heard` with or without what a listener blocks, as lists are made of."""
    rows = (
        with_blocked(period.own.heard, period.own.blocked, shelf)
        .select(F.col("user_idx").cast("int"), F.col("heard").cast("array<int>").alias("heard"))
        .toArrow()
    )
    rows = rows.sort_by("user_idx").combine_chunks()
    lists = read_lists(rows["heard"].combine_chunks())
    place, is_there = find(period.judged.user_idx, rows["user_idx"].to_numpy())
    own = [lists[at] if known else lists.values[:0] for at, known in zip(place, is_there, strict=True)]
    heard, popular = ragged(own), period.data.popular.select("item_idx", popularity_score().alias("score"))
    return {
        "judged": period.judged.user_idx.astype(np.int64),
        "relevant": period.judged.relevant.values.astype(np.int32),
        "relevant_starts": period.judged.relevant.starts,
        "candidates": period.judged.candidates.astype(np.int64),
        "heard": heard.values.astype(np.int32),
        "heard_starts": heard.starts,
        "popular": in_order(popular),
        "information": period.facts.information,
        "artist": period.facts.artist,
        "is_known": period.facts.is_known,
    }


def list_ndcg(a: Arrays, lists: Sequence[Array], scores: Sequence[Array], shelf: Shelf, k: int) -> Array:
    """NDCG@k of each judged listener's list, which is filled as `lists.filled_list` fills.

    Parameters
    ----------
    a : of `list_arrays`.
    lists, scores : items and scores of each judged listener, best first.
    """
    heard = Ragged(a["heard"], a["heard_starts"])
    if shelf == "discover":
        both = enumerate(zip(lists, scores, strict=True))
        filled = [complete_one(own, reached, heard[i], a["popular"], k)[0] for i, (own, reached) in both]
    else:
        filled = [own[:k] for own in lists]
    judged = Judged(a["judged"], Ragged(a["relevant"], a["relevant_starts"]), a["candidates"])
    facts = ItemFacts(a["information"], a["artist"], a["is_known"])
    values = measure(ragged(filled), judged, np.arange(len(filled)), facts, [k])
    return np.asarray(values[list(metric_columns([k])).index(f"ndcg_{k}")])


def ragged(lists: Sequence[Array]) -> Ragged:
    """Lists laid end to end."""
    starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    return Ragged(np.concatenate(lists) if lists else np.zeros(0, np.int32), starts)
