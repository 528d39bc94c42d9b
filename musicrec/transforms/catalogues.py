"""The rows of every catalogue layout, as text, brought to one shape; what cannot be right gets a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.schemas import AUDIO_FEATURES, TABLES
from musicrec.transforms.catalogue_faults import (
    Fault,
    judged,
    missing,
    missing_list,
    no_count,
    no_date,
    no_duration,
    no_flag,
    no_list,
    out_of_range,
    out_of_ranges,
    provenance,
    too_long,
    too_long_lists,
)
from musicrec.transforms.catalogue_text import (
    alone,
    date,
    flag,
    listed,
    lower,
    number,
    python_list,
    text,
    with_lists,
    year,
)
from musicrec.transforms.ids import listener_column, spotify_column

# What a layout may know of a track.
TRACK_FIELDS = tuple(c for c in TABLES["silver.tracks"].columns if c not in ("source", "sources"))

_IDS = ("track_id", "album_id")
_TEXTS = ("name", "album_name", "preview_url")
_LISTS = ("artists", "artist_ids", "genres", "tags")

# Columns that hold Python lists.
_PYTHON_LISTS = {"tracks_600k": ("artists", "id_artists")}

# The file's column where it is not called as the field is.
_COLUMN_OF: Mapping[str, Mapping[str, str]] = {
    "spotify_songs": {
        "name": "track_name",
        "artists": "track_artist",
        "popularity": "track_popularity",
        "release_date": "track_album_release_date",
    },
    "hit_predictor": {"track_id": "uri", "name": "track", "artists": "artist", "is_hit": "target"},
    "music_info": {"artists": "artist"},
    "tracks_600k": {"track_id": "id", "artist_ids": "id_artists"},
    "spotify_1million": {"name": "track_name", "artists": "artist_name"},
    "dataset_114k": {"name": "track_name"},
}


def unify(raw: DataFrame, schema_name: str) -> DataFrame:
    """A catalogue's text rows as rows of bronze.tracks, without `ingested_at`; no text makes it fail.

    Three columns more: `lines`, how many lines of the file a row takes; `reason`, null where it can be right, else the
    first thing that is wrong with it (`malformed`, `bad_encoding`, `too_long`, `missing_track_id`, `missing_title`,
    `missing_artist`, `bad_<field>`, `negative_duration`); and `row`, for a wrong row its line, what was expected and
    found, and its text, as JSON. Only empty text is missing: "None" and "NA" are titles and artists.
    """
    known = _LAYOUTS[schema_name]()
    fields = {name: F.lit(None) for name in TRACK_FIELDS} | known
    kinds = TABLES["bronze.tracks"].columns
    faults = _track_faults(known, {name: _COLUMN_OF[schema_name].get(name, name) for name in known})
    rows = judged(with_lists(raw, *_PYTHON_LISTS.get(schema_name, ())), faults)
    unified = [fields[name].try_cast(kinds[name]).alias(name) for name in TRACK_FIELDS]
    return rows.select(F.lit(schema_name).alias("source"), *unified, *provenance(rows, faults))


def unify_artists(raw: DataFrame) -> DataFrame:
    """The text rows of artists.csv as rows of bronze.artists, with `lines`, `reason` and `row` as of `unify`."""
    artist_id, name, genres = _id("id"), text("name"), lower(python_list("genres"))
    faults = [
        *too_long({"id": artist_id, "name": name}, ids=("id",)),
        *too_long_lists({"genres": genres}),
        missing(artist_id, "missing_artist_id", "an artist's id", "id"),
        missing(name, "missing_artist", "an artist's name", "name"),
        out_of_range("popularity", "popularity"),
        *no_count("followers", "bad_followers"),
        no_list(genres, "genres", "bad_genres"),
    ]
    rows = judged(with_lists(raw, "genres"), faults)
    return rows.select(
        artist_id.alias("artist_id"),
        name.alias("name"),
        number("followers").try_cast("long").alias("followers"),
        genres.alias("genres"),
        number("popularity").alias("popularity"),
        *provenance(rows, faults),
    )


def unify_play_counts(raw: DataFrame) -> DataFrame:
    """The text rows of a listening history as rows of bronze.play_counts, with the same three columns more."""
    user_id, track_id, plays = listener_column(text("user_id")), _id("track_id"), number("playcount")
    faults = [
        *too_long({"user_id": user_id, "track_id": track_id}, ids=("user_id", "track_id")),
        missing(user_id, "missing_user", "a listener's id", "user_id"),
        missing(track_id, "missing_track_id", "a track's id", "track_id"),
        missing(plays, "bad_playcount", "a number", "playcount"),
        *no_count("playcount", "bad_playcount", least=1),
    ]
    rows = judged(raw, faults)
    return rows.select(
        user_id.alias("user_id"),
        track_id.alias("track_id"),
        plays.try_cast("long").alias("plays"),
        *provenance(rows, faults),
    )


def _track_faults(known: Mapping[str, Column], columns: Mapping[str, str]) -> list[Fault]:
    """What may be wrong with a track of a layout that knows these fields, from these columns of the file."""
    faults = [
        *too_long({name: known[name] for name in (*_IDS, *_TEXTS) if name in known}, ids=_IDS),
        *too_long_lists({name: known[name] for name in _LISTS if name in known}),
        missing(known["track_id"], "missing_track_id", "a track's id", columns["track_id"]),
        missing(known["name"], "missing_title", "a title", columns["name"]),
        missing_list(known["artists"], "missing_artist", "an artist or a list of them", columns["artists"]),
        *out_of_ranges(columns),
        *no_duration(columns["duration_ms"]),
    ]
    if "is_hit" in known:
        faults.append(out_of_range(columns["is_hit"], "target"))
    if "explicit" in known:
        faults.append(no_flag(columns["explicit"], "bad_explicit"))
    if "artist_ids" in known:
        faults.append(no_list(known["artist_ids"], columns["artist_ids"], "bad_artist_ids"))
    if "release_date" in known:
        faults.append(no_date(columns["release_date"], "bad_release_date"))
    elif "year" in known:
        faults.append(no_date(columns["year"], "bad_year"))
    return faults


def _id(name: str) -> Column:
    """An id of Spotify or the catalogue's own; null for "None", "nan" and the like."""
    return spotify_column(text(name))


