"""What a track sounds like, as columns: audio features checked and completed, and others made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, StringType, StructType

from musicrec.params import Params
from musicrec.schemas import AUDIO_FEATURES
from musicrec.schemas.content import ENGINEERED_FEATURES
from musicrec.transforms.feature_fills import FeatureFills, known_values
from musicrec.transforms.text import artist_key_column, title_key_column

Floats = NDArray[np.float64]

# A ratio to less than this says nothing: 0 is Spotify's word for a track without a beat.
LEAST_DANCEABILITY = 0.05
# One octave of tempo: 70 and 140 beats a minute are the same pulse.
LOWEST_TEMPO = 80.0

# What goes through as it is.
_NAMES = (
    "track_id", "name", "artists", "artist_key", "title_key", "year", "genres", "tags", "popularity", "duration_ms",
)  # fmt: skip


class FeatureParams(Params):
    """How the features of tracks are made.

    Attributes
    ----------
    genre_tracks : a missing value is imputed from the track's first genre where it is known of so many of its tracks,
        else from the whole catalogue.
    text_terms : so many of the most frequent genres and tags are told apart.
    text_dims : numbers that they become.
    """

    genre_tracks: int = Field(default=20, ge=1)
    text_terms: int = Field(default=1000, ge=0)
    text_dims: int = Field(default=32, ge=0)


def track_features(tracks: DataFrame, fills: FeatureFills) -> DataFrame:
    """Rows of silver.track_features without `track_idx`, `vector` and `run_id`.

    A track of whose audio features none is known is left out. A missing one is filled (`FeatureFills`), and `imputed`
    names it. A feature that no track has stays null, and so does what is made of it.

    Parameters
    ----------
    tracks : silver.tracks.
    fills : of these tracks, or of those of a training side.
    """
    none = F.array().cast("array<string>")
    named = tracks.withColumns(
        {
            "artist_key": artist_key_column(F.get("artists", F.lit(0))),
            "title_key": title_key_column(F.col("name")),
            "genres": F.coalesce("genres", none),
            "tags": F.coalesce("tags", none),
        }
    ).select(*_NAMES, *AUDIO_FEATURES)
    schema = StructType([named.schema[name] for name in _NAMES])
    for name in (*AUDIO_FEATURES, *ENGINEERED_FEATURES):
        schema = schema.add(name, DoubleType())

    def complete(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield _completed(batch, fills)

    return named.mapInArrow(complete, schema.add("imputed", ArrayType(StringType())))


def engineered(features: Mapping[str, Floats], fills: FeatureFills) -> dict[str, Floats]:
    """The features made of others, NaN where a part is.

    energy / max(danceability, 0.05); valence × energy; the mean rank of the loudness in the catalogue by its size, so
    ties share one value in (0, 1]; the tempo folded into [80, 160).

    Parameters
    ----------
    features : float64 [tracks] by name.
    fills : its loudness is the catalogue.
    """
    made = (
        features["energy"] / np.maximum(features["danceability"], LEAST_DANCEABILITY),
        features["valence"] * features["energy"],
        fills.loudness_percentile(features["loudness"]),
        folded_tempo(features["tempo"]),
    )
    return dict(zip(ENGINEERED_FEATURES, made, strict=True))


def folded_tempo(tempo: Floats) -> Floats:
    """The tempo times the power of two that brings it into [80, 160); NaN for NaN and for what is not above 0."""
    positive = np.where(tempo > 0, tempo, np.nan)
    # tempo / 80 = mantissa × 2^exponent with a mantissa in [0.5, 1): taken apart, not rounded as a logarithm would be.
    _, exponent = np.frexp(positive / LOWEST_TEMPO)
    return np.ldexp(positive, 1 - exponent)


def _completed(batch: pa.RecordBatch, fills: FeatureFills) -> pa.RecordBatch:
    """A batch's tracks with features, filled, and what is made of them."""
    known = {name: known_values(name, numbers(batch, name)) for name in AUDIO_FEATURES}
    heard = ~np.all([np.isnan(values) for values in known.values()], axis=0)
    kept = batch.filter(pa.array(heard))
    known = {name: values[heard] for name, values in known.items()}
    full = fills.filled(known, kept["genres"])
    filled = np.column_stack([np.isnan(known[name]) & ~np.isnan(full[name]) for name in AUDIO_FEATURES])
    starts = np.concatenate([[0], np.cumsum(filled.sum(axis=1))]).astype(np.int32)
    names = pa.array(np.array(AUDIO_FEATURES, object)[np.nonzero(filled)[1]], pa.string())
    columns = [kept[name] for name in _NAMES]
    columns += [_nullable(values) for values in (*full.values(), *engineered(full, fills).values())]
    columns.append(pa.ListArray.from_arrays(pa.array(starts), names))
    return pa.RecordBatch.from_arrays(columns, [*_NAMES, *AUDIO_FEATURES, *ENGINEERED_FEATURES, "imputed"])


def numbers(rows: pa.Table | pa.RecordBatch, name: str) -> Floats:
    """A column as float64 [rows], NaN where it is null."""
    column: Any = rows.column(name)
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, pa.float64(), mask=np.isnan(values))
