"""Every table: its columns, key and meaning. A table is conformed to its schema before it is written.

The registry `TABLES` is the one place that knows which tables exist; `docs/tables.md` is written from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from musicrec.errors import SchemaError

STRING, LONG, INT, DOUBLE = StringType(), LongType(), IntegerType(), DoubleType()
BOOLEAN, DATE, TIMESTAMP = BooleanType(), DateType(), TimestampType()
STRINGS, INTS, LONGS = ArrayType(STRING), ArrayType(INT), ArrayType(LONG)
VECTOR = ArrayType(FloatType())
TAGS, VERSIONS = MapType(STRING, STRING), MapType(STRING, LONG)

# The eleven audio features of Spotify's catalogue, in the order every matrix of them uses.
AUDIO_FEATURES = (
    "danceability",
    "energy",
    "key",
    "loudness",
    "mode",
    "speechiness",
    "acousticness",
    "instrumentalness",
    "liveness",
    "valence",
    "tempo",
)


@dataclass(frozen=True)
class Table:
    """A table's contract: `key` names the columns that tell its rows apart, `written_by` the jobs that fill it.

    No table is partitioned: with this project's pyarrow, deltalake cannot read a partitioned one. Each replacement
    writes files of its own, so replacing one day's or model's rows rewrites no others all the same.
    """

    name: str
    key: tuple[str, ...]
    meaning: str
    written_by: str
    columns: Mapping[str, DataType]

    @property
    def schema(self) -> StructType:
        """The columns as a Spark schema; key columns are not nullable."""
        return StructType([StructField(c, t, c not in self.key) for c, t in self.columns.items()])


def conform(df: DataFrame, table: Table) -> DataFrame:
    """Select exactly the table's columns, in order and cast; a null in a key column fails when the rows are made.

    Raises
    ------
    SchemaError : a column of the table is not in `df`.
    """
    missing = [c for c in table.columns if c not in df.columns]
    if missing:
        raise SchemaError(f"table {table.name}: the rows to write lack the columns {', '.join(missing)}")

    def column(name: str, kind: DataType) -> Column:
        value = F.col(name).cast(kind)
        if name in table.key:
            value = F.coalesce(value, F.raise_error(F.lit(f"table {table.name}: key column {name} is null")).cast(kind))
        return value.alias(name)

    return df.select([column(name, kind) for name, kind in table.columns.items()])


def same_key(left: str, right: str, table: Table) -> Column:
    """The join condition of the table's key between two aliased DataFrames."""
    return reduce(Column.__and__, [F.col(f"{left}.{c}") == F.col(f"{right}.{c}") for c in table.key])


_LISTEN_KEY = ("user_id", "listened_at", "recording_msid")

_TRACK_COLUMNS: dict[str, DataType] = {
    "track_id": STRING,
    "name": STRING,
    "artists": STRINGS,
    "artist_ids": STRINGS,
    "album_id": STRING,
    "album_name": STRING,
    "release_date": STRING,
    "year": INT,
    "duration_ms": LONG,
    "explicit": BOOLEAN,
    "popularity": DOUBLE,
    "genres": STRINGS,
    "tags": STRINGS,
    **dict.fromkeys(AUDIO_FEATURES, DOUBLE),
    "time_signature": INT,
    "is_hit": BOOLEAN,
    "preview_url": STRING,
}