def _genres(*texts: Column) -> Column:
    return lower(F.array_compact(F.array(*texts)))


def _features() -> dict[str, Column]:
    return {name: number(name) for name in (*AUDIO_FEATURES, "duration_ms")}


def _spotify_songs() -> dict[str, Column]:
    return _features() | {
        "track_id": _id("track_id"),
        "name": text("track_name"),
        "artists": alone(text("track_artist")),
        "album_id": text("track_album_id"),
        "album_name": text("track_album_name"),
        "release_date": date("track_album_release_date"),
        "year": year("track_album_release_date"),
        "popularity": number("track_popularity"),
        "genres": _genres(text("playlist_genre"), text("playlist_subgenre")),
    }


def _hit_predictor() -> dict[str, Column]:
    uri = F.regexp_replace(text("uri"), r"(?s)(?<!/)/*+(?:[?#].*)?$", "")
    return _features() | {
        "track_id": spotify_column(F.element_at(F.split(uri, "[:/]"), -1)),
        "name": text("track"),
        "artists": alone(text("artist")),
        "time_signature": number("time_signature"),
        "is_hit": number("target") == 1,
    }


def _music_info() -> dict[str, Column]:
    return _features() | {
        "track_id": F.coalesce(_id("spotify_id"), _id("track_id")),
        "name": text("name"),
        "artists": alone(text("artist")),
        "year": year("year"),
        "genres": _genres(text("genre")),
        "tags": lower(listed(text("tags"), ",")),
        "preview_url": text("spotify_preview_url"),
        "time_signature": number("time_signature"),
    }


def _tracks_600k() -> dict[str, Column]:
    return _features() | {
        "track_id": _id("id"),
        "name": text("name"),
        "artists": python_list("artists"),
        "artist_ids": python_list("id_artists"),
        "release_date": date("release_date"),
        "year": year("release_date"),
        "explicit": flag("explicit"),
        "popularity": number("popularity"),
        "time_signature": number("time_signature"),
    }


def _spotify_1million() -> dict[str, Column]:
    return _features() | {
        "track_id": _id("track_id"),
        "name": text("track_name"),
        "artists": alone(text("artist_name")),
        "year": year("year"),
        "popularity": number("popularity"),
        "genres": _genres(text("genre")),
        "time_signature": number("time_signature"),
    }


def _dataset_114k() -> dict[str, Column]:
    return _features() | {
        "track_id": _id("track_id"),
        "name": text("track_name"),
        "artists": listed(text("artists"), ";"),
        "album_name": text("album_name"),
        "explicit": flag("explicit"),
        "popularity": number("popularity"),
        "genres": _genres(text("track_genre")),
        "time_signature": number("time_signature"),
    }


_LAYOUTS: Mapping[str, Callable[[], dict[str, Column]]] = {
    "spotify_songs": _spotify_songs,
    "hit_predictor": _hit_predictor,
    "music_info": _music_info,
    "tracks_600k": _tracks_600k,
    "spotify_1million": _spotify_1million,
    "dataset_114k": _dataset_114k,
}
