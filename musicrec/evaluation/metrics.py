"""What each listener's list is worth, from the formulas, in one vectorised pass over all lists.

For one listener: R = the relevant items, L = the list, h(i) = 1 where the item at rank i is relevant, else 0,
H(k) = h(1) + ... + h(k). A list that ends before k is counted as it is: ranks that are not there are misses.

- recall@k = H(k) / |R|; precision@k = H(k) / k; f1@k = 2 H(k) / (|R| + k), their harmonic mean; hit_rate@k = H(k) > 0
- ndcg@k = sum h(i) / log2(i + 1) over the same sum for the first min(|R|, k) ranks (Järvelin and Kekäläinen 2002)
- map@k = sum h(i) H(i) / i / min(|R|, k); mrr@k = 1 / rank of the first relevant item, 0 where that is beyond k
- auc = the share of pairs (relevant, other candidate) in the right order. Candidates that are not listed are tied
  below the list, and a tied pair counts half: a listener without a list has 0.5.
- novelty@k = mean of -log2(plays of the item / all plays) over the listed items (Vargas and Castells 2011, self-
  information); an item without plays counts as played once
- diversity@k = the share of pairs of listed items by different artists (intra-list distance, Ziegler et al. 2005)

Null where a metric is not defined, and left out of its mean: novelty of an empty list, diversity of a list with fewer
than two items, auc where every candidate is relevant. All else is 0 for a judged listener without a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.core.broadcast import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.evaluation.judged import Judged, judged_lists, read_judged
from musicrec.models.blocks import Ragged

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RANK_METRICS = ("recall", "precision", "f1", "ndcg", "map", "mrr", "hit_rate", "novelty", "diversity")


def metric_columns(ks: Sequence[int]) -> dict[str, tuple[str, int]]:
    """Column of `listener_metrics` → the metric's name and cut-off; 0 for auc, which has none."""
    return {f"{metric}_{k}": (metric, k) for k in ks for metric in RANK_METRICS} | {"auc": ("auc", 0)}


@dataclass(frozen=True)
class ItemFacts:
    """What the metrics need of every item, at place item_idx.

    Attributes
    ----------
    information : [items + 1] bits, -log2 of the item's share of all plays; the last place is for an unknown item.
    artist : [items] artist_idx; an item without an artist has a number of its own.
    is_known : [items] whether the catalogue has the item.
    """

    information: Floats
    artist: Ints
    is_known: NDArray[np.bool_]

    @classmethod
    def of(cls, item_idx: Ints, plays: Floats, artist_idx: Floats) -> ItemFacts:
        """From parallel arrays, one place an item; artist_idx is NaN where it is not known."""
        total = max(plays.sum(), 1.0)
        width = int(item_idx.max(initial=-1)) + 1
        information = np.full(width + 1, np.log2(total))
        information[item_idx] = -np.log2(np.maximum(plays, 1) / total)
        # artist_idx start at 0; from -1 down each number is one item's own.
        artist = -1 - np.arange(width, dtype=np.int64)
        has_artist = ~np.isnan(artist_idx)
        artist[item_idx[has_artist]] = artist_idx[has_artist].astype(np.int64)
        is_known = np.zeros(width, np.bool_)
        is_known[item_idx] = True
        return cls(information, artist, is_known)

    @classmethod
    def collect(cls, items: DataFrame) -> ItemFacts:
        """From DataFrame (item_idx, plays, artist_idx), one row an item; 17 bytes an item on the driver."""
        plays = F.coalesce(F.col("plays"), F.lit(0)).cast("double").alias("plays")
        rows = items.select(F.col("item_idx").cast("long"), plays, F.col("artist_idx").cast("double")).toArrow()
        return cls.of(*(rows[name].to_numpy() for name in ("item_idx", "plays", "artist_idx")))


def measure(lists: Ragged, judged: Judged, rows: Ints, facts: ItemFacts, ks: Sequence[int]) -> Floats:
    """Every metric of every list.

    Parameters
    ----------
    lists : item_idx of each list, best first; an item that comes again is a hit only the first time.
    judged : the listeners.
    rows : [lists] whose list it is: the place in `judged`.
    facts : of the items.
    ks : the cut-offs, ascending, each once.

    Returns
    -------
    [columns, lists], the columns those of `metric_columns(ks)`; NaN where a metric is not defined.
    """
    from musicrec.evaluation.metric_kernels import measure_lists

    discount = np.concatenate([[0.0], 1 / np.log2(np.arange(2, ks[-1] + 2))])
    values = np.empty((len(RANK_METRICS) * len(ks) + 1, len(lists)))
    measure_lists(
        *(np.ascontiguousarray(lists.values, np.int32), lists.starts),
        *(np.ascontiguousarray(judged.relevant.values, np.int32), judged.relevant.starts),
        *(np.ascontiguousarray(judged.candidates, np.int64), rows),
        *(facts.information, facts.artist),
        *(np.array(ks, np.int64), discount, np.cumsum(discount), values),
    )
    return values


def listener_metrics(
    lists: DataFrame,
    relevant: DataFrame,
    items: DataFrame,
    ks: Sequence[int] = (10, 50),
    models: Sequence[str] | None = None,
) -> DataFrame:
    """Every metric for every model and judged listener, with or without a list.

    Parameters
    ----------
    lists : DataFrame (model, user_idx, items array<int>, best first), at most one row a model and listener.
    relevant : DataFrame (user_idx, relevant array<int>, candidates long), see `splits.with_candidates`.
    items : DataFrame (item_idx, plays, artist_idx) of the training period; collected, one row an item.
    ks : the cut-offs.
    models : the models to judge; where not given, `lists` is read once more to find their names.

    Returns
    -------
    DataFrame (model, user_idx, relevant int, listed int, one double column each of `metric_columns(ks)`).
    """
    facts = relevant.sparkSession.sparkContext.broadcast(ItemFacts.collect(items))
    doubles = "".join(f", {column} double" for column in metric_columns(ks))
    schema = f"model string, user_idx int, relevant int, listed int{doubles}"
    return judged_lists(lists, relevant, models).mapInArrow(_measurer(facts, tuple(ks)), schema)


def _measurer(
    facts: Broadcast[ItemFacts], ks: tuple[int, ...]
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def measured(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        cuts = sorted(set(ks))
        for batch in batches:
            lists, judged = read_judged(batch)
            found = measure(lists, judged, np.arange(len(lists)), facts.value, cuts)
            columns = dict(zip(metric_columns(cuts), found, strict=True))
            values = [pa.array(columns[name], mask=np.isnan(columns[name])) for name in metric_columns(ks)]
            counts = [pa.array(np.diff(ragged.starts), pa.int32()) for ragged in (judged.relevant, lists)]
            names = ["model", "user_idx", "relevant", "listed", *metric_columns(ks)]
            yield pa.RecordBatch.from_arrays([batch["model"], batch["user_idx"], *counts, *values], names=names)

    return measured
