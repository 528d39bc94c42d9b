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
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.core.broadcast import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RANK_METRICS = ("recall", "precision", "f1", "ndcg", "map", "mrr", "hit_rate", "novelty", "diversity")


def metric_columns(ks: Sequence[int]) -> dict[str, tuple[str, int]]:
    """Column of `listener_metrics` → the metric's name and cut-off; 0 for auc, which has none."""
    return {f"{metric}_{k}": (metric, k) for k in ks for metric in RANK_METRICS} | {"auc": ("auc", 0)}


@dataclass(frozen=True)
class ItemFacts:
    """What novelty and diversity need of every item, at place item_idx.

    Attributes
    ----------
    information : [items + 1] bits, -log2 of the item's share of all plays; the last place is for an unknown item.
    artist : [items] artist_idx; an item without an artist has a number of its own.
    """

    information: Floats
    artist: Ints

    @classmethod
    def of(cls, item_idx: Ints, plays: Floats, artist_idx: Floats) -> ItemFacts:
        """From parallel arrays, one place an item; artist_idx is NaN where it is not known."""
        total = max(plays.sum(), 1.0)
        width = int(item_idx.max(initial=-1)) + 1
        information = np.full(width + 1, np.log2(total))
        information[item_idx] = -np.log2(np.maximum(plays, 1) / total)
        artist = _own_number(np.arange(width))
        has_artist = ~np.isnan(artist_idx)
        artist[item_idx[has_artist]] = artist_idx[has_artist].astype(np.int64)
        return cls(information, artist)

    def information_of(self, items: Ints) -> Floats:
        """Bits, [items]."""
        bits: Floats = self.information[np.minimum(items, len(self.artist))]
        return bits

    def artist_of(self, items: Ints) -> Ints:
        """Artist numbers, [items]."""
        artist = _own_number(items)
        is_known = items < len(self.artist)
        artist[is_known] = self.artist[items[is_known]]
        return artist


@dataclass(frozen=True)
class Ranked:
    """Many lists, one after another, and which of their items are relevant.

    Attributes
    ----------
    items : [listed] item_idx of all lists.
    lengths : [lists] how many items each list has.
    hits : [listed] whether the item is relevant; one that comes again in its list is a hit only the first time.
    relevant : [lists] how many relevant items there are.
    """

    items: Ints
    lengths: Ints
    hits: NDArray[np.bool_]
    relevant: Ints

    @classmethod
    def of(cls, items: Ints, lengths: Ints, relevant_items: Ints, relevant_lengths: Ints) -> Ranked:
        """Mark the hits of flat lists, given the flat sets of relevant items in the same order of listeners."""
        width = max(items.max(initial=0), relevant_items.max(initial=0)) + 1
        listed = _owners(lengths) * width + items
        is_first = np.zeros(len(items), dtype=bool)
        is_first[np.unique(listed, return_index=True)[1]] = True
        hits = np.isin(listed, _owners(relevant_lengths) * width + relevant_items) & is_first
        return cls(items, lengths, hits, relevant_lengths)

    @cached_property
    def owners(self) -> Ints:
        """[listed] which list an item belongs to."""
        return _owners(self.lengths)

    @cached_property
    def ranks(self) -> Ints:
        """[listed] the item's rank in its list, from 1."""
        return np.arange(1, len(self.items) + 1) - np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)

    @cached_property
    def hits_so_far(self) -> Ints:
        """[listed] H(rank): the hits of the list up to and with this item."""
        running = np.concatenate([[0], np.cumsum(self.hits)])
        starts = np.cumsum(self.lengths) - self.lengths
        so_far: Ints = running[1:] - np.repeat(running[starts], self.lengths)
        return so_far

    def total(self, values: NDArray[np.generic]) -> Floats:
        """Sum by list of one value a listed item, [lists]."""
        weights = values.astype(np.float64)
        sums: Floats = np.bincount(self.owners, weights=weights, minlength=len(self.lengths)).astype(np.float64)
        return sums


def accuracy_at(ranked: Ranked, k: int) -> dict[str, Floats]:
    """Recall, precision, F1, NDCG, MAP, MRR and hit rate of each list at k; formulas in the module's docstring."""
    ranks, so_far = ranked.ranks, ranked.hits_so_far
    hits = ranked.hits & (ranks <= k)
    found = ranked.total(hits)
    ideal = np.minimum(ranked.relevant, k)
    best_gain = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    return {
        "recall": found / ranked.relevant,
        "precision": found / k,
        "f1": 2 * found / (ranked.relevant + k),
        "ndcg": ranked.total(hits / np.log2(ranks + 1)) / best_gain[ideal],
        "map": ranked.total(hits * so_far / ranks) / ideal,
        "mrr": ranked.total((hits & (so_far == 1)) / ranks),
        "hit_rate": (found > 0).astype(np.float64),
    }