_TABLES = (
    Table(
        "bronze.listens",
        _LISTEN_KEY,
        "a listen as received, once",
        "ingest_listens",
        {
            "source": STRING,
            "user_id": STRING,
            "listened_at": TIMESTAMP,
            "recording_msid": STRING,
            "artist_name": STRING,
            "recording_name": STRING,
            "release_name": STRING,
            "recording_mbid": STRING,
            "release_mbid": STRING,
            "artist_mbids": STRINGS,
            "duration_ms": LONG,
            "source_id": STRING,
            "file": STRING,
            "ingested_at": TIMESTAMP,
        },
    ),
    Table(
        "bronze.tracks",
        ("source_id", "track_id"),
        "a track as one catalogue file describes it; source = its layout",
        "ingest_tracks",
        {"source": STRING, **_TRACK_COLUMNS, "source_id": STRING, "file": STRING, "ingested_at": TIMESTAMP},
    ),
    Table(
        "bronze.artists",
        ("source_id", "artist_id"),
        "an artist as one catalogue file describes it",
        "ingest_tracks",
        {
            "artist_id": STRING,
            "name": STRING,
            "followers": LONG,
            "genres": STRINGS,
            "popularity": DOUBLE,
            "source_id": STRING,
            "file": STRING,
            "ingested_at": TIMESTAMP,
        },
    ),
    Table(
        "bronze.play_counts",
        ("source_id", "user_id", "track_id"),
        "how often a listener played a track, without times, as one file says",
        "ingest_tracks",
        {
            "user_id": STRING,
            "track_id": STRING,
            "plays": LONG,
            "source_id": STRING,
            "file": STRING,
            "ingested_at": TIMESTAMP,
        },
    ),
    Table(
        "bronze.quarantine",
        ("source_id", "file", "reason", "row"),
        "a row that cannot be right, with the reason; a repeated row has a row here each time",
        "ingest_listens, ingest_tracks",
        {"source_id": STRING, "file": STRING, "reason": STRING, "row": STRING, "ingested_at": TIMESTAMP},
    ),
    Table(
        "silver.listens",
        _LISTEN_KEY,
        "a listen with its recording resolved",
        "build_silver",
        {
            "user_id": STRING,
            "listened_at": TIMESTAMP,
            "recording_msid": STRING,
            "recording_id": STRING,
            "artist_id": STRING,
            "user_idx": INT,
            "recording_idx": INT,
            "artist_idx": INT,
        },
    ),
    Table(
        "silver.spellings",
        ("spelling_id",),
        "a way in which listens name a recording, its artist and release, and which recording that is",
        "build_silver",
        {
            "spelling_id": STRING,
            "artist_name": STRING,
            "recording_name": STRING,
            "release_name": STRING,
            "recording_mbid": STRING,
            "artist_mbids": STRINGS,
            "artist_key": STRING,
            "title_key": STRING,
            "recording_id": STRING,
            "artist_id": STRING,
            "plays": LONG,
            "first_listened_at": TIMESTAMP,
        },
    ),
    Table(
        "silver.recordings",
        ("recording_id",),
        "a recording: its MBID, else a stable hash of the normalised artist and title",
        "build_silver",
        {
            "recording_id": STRING,
            "title": STRING,
            "artist_name": STRING,
            "artist_id": STRING,
            "release_name": STRING,
            "recording_mbid": STRING,
            "artist_mbids": STRINGS,
            "title_key": STRING,
            "artist_key": STRING,
            "plays": LONG,
            "first_listened_at": TIMESTAMP,
        },
    ),
    Table(
        "silver.tracks",
        ("track_id",),
        "a Spotify track, its catalogues merged; source = which of them won",
        "ingest_tracks",
        {**_TRACK_COLUMNS, "source": STRING, "sources": STRINGS},
    ),
    Table(
        "silver.links",
        ("recording_id",),
        "the track that a recording is",
        "build_silver",
        {"recording_id": STRING, "track_id": STRING, "method": STRING, "confidence": DOUBLE},
    ),
    Table(
        "silver.user_index",
        ("user_id",),
        "the dense user_idx of a listener; only ever grows",
        "build_silver",
        {"user_id": STRING, "user_idx": INT},
    ),
    Table(
        "silver.item_index",
        ("item_kind", "item_id"),
        "the dense item_idx of a recording or artist; only ever grows",
        "build_silver",
        {"item_kind": STRING, "item_id": STRING, "item_idx": INT},
    ),
    Table(
        "silver.interactions",
        ("item_kind", "user_id", "item_id"),
        "a listener and an item that they played",
        "build_silver",
        {
            "item_kind": STRING,
            "user_id": STRING,
            "item_id": STRING,
            "user_idx": INT,
            "item_idx": INT,
            "plays": LONG,
            "first_listened_at": TIMESTAMP,
            "last_listened_at": TIMESTAMP,
            "weight": DOUBLE,
        },
    ),
    Table(
        "silver.sequences",
        ("user_id", "window"),
        "a window of a listener's plays in order: fixed length, left-padded with -1",
        "build_silver",
        {
            "user_id": STRING,
            "window": INT,
            "user_idx": INT,
            "session": INT,
            "items": INTS,
            "times": LONGS,
            "length": INT,
            "started_at": TIMESTAMP,
            "ended_at": TIMESTAMP,
        },
    ),
    Table(
        "models.user_vectors",
        ("model", "user_idx"),
        "a listener's vector in a model's space",
        "train_als, train_pca, train_sequence, train_neural",
        {"model": STRING, "user_idx": INT, "vector": VECTOR, "run_id": STRING},
    ),
    Table(
        "models.item_vectors",
        ("model", "item_idx"),
        "an item's vector and bias in a model's space",
        "train_als, train_pca, train_sequence, train_neural",
        {"model": STRING, "item_idx": INT, "vector": VECTOR, "bias": FloatType(), "run_id": STRING},
    ),
    Table(
        "gold.recommendations",
        ("as_of", "shelf", "user_id", "rank"),
        "what to offer a listener, best first",
        "recommend",
        {
            "as_of": DATE,
            "shelf": STRING,
            "user_id": STRING,
            "rank": INT,
            "item": STRING,
            "title": STRING,
            "artist": STRING,
            "score": DOUBLE,
            "model": STRING,
            "reason": STRING,
            "run_id": STRING,
        },
    ),
    Table(
        "gold.similar_tracks",
        ("model", "item", "rank"),
        "an item that is like another, best first; title and artist are its own, model says by what",
        "train_knn",
        {
            "model": STRING,
            "item": STRING,
            "rank": INT,
            "similar": STRING,
            "title": STRING,
            "artist": STRING,
            "score": DOUBLE,
            "as_of": DATE,
            "run_id": STRING,
        },
    ),
    Table(
        "gold.loved_items",
        ("item",),
        "an item that is liked most, or least, whoever listens: by its bias in EmbeddingDotBias, best first",
        "train_neural",
        {
            "item": STRING,
            "rank": INT,
            "title": STRING,
            "artist": STRING,
            "bias": DOUBLE,
            "plays": LONG,
            "as_of": DATE,
            "run_id": STRING,
        },
    ),
    Table(
        "gold.evaluation",
        ("as_of", "shelf", "model", "metric", "k"),
        "how good each model's lists were on listens it had not seen; k = 0 where a metric has no cut-off",
        "evaluate",
        {
            "as_of": DATE,
            "shelf": STRING,
            "model": STRING,
            "metric": STRING,
            "k": INT,
            "value": DOUBLE,
            "low": DOUBLE,
            "high": DOUBLE,
            "listeners": LONG,
            "split_at": TIMESTAMP,
            "run_id": STRING,
        },
    ),
    Table(
        "ops.sources",
        ("source_id",),
        "a dump or catalogue file that was taken in, with its counts",
        "ingest_listens, ingest_tracks",
        {
            "source_id": STRING,
            "kind": STRING,
            "name": STRING,
            "format": STRING,
            "started_at": TIMESTAMP,
            "ended_at": TIMESTAMP,
            "rows_in": LONG,
            "rows_kept": LONG,
            "rows_duplicate": LONG,
            "rows_quarantined": LONG,
            "run_id": STRING,
            "applied_at": TIMESTAMP,
        },
    ),
    Table(
        "ops.runs",
        ("run_id", "job"),
        "a job's run: what it ran with, read and wrote",
        "every job",
        {
            "run_id": STRING,
            "job": STRING,
            "status": STRING,
            "started_at": TIMESTAMP,
            "ended_at": TIMESTAMP,
            "as_of": DATE,
            "seed": LONG,
            "config": STRING,
            "git_commit": STRING,
            "packages": TAGS,
            "tables_read": VERSIONS,
            "tables_written": VERSIONS,
            "rows_in": LONG,
            "rows_out": LONG,
            "error": STRING,
        },
    ),
    Table(
        "ops.metrics",
        ("run_id", "job", "name", "step", "tags"),
        "a figure of a run; step = epoch, component or 0",
        "every job",
        {
            "run_id": STRING,
            "job": STRING,
            "name": STRING,
            "step": LONG,
            "tags": STRING,
            "value": DOUBLE,
            "recorded_at": TIMESTAMP,
        },
    ),
    Table(
        "ops.models",
        ("model", "run_id"),
        "a trained model: its settings, the Delta versions of its inputs and vectors, its files",
        "train_als, train_pca, train_sequence, train_neural",
        {
            "model": STRING,
            "run_id": STRING,
            "trained_at": TIMESTAMP,
            "as_of": DATE,
            "seed": LONG,
            "params": STRING,
            "inputs": VERSIONS,
            "user_vectors_version": LONG,
            "item_vectors_version": LONG,
            "files": STRING,
            "figures": MapType(STRING, DOUBLE),
        },
    ),
)

TABLES: Mapping[str, Table] = {table.name: table for table in _TABLES}
