"""What a track sounds like, as columns: audio features checked and completed, and others made of them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from musicrec.params import Params
from musicrec.schemas import AUDIO_FEATURES
from musicrec.transforms.text import artist_key_column, title_key_column

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

# A ratio to less than this says nothing: 0 is Spotify's word for a track without a beat.
LEAST_DANCEABILITY = 0.05
# One octave of tempo: 70 and 140 beats a minute are the same pulse.
LOWEST_TEMPO = 80.0


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


def known_features(tracks: DataFrame) -> DataFrame:
    """The tracks with null for each audio feature that is unknown or out of its range."""
    return tracks.withColumns({name: F.when(_is_known(name), F.col(name)) for name in AUDIO_FEATURES})


def feature_counts(tracks: DataFrame) -> DataFrame:
    """One row: tracks, without_features (none known), and for each audio feature `out_of_range_*` and `missing_*`.

    What is out of its range is missing too.
    """
    known = [_is_known(name) for name in AUDIO_FEATURES]
    none = ~F.array_contains(F.array(*known), True)
    counts = [F.count("*").alias("tracks"), F.count_if(none).alias("without_features")]
    for name, is_known in zip(AUDIO_FEATURES, known, strict=True):
        counts.append(F.count_if(F.col(name).isNotNull() & ~_in_range(name)).alias(f"out_of_range_{name}"))
        counts.append(F.count_if(~is_known).alias(f"missing_{name}"))
    return tracks.agg(*counts)


def track_features(tracks: DataFrame, params: FeatureParams) -> DataFrame:
    """Rows of silver.track_features without `track_idx`, `vector` and `run_id`.

    A track of whose audio features none is known is left out. A missing one is the median of the tracks of the same
    first genre, or of all tracks (`FeatureParams.genre_tracks`); key and mode are the most frequent one, of equals the
    lowest. `imputed` names them. A feature that no track has stays null, and so does what is made of it.

    Parameters
    ----------
    tracks : silver.tracks.
    params : settings.
    """
    known = known_features(tracks)
    heard = known.where(F.coalesce(*AUDIO_FEATURES).isNotNull())
    full = with_engineered(impute(heard, params.genre_tracks))
    return full.select(
        "track_id",
        "name",
        "artists",
        artist_key_column(F.get("artists", F.lit(0))).alias("artist_key"),
        title_key_column(F.col("name")).alias("title_key"),
        "year",
        F.coalesce("genres", _no_text()).alias("genres"),
        F.coalesce("tags", _no_text()).alias("tags"),
        "popularity",
        "duration_ms",
        *AUDIO_FEATURES,
        "energy_per_danceability",
        "valence_energy",
        "loudness_percentile",
        "tempo_folded",
        "imputed",
    )


def impute(tracks: DataFrame, genre_tracks: int) -> DataFrame:
    """The tracks with their missing audio features filled as `track_features` says, and `imputed array<string>`.

    Parameters
    ----------
    tracks : (genres array<string>, the audio features, anything else).
    genre_tracks : tracks of a genre that must have a value.
    """
    genre = F.get("genres", F.lit(0))
    by_genre = (
        tracks.where(genre.isNotNull())
        .groupBy(genre.alias("_genre"))
        .agg(*[F.when(F.count(c) >= genre_tracks, _usual(c)).alias(f"_genre_{c}") for c in AUDIO_FEATURES])
    )
    of_all = tracks.agg(*[_usual(c).alias(f"_all_{c}") for c in AUDIO_FEATURES])
    joined = tracks.withColumn("_genre", genre).join(F.broadcast(by_genre), "_genre", "left")
    joined = joined.crossJoin(F.broadcast(of_all))
    fills = {c: F.coalesce(F.col(f"_genre_{c}"), F.col(f"_all_{c}")) for c in AUDIO_FEATURES}
    filled = [F.when(F.col(c).isNull() & fill.isNotNull(), F.lit(c)) for c, fill in fills.items()]
    others = [c for c in tracks.columns if c not in AUDIO_FEATURES]
    values = [F.coalesce(F.col(c), fill).alias(c) for c, fill in fills.items()]
    return joined.select(*others, *values, F.array_compact(F.array(*filled)).alias("imputed"))


def with_engineered(tracks: DataFrame) -> DataFrame:
    """Add energy_per_danceability, valence_energy, loudness_percentile and tempo_folded; null where a part is.

    energy / max(danceability, 0.05); valence × energy; the mean rank of the loudness among all rows divided by their
    number, so ties share one value in (0, 1]; the tempo folded into [80, 160).
    """
    made = {
        "energy_per_danceability": F.col("energy") / F.greatest("danceability", F.lit(LEAST_DANCEABILITY)),
        "valence_energy": F.col("valence") * F.col("energy"),
        "tempo_folded": folded_tempo(F.col("tempo")),
    }
    ratio = F.when(F.col("danceability").isNotNull(), made["energy_per_danceability"])
    return with_percentile(tracks.withColumns({**made, "energy_per_danceability": ratio}), "loudness")


def folded_tempo(tempo: Column) -> Column:
    """The tempo times the power of two that brings it into [80, 160); null for null and for what is not above 0."""
    octaves = F.floor(F.log2(tempo / LOWEST_TEMPO))
    about = tempo / F.pow(F.lit(2.0), octaves)
    # The logarithm rounds: beside a power of two it may be one octave off. Halving and doubling are exact.
    exact = F.when(about < LOWEST_TEMPO, about * 2).when(about >= 2 * LOWEST_TEMPO, about / 2).otherwise(about)
    return F.when(tempo > 0, exact)


def with_percentile(rows: DataFrame, column: str) -> DataFrame:
    """Add `<column>_percentile`: the mean rank of the value among the known ones, divided by their number; ties share.

    As pandas' `rank(pct=True)`. Only the distinct values are put in order.
    """
    name = f"{column}_percentile"
    values = rows.where(F.col(column).isNotNull()).groupBy(column).agg(F.count("*").alias("_n"))
    everything = Window.partitionBy(F.lit(0))
    below = everything.orderBy(column).rowsBetween(Window.unboundedPreceding, -1)
    place = F.coalesce(F.sum("_n").over(below), F.lit(0)) + (F.col("_n") + 1) / 2
    ranked = values.select(column, (place / F.sum("_n").over(everything)).alias(name))
    return rows.join(F.broadcast(ranked), column, "left")


def _in_range(name: str) -> Column:
    # Spark holds NaN greater than every number, so it is out of range too.
    low, high = RANGES[name]
    value = F.col(name)
    within = value.between(low, high)
    return within & (value == F.floor(value)) if name in _WHOLE else within


def _is_known(name: str) -> Column:
    known = F.col(name).isNotNull() & _in_range(name)
    if name in _UNKNOWN:
        known = known & (F.col(name) != _UNKNOWN[name])
    return F.coalesce(known, F.lit(False))


def _usual(name: str) -> Column:
    return F.mode(name, deterministic=True) if name in _WHOLE else F.median(name)


def _no_text() -> Column:
    return F.array().cast("array<string>")