def auc(ranked: Ranked, candidates: Ints) -> Floats:
    """Area under the ROC curve over all candidates of each list; NaN where there is no pair to compare."""
    others = candidates - ranked.relevant
    misses_above = ranked.ranks - ranked.hits_so_far
    found = ranked.total(ranked.hits)
    wins = found * others - ranked.total(ranked.hits * misses_above)
    unlisted_pairs = (ranked.relevant - found) * (others - (ranked.lengths - found))
    pairs = (ranked.relevant * others).astype(np.float64)
    return np.divide(wins + unlisted_pairs / 2, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def variety_at(ranked: Ranked, facts: ItemFacts, k: int) -> dict[str, Floats]:
    """Novelty and artist diversity of each list's first k items; NaN where not defined."""
    is_within = ranked.ranks <= k
    length = np.minimum(ranked.lengths, k).astype(np.float64)
    novelty = ranked.total(facts.information_of(ranked.items) * is_within)
    owners, artists = ranked.owners[is_within], facts.artist_of(ranked.items[is_within])
    span = artists.max(initial=0) - artists.min(initial=0) + 1
    list_artists, times = np.unique(owners * span + artists - artists.min(initial=0), return_counts=True)
    same = np.bincount(list_artists // span, weights=times * (times - 1.0), minlength=len(length))
    pairs = length * (length - 1)
    undefined = np.full(len(length), np.nan)
    return {
        "novelty": np.divide(novelty, length, out=undefined.copy(), where=length > 0),
        "diversity": 1 - np.divide(same, pairs, out=undefined, where=pairs > 0),
    }


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
    spark = relevant.sparkSession
    if models is None:
        names = lists.select("model").distinct()
    else:
        names = spark.createDataFrame([(name,) for name in models], "model string")
    judged = relevant.select("user_idx", "relevant", "candidates").crossJoin(F.broadcast(names))
    joined = judged.join(lists.select("model", "user_idx", "items"), ["model", "user_idx"], how="left")
    listed = F.coalesce(F.col("items"), F.array().cast("array<int>")).cast("array<int>").alias("items")
    rows = joined.select("model", "user_idx", F.col("relevant").cast("array<int>"), "candidates", listed)
    facts = spark.sparkContext.broadcast(_collect_facts(items))
    doubles = "".join(f", {column} double" for column in metric_columns(ks))
    schema = f"model string, user_idx int, relevant int, listed int{doubles}"
    return rows.mapInArrow(_measurer(facts, tuple(ks)), schema)


def _measurer(
    facts: Broadcast[ItemFacts], ks: tuple[int, ...]
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def measure(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            items, lengths = _flat(batch["items"])
            ranked = Ranked.of(items, lengths, *_flat(batch["relevant"]))
            columns = {"auc": auc(ranked, batch["candidates"].to_numpy(zero_copy_only=False))}
            for k in ks:
                at_k = accuracy_at(ranked, k) | variety_at(ranked, facts.value, k)
                columns |= {f"{metric}_{k}": values for metric, values in at_k.items()}
            values = [pa.array(columns[name], mask=np.isnan(columns[name])) for name in metric_columns(ks)]
            counts = [pa.array(count, pa.int32()) for count in (ranked.relevant, ranked.lengths)]
            names = ["model", "user_idx", "relevant", "listed", *metric_columns(ks)]
            yield pa.RecordBatch.from_arrays([batch["model"], batch["user_idx"], *counts, *values], names=names)

    return measure


def _collect_facts(items: DataFrame) -> ItemFacts:
    plays = F.coalesce(F.col("plays"), F.lit(0)).cast("double").alias("plays")
    rows = items.select(F.col("item_idx").cast("long"), plays, F.col("artist_idx").cast("double")).toArrow()
    return ItemFacts.of(*(rows[name].to_numpy() for name in ("item_idx", "plays", "artist_idx")))


def _flat(lists: pa.ListArray) -> tuple[Ints, Ints]:
    """All values of an array of lists, one list after another, and each list's length."""
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    return lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64), lengths


def _own_number(items: Ints) -> Ints:
    """A number for the artist of an item that no other item shares: artist_idx start at 0, these go down from -1."""
    return -1 - items.astype(np.int64)


def _owners(lengths: Ints) -> Ints:
    return np.repeat(np.arange(len(lengths)), lengths)
