"""Lists that are too short are continued from the popular, openly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DoubleType, IntegerType, StructField, StructType

from musicrec.models.blocks import Array, Ragged, read_lists, write_lists
from musicrec.models.significant import significant

# Each filled item stands this share of the own list's last score below the one before it.
SCORE_STEP = 1e-6


def fill(lists: DataFrame, users: DataFrame, popular: DataFrame, heard: DataFrame, n: int) -> DataFrame:
    """A list of n for every listener, where the catalogue allows.

    First the listener's own list, then the popular items that are neither heard nor in it, in their order. The j-th
    filled item's score is the own list's last score s less j × 10⁻⁶ |s| (−j × 10⁻⁶ where that is 0 or the list empty),
    so at any scale scores fall strictly through the filled part, below the listener's own.

    Parameters
    ----------
    lists : DataFrame (user_idx int, items array<int>, scores array<double>), best first.
    users : DataFrame (user_idx int), each listener once; lists of others are dropped. Where it has a further column,
        such as model, so has `lists`, and a list is told by both.
    popular : DataFrame (item_idx int, score double), one row per item; ranked by score, best first, then item_idx.
    heard : DataFrame (user_idx int, heard array<int>), one row per listener; one without a row has heard nothing.
    n : length of the lists; a longer one is cut.

    Returns
    -------
    DataFrame (the columns of `users`, items array<int>, scores array<double>, filled array<boolean>), one row for each
    of `users`.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, not {n}")
    shared = popular.sparkSession.sparkContext.broadcast(in_order(popular))

    def complete(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            own, scores, known = (read_lists(batch[name]) for name in ("items", "scores", "heard"))
            made = [complete_one(own[i], scores[i], known[i], shared.value, n) for i in range(batch.num_rows)]
            kinds = (pa.int32(), pa.float64(), pa.bool_())
            columns = [_lay([one[c] for one in made], kind) for c, kind in enumerate(kinds)]
            keys = [batch[name] for name in keep]
            yield pa.RecordBatch.from_arrays([*keys, *columns], [*keep, "items", "scores", "filled"])

    keep = users.columns
    rows = (
        users.withColumn("user_idx", F.col("user_idx").cast("int"))
        .join(lists.select(*keep, "items", "scores"), keep, "left")
        .join(heard.select("user_idx", "heard"), "user_idx", "left")
        .select(*keep, "items", "scores", "heard")
    )
    made_of = StructType(
        [
            *(rows.schema[name] for name in keep),
            StructField("items", ArrayType(IntegerType())),
            StructField("scores", ArrayType(DoubleType())),
            StructField("filled", ArrayType(BooleanType())),
        ]
    )
    return rows.mapInArrow(complete, made_of)


def in_order(popular: DataFrame) -> Array:
    """The items of (item_idx, score), best first, then by item_idx, on the driver."""
    ranked = popular.select(F.col("item_idx").cast("int"), F.col("score").cast("double")).toArrow()
    items: Array = ranked["item_idx"].to_numpy()
    ordered: Array = items[np.lexsort((items, -ranked["score"].to_numpy()))]
    return ordered


def complete_one(own: Array, scores: Array, heard: Array, popular: Array, n: int) -> tuple[Array, Array, Array]:
    """A listener's items, scores and which are filled; `popular` as `in_order` gives them."""
    own, scores = own[:n], scores[:n]
    # So many of the popular hold enough, even if all that was heard or listed is among them.
    head = popular[: n + len(heard)]
    added = head[~np.isin(head, np.concatenate([own, heard]))][: n - len(own)]
    last = float(scores[-1]) if len(scores) else 0.0
    below = significant(last - SCORE_STEP * (abs(last) or 1.0) * np.arange(1, len(added) + 1))
    marks = np.arange(len(own) + len(added)) >= len(own)
    return np.concatenate([own, added]), np.concatenate([scores, below]), marks


def _lay(lists: list[Array], kind: pa.DataType) -> pa.ListArray:
    starts = np.cumsum([0] + [len(one) for one in lists]).astype(np.int64)
    return write_lists(Ragged(np.concatenate(lists), starts), kind)
