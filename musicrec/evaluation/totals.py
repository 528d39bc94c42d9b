"""What a task that measures lists hands on beside single listeners' values: sums of all metrics and the items shown.

Sums are of integers and sets of items are bits, so neither the partitions nor their order change a digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.evaluation.metrics import Floats, ItemFacts, metric_columns
from musicrec.models.blocks import Ragged

# A row of it is of a listener (user_idx, kept) or of all that a task saw of a model (totals, shown).
PASS_SCHEMA = "model string, user_idx int, kept array<double>, totals array<long>, shown binary"
# Of a metric in `totals`: the count, the high and the low word of the sum.
_WORDS = 3


@dataclass(frozen=True)
class Totals:
    """Of one model's lists.

    Attributes
    ----------
    counts : [columns] how many listeners have a value.
    sums : [columns, 2] their sums in units of 2^-50: a high word of 2^25 units and a low one.
    shown : [cut-offs, ⌈catalogue / 8⌉] bits of the items in some listener's first k.
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.int64]
    shown: NDArray[np.uint8]

    def mean(self, column: int) -> float | None:
        """The mean of a metric, rounded once; None where no listener has a value."""
        count = int(self.counts[column])
        high, low = (int(word) for word in self.sums[column])
        return ((high << 25) + low) / (count << 50) if count else None

    def shown_items(self, cut: int) -> int:
        """How many items are in the first k of some list, for the cut-off at place `cut`."""
        return int(np.unpackbits(self.shown[cut]).sum())

    def plus(self, other: Totals) -> Totals:
        """The totals of both."""
        return Totals(self.counts + other.counts, self.sums + other.sums, self.shown | other.shown)


def collect_totals(passed: DataFrame, ks: Sequence[int]) -> dict[str, Totals]:
    """The totals of each model, from rows of PASS_SCHEMA; tasks add them up, a row a model reaches the driver."""
    rows = passed.where(F.col("totals").isNotNull()).select("model", "totals", "shown")

    def merge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found: dict[str, Totals] = {}
        for batch in batches:
            for row in batch.to_pylist():
                _add(found, row["model"], _read(row["totals"], row["shown"], ks))
        for model, totals in found.items():
            yield totals_row(model, totals).select(["model", "totals", "shown"])

    merged = rows.repartition("model").mapInArrow(merge, "model string, totals array<long>, shown binary")
    return {row["model"]: _read(row["totals"], row["shown"], ks) for row in merged.toArrow().to_pylist()}


class Sums:
    """Adds up batches of measured lists, by model.

    Parameters
    ----------
    facts : of the catalogue.
    ks : the cut-offs, ascending, each once.
    """

    def __init__(self, facts: ItemFacts, ks: Sequence[int]) -> None:
        self.facts, self.ks = facts, ks
        self.models: list[str] = []
        columns = len(metric_columns(ks))
        self.counts, self.high, self.low = (np.zeros((0, columns), np.int64) for _ in range(3))
        self.best = np.zeros((0, len(facts.is_known)), np.int32)

    def _groups(self, models: pa.Array) -> NDArray[np.int64]:
        """The row of each list's model; a model that is new gets the next one."""
        coded = models.dictionary_encode()
        names = coded.dictionary.to_pylist()
        new = [name for name in names if name not in self.models]
        self.models += new
        rows = ((0, len(new)), (0, 0))
        self.counts, self.high, self.low = (np.pad(sums, rows) for sums in (self.counts, self.high, self.low))
        self.best = np.pad(self.best, rows, constant_values=np.iinfo(np.int32).max)
        places = np.array([self.models.index(name) for name in names], np.int64)
        group: NDArray[np.int64] = places[coded.indices.to_numpy(zero_copy_only=False)]
        return group

    def add(self, models: pa.Array, lists: Ragged, values: Floats) -> None:
        """Add lists with their models and their values [columns, lists]."""
        from musicrec.evaluation.metric_kernels import add_values, mark_best_ranks

        group = self._groups(models)
        add_values(values, group, self.counts, self.high, self.low)
        mark_best_ranks(np.ascontiguousarray(lists.values, np.int32), lists.starts, group, self.best, self.ks[-1])

    def totals(self) -> Iterator[tuple[str, Totals]]:
        """Each model seen, with what was added."""
        for at, model in enumerate(self.models):
            shown = np.array([(self.best[at] <= k) & self.facts.is_known for k in self.ks])
            sums = np.column_stack([self.high[at], self.low[at]])
            yield model, Totals(self.counts[at], sums, np.packbits(shown, axis=1))


def totals_row(model: str, totals: Totals) -> pa.RecordBatch:
    """A row of PASS_SCHEMA."""
    words = np.column_stack([totals.counts, totals.sums]).ravel()
    columns = {
        "model": pa.array([model]),
        "user_idx": pa.nulls(1, pa.int32()),
        "kept": pa.nulls(1, pa.list_(pa.float64())),
        "totals": pa.array([words], pa.list_(pa.int64())),
        "shown": pa.array([totals.shown.tobytes()], pa.binary()),
    }
    return pa.RecordBatch.from_pydict(columns)


def _read(words: Sequence[int], shown: bytes, ks: Sequence[int]) -> Totals:
    counts_and_sums = np.array(words, np.int64).reshape(-1, _WORDS)
    return Totals(counts_and_sums[:, 0], counts_and_sums[:, 1:], np.frombuffer(shown, np.uint8).reshape(len(ks), -1))


def _add(found: dict[str, Totals], model: str, totals: Totals) -> None:
    found[model] = found[model].plus(totals) if model in found else totals
