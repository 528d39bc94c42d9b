"""The CSV files that are taken in, each known by the columns it must have; others that it has are ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def recognise(header: Sequence[str], where: str) -> CatalogueSchema:
    """The schema of a file with this header; of several that fit, the one that asks for most columns.

    Raises
    ------
    InputError : none fits, or two columns have one name; names the nearest schema and the columns that it lacks.
    """
    found = set(header)
    named = [column for column in header if column]
    if len(named) != len(set(named)):
        repeated = sorted({column for column in named if named.count(column) > 1})
        raise InputError(where, "each column once in the header", f"{', '.join(repeated)} again")
    fitting = [schema for schema in CATALOGUE_SCHEMAS.values() if found.issuperset(schema.columns)]
    if fitting:
        return max(fitting, key=lambda schema: (len(schema.columns), schema.name))
    nearest = max(CATALOGUE_SCHEMAS.values(), key=lambda schema: (_likeness(found, schema), schema.name))
    missing = [column for column in nearest.columns if column not in found]
    if len(missing) == len(nearest.columns):
        expected = f"the columns of one of {', '.join(sorted(CATALOGUE_SCHEMAS))}"
    else:
        expected = f"the columns of {nearest.name}, the nearest known layout (missing: {', '.join(missing)})"
    raise InputError(where, expected, f"the columns {', '.join(header)}")


def _likeness(found: set[str], schema: CatalogueSchema) -> float:
    """Jaccard similarity of a header's columns and a schema's."""
    wanted = set(schema.columns)
    return len(found & wanted) / len(found | wanted)
