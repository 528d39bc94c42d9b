"""The features of tracks as vectors in which distances mean something: standardised, weighted by group, with text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, FloatType, StructType

from musicrec.errors import NonFiniteError
from musicrec.models.blocks import Ragged, write_lists
from musicrec.params import Params
from musicrec.schemas import AUDIO_FEATURES
from musicrec.schemas.content import ENGINEERED_FEATURES
from musicrec.transforms.feature_text import TermSpace, fit_terms
from musicrec.transforms.features import FeatureParams, numbers

Floats = NDArray[np.float64]

# The numbers of each group, in the order of the vector; the terms of genres and tags follow them.
NUMBERS: Mapping[str, tuple[str, ...]] = {
    "audio": AUDIO_FEATURES,
    "engineered": ENGINEERED_FEATURES,
    "year": ("year",),
}
COLUMNS = tuple(name for names in NUMBERS.values() for name in names)
_KEY = COLUMNS.index("key")

# Beyond so many standard deviations a value counts as so many: one odd value does not decide a distance.
_MOST_DEVIATIONS = 5.0


class GroupWeights(Params):
    """How much each group of features says; 0 leaves it out.

    Two tracks that have nothing to do with each other differ about equally in each group of weight 1, however many
    numbers it has.

    Attributes
    ----------
    audio, engineered, text, year : of the eleven audio features, the engineered ones, genres and tags, the year.
    """

    audio: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    engineered: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    text: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    year: float = Field(default=1.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _some_weight(self) -> GroupWeights:
        if not any(self.model_dump().values()):
            raise ValueError("at least one weight must be above 0")
        return self


@dataclass(frozen=True)
class FeatureScaler:
    """Medians, means and deviations of some tracks, and vectors of any tracks by them.

    A number is (x − mean) / std, at most 5 either way; a missing one is the median's. The key is a place on the circle
    of fifths, √2 (cos, sin), so that keys that share most notes are near; a missing one lies in its centre. Genres and
    tags: `TermSpace`. Each group is multiplied by its weight / √(its numbers), the text by its weight alone.

    Attributes
    ----------
    columns : the numbers, in their order.
    medians, means, stds : float64 [columns]; the std of a column that was constant or unknown is 0, and it takes no
        part.
    terms : the space of genres and tags.
    weights : by group.
    """

    columns: tuple[str, ...]
    medians: Floats
    means: Floats
    stds: Floats
    terms: TermSpace
    weights: GroupWeights

    @property
    def excluded(self) -> tuple[str, ...]:
        """The columns that take no part."""
        return tuple(name for name, std in zip(self.columns, self.stds, strict=True) if std == 0)

    @staticmethod
    def fit(rows: DataFrame, params: FeatureParams, weights: GroupWeights | None = None) -> FeatureScaler:
        """From rows of silver.track_features (or of `track_features`), such as those of a training side.

        The driver holds their numbers: 130 bytes a track.

        Raises
        ------
        NonFiniteError : a number is infinite.
        """
        found = rows.select(*[F.col(name).cast("double") for name in COLUMNS]).toArrow()
        medians, means, stds = np.zeros(len(COLUMNS)), np.zeros(len(COLUMNS)), np.zeros(len(COLUMNS))
        for at, name in enumerate(COLUMNS):
            values = numbers(found, name)
            # In order, so that a sum does not depend on the rows' order.
            values = np.sort(values[~np.isnan(values)])
            if len(values):
                medians[at], means[at] = np.median(values), values.mean()
                stds[at] = values.std() if values[0] < values[-1] else 0.0
        if not np.isfinite([medians, means, stds]).all():
            raise NonFiniteError("feature scaler: a feature holds an infinite value")
        terms = fit_terms(rows, params.text_terms, params.text_dims)
        return FeatureScaler(COLUMNS, medians, means, stds, terms, weights or GroupWeights())

    def reweighted(self, weights: GroupWeights) -> FeatureScaler:
        """The same scaler with other weights."""
        return replace(self, weights=weights)

    def blocks(self, rows: pa.Table | pa.RecordBatch) -> dict[str, Floats]:
        """The numbers of each group, before its weight: float64 [rows × numbers] by name of the group."""
        made: dict[str, Floats] = {}
        for group, names in NUMBERS.items():
            parts = [self._numbers(name, rows) for name in names]
            active = sum(part.shape[1] for part, name in zip(parts, names, strict=True) if name not in self.excluded)
            made[group] = np.concatenate(parts, axis=1) / np.sqrt(max(active, 1))
        made["text"] = self.terms.vectors([_column(rows, "genres"), _column(rows, "tags")])
        return made

    def vectors(self, rows: pa.Table | pa.RecordBatch) -> NDArray[np.float32]:
        """The vector of each row, float32 [rows × d], rounded to 6 decimals."""
        return weighted(self.blocks(rows), self.weights)

    def transform(self, rows: DataFrame) -> DataFrame:
        """The rows with `vector array<float>`."""
        names = [*rows.columns, "vector"]

        def scale(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                vectors = self.vectors(batch)
                starts = np.arange(len(vectors) + 1, dtype=np.int64) * vectors.shape[1]
                column = write_lists(Ragged(vectors.reshape(-1), starts), pa.float32())
                yield pa.RecordBatch.from_arrays([*batch.columns, column], names)

        schema = StructType(list(rows.schema.fields)).add("vector", ArrayType(FloatType()))
        return rows.mapInArrow(scale, schema)

    def _numbers(self, name: str, rows: pa.Table | pa.RecordBatch) -> Floats:
        at = self.columns.index(name)
        values = numbers(rows, name)
        is_active = float(self.stds[at] > 0)
        if at == _KEY:
            angle = 2 * np.pi * ((7 * values) % 12) / 12
            place = np.nan_to_num(np.column_stack([np.cos(angle), np.sin(angle)]))
            return np.asarray(is_active * np.sqrt(2) * place)
        known = np.where(np.isnan(values), self.medians[at], values)
        scaled: Floats = np.clip((known - self.means[at]) / (self.stds[at] or 1.0), -_MOST_DEVIATIONS, _MOST_DEVIATIONS)
        return is_active * scaled[:, None]


def weighted(blocks: Mapping[str, Floats], weights: GroupWeights) -> NDArray[np.float32]:
    """Blocks of `FeatureScaler.blocks` side by side, each times its weight: float32 [rows × d]."""
    shares = weights.model_dump()
    together = np.concatenate([block * shares[group] for group, block in blocks.items()], axis=1)
    return np.asarray(np.round(together, 6), np.float32)


def _column(rows: pa.Table | pa.RecordBatch, name: str) -> Any:
    column = rows.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
