"""What stands in for an audio feature that is missing, and the catalogue against which loudness is ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.schemas import AUDIO_FEATURES

Floats = NDArray[np.float64]

# What a feature can be; anything else counts as missing.
RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(AUDIO_FEATURES, (0.0, 1.0)),
    "key": (-1.0, 11.0),
    "loudness": (-60.0, 5.0),  # dB
    "tempo": (0.0, 250.0),  # beats a minute
}
# Values by which a catalogue says that it found none.
_UNKNOWN: Mapping[str, float] = {"key": -1.0, "tempo": 0.0}
# Kinds, not amounts: they have a most frequent value, and half of one means nothing.
_WHOLE = ("key", "mode")


@dataclass(frozen=True)
class FeatureFills:
    """Medians of genres and of the catalogue; of key and mode the most frequent value, of equals the lowest.

    Attributes
    ----------
    genres : first genres of tracks.
    by_genre : float64 [genres × features], NaN where too few of its tracks have the feature.
    of_all : float64 [features], NaN where no track has it.
    levels : float64, the loudnesses that are there, filled ones too, ascending.
    up_to : int64 [levels + 1], tracks below each level, and all.
    """

    genres: tuple[str, ...]
    by_genre: Floats
    of_all: Floats
    levels: Floats
    up_to: NDArray[np.int64]

    @staticmethod
    def fit(tracks: pd.DataFrame, genre_tracks: int) -> FeatureFills:
        """From the tracks of `collect_audio`; a genre's value counts where `genre_tracks` of its tracks have it."""
        known = pd.DataFrame({name: known_values(name, tracks[name].to_numpy()) for name in AUDIO_FEATURES})
        known["genre"] = tracks["genre"].to_numpy()
        known = known[known[list(AUDIO_FEATURES)].notna().any(axis=1)]
        grouped = known.groupby("genre", sort=True)
        medians = pd.DataFrame(
            {name: grouped[name].agg(_most_frequent if name in _WHOLE else "median") for name in AUDIO_FEATURES}
        )
        enough = grouped[list(AUDIO_FEATURES)].count() >= genre_tracks
        of_all = np.array([_usual_value(name, known[name].dropna()) for name in AUDIO_FEATURES])
        by_genre = medians.where(enough).to_numpy(np.float64).reshape(-1, len(AUDIO_FEATURES))
        fills = FeatureFills(tuple(medians.index), by_genre, of_all, np.zeros(0), np.zeros(1, np.int64))
        at = AUDIO_FEATURES.index("loudness")
        loudness = known["loudness"].to_numpy()
        usual = fills._usual(pd.Index(fills.genres).get_indexer(known["genre"]), at)
        loudness = np.where(np.isnan(loudness), usual, loudness)
        levels, counts = np.unique(loudness[~np.isnan(loudness)], return_counts=True)
        return FeatureFills(
            fills.genres, by_genre, of_all, levels, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        )

    def filled(self, known: Mapping[str, Floats], genres: pa.Array) -> dict[str, Floats]:
        """The features with NaN replaced where something is known to stand in for it.

        Parameters
        ----------
        known : float64 [tracks] by name of the feature.
        genres : list<string> [tracks]; the first of each decides.
        """
        lengths = pc.fill_null(pc.list_value_length(genres), 0).to_numpy(zero_copy_only=False)
        first = genres.flatten().take(pa.array((np.cumsum(lengths) - lengths)[lengths > 0]))
        found = pc.index_in(first, value_set=pa.array(self.genres, pa.string())).fill_null(-1)
        genre = np.full(len(lengths), -1, np.int64)
        genre[lengths > 0] = found.to_numpy(zero_copy_only=False)
        return {
            name: np.where(np.isnan(known[name]), self._usual(genre, at), known[name])
            for at, name in enumerate(AUDIO_FEATURES)
        }

    def loudness_percentile(self, loudness: Floats) -> Floats:
        """The mean rank among the catalogue's, by their number: (below + (equal + 1) / 2) / all; NaN for NaN."""
        if not len(self.levels):
            return np.full(len(loudness), np.nan)
        below = self.up_to[np.searchsorted(self.levels, loudness, "left")]
        not_above = self.up_to[np.searchsorted(self.levels, loudness, "right")]
        rank = np.minimum((below + not_above + 1) / (2 * self.up_to[-1]), 1.0)
        return np.where(np.isnan(loudness), np.nan, rank)

    def _usual(self, genre: NDArray[np.int64], at: int) -> Floats:
        """What stands in for feature `at` of tracks of these genres, −1 where it has none."""
        if not self.genres:
            return np.full(len(genre), self.of_all[at])
        own = np.where(genre >= 0, self.by_genre[genre, at], np.nan)
        return np.where(np.isnan(own), self.of_all[at], own)


def collect_audio(tracks: DataFrame) -> pd.DataFrame:
    """(genre, the audio features) of each track on the driver, genre the first of its own: 100 bytes a track."""
    genre = F.get("genres", F.lit(0)).alias("genre")
    return tracks.select(genre, *[F.col(name).cast("double") for name in AUDIO_FEATURES]).toArrow().to_pandas()


def feature_counts(tracks: pd.DataFrame) -> dict[str, int]:
    """Of the tracks of `collect_audio`: tracks, without_features (none known), `out_of_range_*` and `missing_*`.

    What is out of its range is missing too.
    """
    values = {name: tracks[name].to_numpy(np.float64) for name in AUDIO_FEATURES}
    missing = {name: np.isnan(known_values(name, column)) for name, column in values.items()}
    nothing = int(np.all(list(missing.values()), axis=0).sum())
    counts = {"tracks": len(tracks), "without_features": nothing}
    for name, column in values.items():
        counts[f"out_of_range_{name}"] = int((~np.isnan(column) & ~_in_range(name, column)).sum())
        counts[f"missing_{name}"] = int(missing[name].sum())
    return counts


def known_values(name: str, values: Floats) -> Floats:
    """The values of a feature, NaN where it is unknown or out of its range."""
    is_known = _in_range(name, values)
    if name in _UNKNOWN:
        is_known &= values != _UNKNOWN[name]
    return np.where(is_known, values, np.nan)


def _in_range(name: str, values: Floats) -> NDArray[np.bool_]:
    low, high = RANGES[name]
    within = (values >= low) & (values <= high)
    return np.asarray(within & (values == np.floor(values)) if name in _WHOLE else within)


def _usual_value(name: str, values: pd.Series) -> float:
    if values.empty:
        return np.nan
    return _most_frequent(values) if name in _WHOLE else float(values.median())


def _most_frequent(values: pd.Series) -> float:
    return float(values.mode().min())
