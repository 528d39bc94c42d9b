"""The CSV files that are taken in, each known by the columns it must have; others that it has are ignored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from musicrec.errors import InputError

CatalogueKind = Literal["tracks", "artists", "play_counts"]


@dataclass(frozen=True)
class CatalogueSchema:
    """One published layout: the bronze table that it fills and the columns that tell it from the others."""

    name: str
    kind: CatalogueKind
    columns: tuple[str, ...]


def _columns(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FEATURES = (
    "danceability energy key loudness mode speechiness acousticness instrumentalness liveness valence tempo duration_ms"
)

CATALOGUE_SCHEMAS: Mapping[str, CatalogueSchema] = {
    schema.name: schema
    for schema in (
        CatalogueSchema(
            "spotify_songs",
            "tracks",
            _columns(
                "track_id track_name track_artist track_popularity track_album_id track_album_name "
                f"track_album_release_date playlist_genre playlist_subgenre {_FEATURES}"
            ),
        ),
        CatalogueSchema("hit_predictor", "tracks", _columns(f"track artist uri {_FEATURES} time_signature target")),
        CatalogueSchema(
            "music_info",
            "tracks",
            _columns(
                "track_id name artist spotify_preview_url spotify_id tags genre year "
                f"{_FEATURES} time_signature"
            ),
        ),
        CatalogueSchema(
            "tracks_600k",
            "tracks",
            _columns(
                f"id name popularity explicit artists id_artists release_date {_FEATURES} time_signature"
            ),
        ),
        CatalogueSchema(
            "spotify_1million",
            "tracks",
            _columns(f"artist_name track_name track_id popularity year genre {_FEATURES} time_signature"),
        ),
        CatalogueSchema(
            "dataset_114k",
            "tracks",
            _columns(
                "track_id artists album_name track_name popularity explicit "
                f"{_FEATURES} time_signature track_genre"
            ),
        ),
        CatalogueSchema("artists", "artists", _columns("id followers genres name popularity")),
        CatalogueSchema("user_listening_history", "play_counts", _columns("track_id user_id playcount")),
    )
}  # fmt: skip

_KNOWN = frozenset(column for schema in CATALOGUE_SCHEMAS.values() for column in schema.columns)
_SHOWN = 500  # letters of a header in a message
_LONGEST = 100  # letters of a column's name
_MOST_COLUMNS = 1_000


def known_columns(header: Sequence[str]) -> dict[str, int]:
    """The header's columns that a layout knows, by the layout's spelling, with their places; case does not matter.

    Of columns that differ in case only, the one in the layout's spelling counts, else the first.
    """
    found: dict[str, int] = {}
    for place, column in enumerate(header):
        name = column.lower()
        if name in _KNOWN and (name not in found or (column == name and header[found[name]] != name)):
            found[name] = place
    return found


def name_columns(header: Sequence[str], schema: CatalogueSchema, reserved: Sequence[str]) -> tuple[str, ...]:
    """A name for each column, no two alike whatever their case: the layout's own, else the file's.

    A column without a name is called `_column_N`, N from 0; one whose name is taken gets `_N` behind it.
    """
    known = {place: name for name, place in known_columns(header).items() if name in schema.columns}
    taken = {*(name.lower() for name in reserved), *known.values()}
    names = []
    for place, column in enumerate(header):
        name = known.get(place)
        if name is None:
            name = column[:_LONGEST] or f"_column_{place}"
            while name.lower() in taken:
                name = f"{name}_{place}"
            taken.add(name.lower())
        names.append(name)
    return tuple(names)


def recognise(header: Sequence[str], where: str, how_read: str = "") -> CatalogueSchema:
    """The schema of a file with this header; of several that fit, the one that asks for most columns.

    Parameters
    ----------
    where : the file.
    how_read : what the message says of how the header was read.

    Raises
    ------
    InputError : none fits (names the nearest and what it lacks), a column of it is there twice, or far too many.
    """
    found = known_columns(header)
    fitting = [schema for schema in CATALOGUE_SCHEMAS.values() if found.keys() >= set(schema.columns)]
    if fitting:
        schema = max(fitting, key=lambda schema: (len(schema.columns), schema.name))
        _check_once(header, found, schema, where)
        if len(header) > _MOST_COLUMNS:
            raise InputError(where, f"at most {_MOST_COLUMNS} columns", str(len(header)))
        return schema
    nearest = max(CATALOGUE_SCHEMAS.values(), key=lambda schema: (_likeness(found.keys(), schema), schema.name))
    missing = [column for column in nearest.columns if column not in found]
    if len(missing) == len(nearest.columns):
        expected = f"the columns of one of {', '.join(sorted(CATALOGUE_SCHEMAS))}"
    else:
        expected = f"the columns of {nearest.name}, the nearest known layout (missing: {', '.join(missing)})"
    raise InputError(where, expected, f"the columns {_listed(header)}{how_read}")


def _check_once(header: Sequence[str], found: Mapping[str, int], schema: CatalogueSchema, where: str) -> None:
    """Two columns are one where both are spelt as the layout does, or neither is."""
    for name in schema.columns:
        alike = [column for column in header if column.lower() == name]
        if alike.count(name) > 1 or (len(alike) > 1 and name not in alike):
            raise InputError(where, f"the column {name} once in the header", f"{', '.join(alike)}: {name} again")


def _listed(header: Sequence[str]) -> str:
    """The columns for a message, without what cannot be printed."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in ", ".join(header))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} … ({len(header)} columns)"


def _likeness(found: Collection[str], schema: CatalogueSchema) -> float:
    """Jaccard similarity of a header's known columns and a schema's."""
    wanted = set(schema.columns)
    return len(wanted.intersection(found)) / len(wanted.union(found))
