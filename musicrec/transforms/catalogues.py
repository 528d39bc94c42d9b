"""The rows of every catalogue layout, as text, brought to one shape; what cannot be right gets a reason."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import ArrayType, StringType

from musicrec.schemas import AUDIO_FEATURES, TABLES
from musicrec.transforms.ids import listener_column, spotify_column
from musicrec.transforms.text import trimmed

# The columns that the CSV reader adds; the rest is the file's own text.
_CORRUPT, _FILE, _SOURCE_ID = "_corrupt_record", "_file", "_source_id"

# What a layout may know of a track.
TRACK_FIELDS = tuple(c for c in TABLES["silver.tracks"].columns if c not in ("source", "sources"))

_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(
        ("danceability", "energy", "speechiness", "acousticness", "instrumentalness", "liveness", "valence"), (0.0, 1.0)
    ),
    "key": (-1.0, 11.0),  # -1: no key found
    "loudness": (-60.0, 6.0),  # dB
    "mode": (0.0, 1.0),
    "tempo": (0.0, 300.0),  # beats a minute
    "popularity": (0.0, 100.0),
    "time_signature": (0.0, 16.0),
}
_WHOLE = frozenset({"key", "mode", "time_signature"})


def unify(raw: DataFrame, schema_name: str) -> DataFrame:
    """A catalogue's text rows as rows of bronze.tracks, without `ingested_at`; no text makes it fail.

    Two columns more: `reason`, null where the row can be right, else the first thing that is wrong with it
    (`malformed`, `missing_track_id`, `missing_title`, `missing_artist`, `bad_<field>`, `negative_duration`), and
    `row`, the text of a wrong row as JSON. Only empty text is missing: "None" and "NA" are titles and artists.
    """
    fields = {name: F.lit(None) for name in TRACK_FIELDS} | _LAYOUTS[schema_name]()
    kinds = TABLES["bronze.tracks"].columns
    unified = [fields[name].cast(kinds[name]).alias(name) for name in TRACK_FIELDS]
    return raw.select(
        F.lit(schema_name).alias("source"),
        *unified,
        F.col(_SOURCE_ID).alias("source_id"),
        F.col(_FILE).alias("file"),
        *_judged(raw, _track_reason(fields, raw.columns)),
    )


def unify_artists(raw: DataFrame) -> DataFrame:
    """The text rows of artists.csv as rows of bronze.artists, with `reason` and `row` as `unify` gives them."""
    artist_id, name = _id("id"), _text("name")
    popularity, followers = _number("popularity"), _number("followers")
    reasons = [
        (F.col(_CORRUPT).isNotNull(), "malformed"),
        (artist_id.isNull(), "missing_artist_id"),
        (name.isNull(), "missing_artist"),
        (_unreadable("popularity") | ~popularity.between(0, 100), "bad_popularity"),
        (_unreadable("followers") | (followers < 0), "bad_followers"),
    ]
    return raw.select(
        artist_id.alias("artist_id"),
        name.alias("name"),
        followers.cast("long").alias("followers"),
        _lower(_python_list("genres")).alias("genres"),
        popularity.alias("popularity"),
        F.col(_SOURCE_ID).alias("source_id"),
        F.col(_FILE).alias("file"),
        *_judged(raw, _first_reason(reasons)),
    )


def unify_play_counts(raw: DataFrame) -> DataFrame:
    """The text rows of a listening history as rows of bronze.play_counts, with `reason` and `row` as in `unify`."""
    user_id, track_id, plays = listener_column(_text("user_id")), _id("track_id"), _number("playcount")
    reasons = [
        (F.col(_CORRUPT).isNotNull(), "malformed"),
        (user_id.isNull(), "missing_user"),
        (track_id.isNull(), "missing_track_id"),
        (plays.isNull() | (plays < 1) | (plays != F.floor(plays)) | (plays > 2**53), "bad_playcount"),
    ]
    return raw.select(
        user_id.alias("user_id"),
        track_id.alias("track_id"),
        plays.cast("long").alias("plays"),
        F.col(_SOURCE_ID).alias("source_id"),
        F.col(_FILE).alias("file"),
        *_judged(raw, _first_reason(reasons)),
    )


def _first_reason(reasons: list[tuple[Column, str]]) -> Column:
    """The code of the first condition that holds, null where none does; an unknown condition does not hold."""
    return F.coalesce(*[F.when(wrong, F.lit(code)) for wrong, code in reasons])


def _judged(raw: DataFrame, reason: Column) -> tuple[Column, Column]:
    """The reason, and where there is one the row's own text as JSON, in the file's order and without empty fields."""
    text = F.to_json(F.struct(*[F.col(f"`{c}`") for c in raw.columns if c not in (_FILE, _SOURCE_ID)]))
    return reason.alias("reason"), F.when(reason.isNotNull(), text).alias("row")


def _track_reason(fields: Mapping[str, Column], present: list[str]) -> Column:
    text_of = {"popularity": "track_popularity"} if "track_popularity" in present else {}
    reasons = [
        (F.col(_CORRUPT).isNotNull(), "malformed"),
        (fields["track_id"].isNull(), "missing_track_id"),
        (fields["name"].isNull(), "missing_title"),
        (fields["artists"].isNull() | (F.size(fields["artists"]) == 0), "missing_artist"),
    ]
    for name, (low, high) in _RANGES.items():
        text = text_of.get(name, name)
        if text in present:
            # Spark holds NaN greater than every number, so it is out of range too.
            wrong = _unreadable(text) | ~_number(text).between(low, high)
            whole = _number(text) != F.floor(_number(text)) if name in _WHOLE else F.lit(False)
            reasons.append((wrong | whole, f"bad_{name}"))
    if "target" in present:
        reasons.append((_unreadable("target") | ~_number("target").isin(0.0, 1.0), "bad_target"))
    duration = _number("duration_ms")
    reasons.append((_unreadable("duration_ms") | (duration > 2**53), "bad_duration_ms"))
    reasons.append((duration < 0, "negative_duration"))
    return _first_reason(reasons)


def _text(name: str) -> Column:
    """A field's text, trimmed; null where it shows nothing."""
    return trimmed(F.col(f"`{name}`"))


