"""What a table is: columns, key and meaning, and how rows are conformed to it."""

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

STRING, LONG, INT, DOUBLE, FLOAT = StringType(), LongType(), IntegerType(), DoubleType(), FloatType()
BOOLEAN, DATE, TIMESTAMP = BooleanType(), DateType(), TimestampType()
STRINGS, INTS, LONGS = ArrayType(STRING), ArrayType(INT), ArrayType(LONG)
VECTOR = ArrayType(FLOAT)
TAGS, VERSIONS, FIGURES = MapType(STRING, STRING), MapType(STRING, LONG), MapType(STRING, DOUBLE)

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


LISTEN_KEY = ("user_id", "listened_at", "recording_msid")

# What silver.tracks and bronze.tracks say of a track.
TRACK_COLUMNS: dict[str, DataType] = {
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
