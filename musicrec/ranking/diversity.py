"""Lists in which no artist takes more than a share, and, where asked for, items that are unlike each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import floor
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DoubleType, IntegerType, StructField, StructType

from musicrec.models.blocks import Array, Ragged, read_lists, read_vectors, write_lists
from musicrec.models.shared_arrays import SharedArrays
from musicrec.params import Params

Similarity = Literal["artist", "als", "pca", "lstm"]


class DiversityParams(Params):
    """How published lists are spread over artists.

    Attributes
    ----------
    artist_share : the most of a list that one artist may take; 1 for all of it.
    mmr_lambda : what an item's score counts against being unlike what stands above it; 1 leaves the order as it is.
    similarity : what is alike for MMR: items of one `artist`, or by the cosine of a model's item vectors.
    pool : of so many of a list's first items MMR chooses, and of no fewer than are published.
    """

    artist_share: float = Field(default=0.3, gt=0, le=1)
    mmr_lambda: float = Field(default=1.0, ge=0, le=1)
    similarity: Similarity = "artist"
    pool: int = Field(default=100, ge=1)

    def cap(self, n: int) -> int:
        """Entries of one artist in a list of n: the largest number that is no more than the share of n, at least 1."""
        # A share such as .3 is not exact: .3 × 10 must give 3.
        return max(1, floor(self.artist_share * n + 1e-9))

    @property
    def changes_lists(self) -> bool:
        """Whether a list can come out otherwise than it went in."""
        return self.artist_share < 1 or self.mmr_lambda < 1


def diversify(
    lists: DataFrame,
    items: DataFrame,
    popular: DataFrame,
    taken: DataFrame | None,
    params: DiversityParams,
    n: int,
    *,
    vectors: DataFrame | None = None,
    keep_rest: bool = False,
) -> DataFrame:
    """The first n places of each list anew, greedily from the top: the cap first, then MMR.

    With λ = 1 that is the list less what the cap passes over. Else each place goes to the item left of the first `pool`
    of the list, its artist not at the cap, with the highest λ r − (1 − λ) s (Carbonell and Goldstein, "The Use of MMR",
    1998): r is the score, brought to 0 … 1 within the pool; s the greatest similarity to an item above: 1 for one of
    the same artist, else by vectors the cosine, at least 0. Equals go by the list. Where places are left,
    the popular follow under the same cap, less what is `taken`; and where they are left even so, the cap of this list
    is raised one by one until it is full or nothing is left. So a list of n is over the share only where the
    listener cannot be offered enough artists; with n below 1 / share an artist stands there once.

    Scores are those of the list for λ = 1, else the value above, which never rises from place to place; the j-th of
    the popular has the last of them, s, less j × 10⁻⁶ |s|, as in `fill`.

    Parameters
    ----------
    lists : DataFrame (user_idx int, items array<int>, scores array<double>), best first, with any further columns.
    items : DataFrame (item_idx int, artist_idx int or null); an item without an artist is neither capped nor alike.
    popular : DataFrame (item_idx int, score double), ranked by score, best first, then item_idx.
    taken : DataFrame (user_idx int, heard array<int>), what of the popular a listener must not get; None where no list
        may get any of them.
    params : cap and λ.
    n : places.
    vectors : DataFrame (item_idx int, vector array<float>); needed where `params.similarity` names a model and λ < 1.
    keep_rest : whether what is left of the list follows, in its order.

    Returns
    -------
    DataFrame (the columns of `lists`, filled array<boolean>); filled marks what came from the popular.
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, not {n}")
    uses_vectors = params.mmr_lambda < 1 and params.similarity != "artist"
    if uses_vectors and vectors is None:
        raise ValueError(f"similarity by {params.similarity} needs its item vectors")
    arrays = _catalogue(items, popular if taken is not None else popular.limit(0), vectors if uses_vectors else None)
    shared = SharedArrays(lists.sparkSession, arrays)
    settings: tuple[Any, ...] = (n, params.cap(n), float(params.mmr_lambda), max(params.pool, n), keep_rest)

    def spread(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from musicrec.ranking.diversity_kernels import spread_lists

        known = shared.read()
        about = (known["artist"], known["popular"], known["row"], known["vectors"].reshape(-1, known["width"][0]))
        for batch in batches:
            own, scores, out = (read_lists(batch[name]) for name in ("items", "scores", "taken"))
            made = spread_lists(
                own.values.astype(np.int32),
                own.starts,
                scores.values.astype(np.float64),
                out.values.astype(np.int32),
                out.starts,
                about,
                *settings,
            )
            ends = made[3]
            columns = {
                "items": write_lists(Ragged(made[0], ends), pa.int32()),
                "scores": write_lists(Ragged(made[1], ends), pa.float64()),
                "filled": write_lists(Ragged(made[2], ends), pa.bool_()),
            }
            yield pa.RecordBatch.from_arrays([columns.get(c, _column(batch, c)) for c in names], names)

    names = [*lists.columns, "filled"]
    kinds = {"items": ArrayType(IntegerType()), "scores": ArrayType(DoubleType())}
    fields = [StructField(c, kinds.get(c, lists.schema[c].dataType)) for c in lists.columns]
    made_of = StructType([*fields, StructField("filled", ArrayType(BooleanType()))])
    if taken is None:
        rows = lists.withColumn("taken", F.array().cast("array<int>"))
    else:
        rows = lists.join(taken.select("user_idx", F.col("heard").alias("taken")), "user_idx", "left")
    return rows.select(*lists.columns, "taken").mapInArrow(spread, made_of)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    return batch[name] if name in batch.schema.names else None


def _catalogue(items: DataFrame, popular: DataFrame, vectors: DataFrame | None) -> dict[str, Array]:
    """What the kernel needs of the items: 8 bytes an item, and 4 a number of the vectors.

    `artist` and `row` (of the vectors, −1 where there is none) at place item_idx; `popular`, best first; `vectors`, of
    length 1 or 0, laid end to end, `width` of them.
    """
    columns = [F.col(name).cast("int").alias(name) for name in ("item_idx", "artist_idx")]
    of_artist = items.select(*columns).toArrow()
    ranked = popular.select(F.col("item_idx").cast("int"), F.col("score").cast("double")).toArrow()
    known, best = of_artist["item_idx"].to_numpy(), ranked["item_idx"].to_numpy()
    order = np.lexsort((best, -ranked["score"].to_numpy()))
    size = int(max(known.max(initial=-1), best.max(initial=-1))) + 1
    matrix, listed = np.zeros((0, 1), np.float32), np.zeros(0, np.int32)
    if vectors is not None:
        rows = vectors.select(F.col("item_idx").cast("int"), F.col("vector").cast("array<float>")).toArrow()
        listed, matrix = rows["item_idx"].to_numpy(), read_vectors(rows["vector"].combine_chunks())
        lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))[:, None]
        matrix = np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0, casting="unsafe")
        size = max(size, int(listed.max(initial=-1)) + 1)
    artist, row = np.full(size, -1, np.int32), np.full(size, -1, np.int32)
    artist[known] = pc.fill_null(of_artist["artist_idx"], -1).to_numpy()
    row[listed] = np.arange(len(listed))
    return {
        "artist": artist,
        "row": row,
        "popular": best[order].astype(np.int32),
        "vectors": matrix.reshape(-1),
        "width": np.array([matrix.shape[1]], np.int32),
    }