def _id(name: str) -> Column:
    """An id of Spotify or the catalogue's own; null for "None", "nan" and the like."""
    return spotify_column(_text(name))


def _number(name: str) -> Column:
    """A field as a number, null where it is not one; "6.0" and "6" are the same."""
    return F.expr(f"try_cast(trim(`{name}`) AS double)")


def _unreadable(name: str) -> Column:
    return _text(name).isNotNull() & _number(name).isNull()


def _year(text: Column) -> Column:
    """The year at the start of a date (`YYYY`, `YYYY-MM`, `YYYY-MM-DD`) or number; null where it cannot be one."""
    year = F.regexp_extract(text, r"^(\d{4})(?:\.0+)?(?:-|$)", 1).try_cast("int")
    return F.when(year.between(1860, 2100), year)


def _listed(text: Column, separator: str) -> Column:
    # A lambda, because F.transform would hand F.trim the place in the list as the letters to trim.
    parts = F.transform(F.split(text, separator), lambda part: F.trim(part))
    return F.filter(parts, lambda part: part != "")


def _lower(values: Column) -> Column:
    return F.transform(values, F.lower)


def _alone(text: Column) -> Column:
    return F.when(text.isNotNull(), F.array(text))


def _genres(*texts: Column) -> Column:
    return _lower(F.array_compact(F.array(*texts)))


def _python_list(name: str) -> Column:
    """The strings of a Python list as text (`['Uli', "Sinead O'Connor"]`); null where it is not one."""
    return pandas_udf(_parse_lists, ArrayType(StringType()))(F.col(name))  # type: ignore[call-overload,no-any-return]


def _parse_lists(texts: pd.Series) -> pd.Series:
    return texts.map(_parse_list)


def _parse_list(text: str | None) -> list[str] | None:
    if not text:
        return None
    try:
        values = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(values, list):
        return None
    return [str(value).strip() for value in values if str(value).strip()]


def _features() -> dict[str, Column]:
    return {name: _number(name) for name in (*AUDIO_FEATURES, "duration_ms")}


def _spotify_songs() -> dict[str, Column]:
    return _features() | {
        "track_id": _id("track_id"),
        "name": _text("track_name"),
        "artists": _alone(_text("track_artist")),
        "album_id": _text("track_album_id"),
        "album_name": _text("track_album_name"),
        "release_date": _text("track_album_release_date"),
        "year": _year(_text("track_album_release_date")),
        "popularity": _number("track_popularity"),
        "genres": _genres(_text("playlist_genre"), _text("playlist_subgenre")),
    }


def _hit_predictor() -> dict[str, Column]:
    uri = F.regexp_replace(_text("uri"), "/*(?:[?#].*)?$", "")
    return _features() | {
        "track_id": spotify_column(F.element_at(F.split(uri, "[:/]"), -1)),
        "name": _text("track"),
        "artists": _alone(_text("artist")),
        "time_signature": _number("time_signature"),
        "is_hit": _number("target") == 1,
    }


def _music_info() -> dict[str, Column]:
    return _features() | {
        "track_id": F.coalesce(_id("spotify_id"), _id("track_id")),
        "name": _text("name"),
        "artists": _alone(_text("artist")),
        "year": _year(_text("year")),
        "genres": _genres(_text("genre")),
        "tags": _lower(_listed(_text("tags"), ",")),
        "preview_url": _text("spotify_preview_url"),
        "time_signature": _number("time_signature"),
    }


def _tracks_600k() -> dict[str, Column]:
    return _features() | {
        "track_id": _id("id"),
        "name": _text("name"),
        "artists": _python_list("artists"),
        "artist_ids": _python_list("id_artists"),
        "release_date": _text("release_date"),
        "year": _year(_text("release_date")),
        "explicit": _text("explicit").try_cast("boolean"),
        "popularity": _number("popularity"),
        "time_signature": _number("time_signature"),
    }


def _spotify_1million() -> dict[str, Column]:
    return _features() | {
        "track_id": _id("track_id"),
        "name": _text("track_name"),
        "artists": _alone(_text("artist_name")),
        "year": _year(_text("year")),
        "popularity": _number("popularity"),
        "genres": _genres(_text("genre")),
        "time_signature": _number("time_signature"),
    }


def _dataset_114k() -> dict[str, Column]:
    return _features() | {
        "track_id": _id("track_id"),
        "name": _text("track_name"),
        "artists": _listed(_text("artists"), ";"),
        "album_name": _text("album_name"),
        "explicit": _text("explicit").try_cast("boolean"),
        "popularity": _number("popularity"),
        "genres": _genres(_text("track_genre")),
        "time_signature": _number("time_signature"),
    }


_LAYOUTS: Mapping[str, Callable[[], dict[str, Column]]] = {
    "spotify_songs": _spotify_songs,
    "hit_predictor": _hit_predictor,
    "music_info": _music_info,
    "tracks_600k": _tracks_600k,
    "spotify_1million": _spotify_1million,
    "dataset_114k": _dataset_114k,
}
