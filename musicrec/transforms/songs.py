"""One row a song: the tracks that are the same recording under several ids, and who is credited on them."""

from __future__ import annotations

import itertools
import re

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.schemas import AUDIO_FEATURES
from musicrec.transforms.folding import fold
from musicrec.transforms.marks import guests
from musicrec.transforms.text import artist_key, artist_key_column, title_key_column

SONG_KEY = ("artist_key", "title_key")

_FIELDS = ("name", "artists", "duration_ms", "popularity", *AUDIO_FEATURES)

# What may stand between two guests. A guest's own name may hold one ("Earth, Wind & Fire"), so each run of pieces is
# tried as a name, and the longest that is one is taken.
_BETWEEN = re.compile(r"\s*(?:[&+,;/]|\b(?:and|with|x|y|vs|feat|ft|featuring)\b\.?)\s*")
_MOST_PIECES = 8
_MENTION = "array<struct<mention: int, start: int, end: int, artist_key: string>>"


def keyed_tracks(tracks: DataFrame) -> DataFrame:
    """silver.tracks with the keys of its song: artist_key of the first artist, and title_key.

    A track without an artist or a name is a song of its own, under its track_id.
    """
    first = artist_key_column(F.get("artists", F.lit(0)))
    title = title_key_column(F.col("name"))
    return tracks.withColumns(
        {
            "artist_key": F.coalesce(first, F.lit("")),
            "title_key": F.coalesce(F.nullif(title, F.lit("")), F.col("track_id")),
        }
    )


def songs(keyed: DataFrame) -> DataFrame:
    """(artist_key, title_key, track_id, year, genres, the track's other fields): one row a song.

    The fields are those of the song's most popular track, of equals the smallest track_id; the year is the earliest
    of its tracks', since a later one is a reissue's; the genres are united.
    """
    order = F.struct((-F.coalesce("popularity", F.lit(-1.0))).alias("less"), "track_id")
    grouped = keyed.groupBy(*SONG_KEY).agg(
        F.min_by(F.struct("track_id", *_FIELDS), order).alias("track"),
        F.min("year").alias("year"),
        F.array_sort(F.array_distinct(F.flatten(F.collect_list("genres")))).alias("genres"),
    )
    return grouped.select(*SONG_KEY, "track.*", "year", "genres")


def credits(keyed: DataFrame) -> DataFrame:
    """(artist_key of the song, title_key, credited): the artists of each song, once each, by their keys.

    These are the artists that the catalogue lists, and the guests that it names in a title or in an artist's name
    ("Hide Away (feat. Envy Monroe)"). A guest counts where the catalogue lists an artist of that name somewhere.
    """
    names = keyed.select(*SONG_KEY, F.explode("artists").alias("name"))
    listed = names.select(*SONG_KEY, artist_key_column(F.col("name")).alias("credited")).distinct()
    known = listed.select("credited").distinct()
    texts = F.concat_ws(" \n ", "artists", "name")
    mentions = keyed.where(texts.rlike(r"(?i)(?:\b(?:feat|ft|featuring|with)\b|\bw/)")).select(
        *SONG_KEY, "track_id", F.explode(F.udf(guest_spans, _MENTION)(texts)).alias("span")
    )
    met = mentions.join(known, F.col("span.artist_key") == F.col("credited"), "left_semi")
    of_track = met.groupBy(*SONG_KEY, "track_id").agg(F.collect_list("span").alias("spans"))
    guest = F.explode(F.filter("spans", lambda span: ~F.exists("spans", lambda other: _holds(other, span))))
    named = of_track.select(*SONG_KEY, guest.alias("guest")).select(*SONG_KEY, F.col("guest.artist_key"))
    return listed.union(named).where("credited <> ''").distinct()


def _holds(outer: Column, inner: Column) -> Column:
    """Whether one span lies within another, longer one of the same mention."""
    within = (outer["start"] <= inner["start"]) & (inner["end"] <= outer["end"])
    longer = (outer["end"] - outer["start"]) > (inner["end"] - inner["start"])
    return (outer["mention"] == inner["mention"]) & within & longer


def guest_spans(text: str) -> list[tuple[int, int, int, str]]:
    """(mention, first piece, end, artist_key) of every run of pieces in the mentions of guests in a text.

    >>> [key for *_, key in guest_spans("Airplanes (feat. B.o.B & Hayley Williams)")]
    ['bob', 'bob and hayley williams', 'hayley williams']
    """
    found = []
    for number, mention in enumerate(part for line in text.split("\n") for part in guests(fold(line))):
        pieces = _pieces(mention)
        for start in range(len(pieces)):
            for end in range(start + 1, len(pieces) + 1):
                key = artist_key(mention[pieces[start][0] : pieces[end - 1][1]])
                if key:
                    found.append((number, start, end, key))
    return found


def _pieces(mention: str) -> list[tuple[int, int]]:
    """Start and end of what stands between the separators; the first few."""
    cuts = [(0, 0), *(match.span() for match in _BETWEEN.finditer(mention)), (len(mention), len(mention))]
    spans = [(left[1], right[0]) for left, right in itertools.pairwise(cuts)]
    return [(start, end) for start, end in spans if mention[start:end].strip()][:_MOST_PIECES]
