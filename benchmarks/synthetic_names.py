"""Invented names and ids of the tracks of a synthetic world, and a catalogue that spells some of them otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.listening import World
from musicrec.schemas import AUDIO_FEATURES

_ONSETS = [
    "b",
    "br",
    "c",
    "ch",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "r",
    "s",
    "sh",
    "st",
    "t",
    "tr",
    "v",
    "w",
    "z",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "oo"]
_CODAS = ["", "n", "r", "l", "s", "m", "nd", "ck"]
_WORDS = 6000
_UNMAPPED = 0.1  # share of tracks that MusicBrainz does not know
_MARKS = (" - Remastered 2011", " (feat. The Others)", " - Radio Edit", " (Live)", " [Explicit]")
_IN_CATALOGUE = 0.6  # share of the played tracks that the catalogue has; as many as a fifth more were never played


@dataclass(frozen=True)
class Names:
    """Texts by track [tracks]; `titles` and `msids` by spelling [2 × tracks]: the usual one, then another."""

    artists: pa.Array
    titles: pa.Array
    releases: pa.Array
    msids: pa.Array
    mbids: pa.Array
    artist_mbids: pa.ListArray
    artist_names: list[str]


def make_names(world: World, seed: int) -> Names:
    """Draw the names of all artists and tracks."""
    rng = np.random.default_rng([seed, 1])
    tracks, artists = len(world.artist_of), len(world.first_track) - 1
    words = _words(rng)
    artist_names = _phrases(rng, words, artists, (0.25, 0.5, 0.25))
    artist_names = [
        f"The {name}" if the else name for name, the in zip(artist_names, rng.random(artists) < 0.2, strict=True)
    ]
    titles = _phrases(rng, words, tracks, (0.2, 0.4, 0.25, 0.15))
    marks = rng.integers(0, len(_MARKS), tracks)
    spelt = [text for title, mark in zip(titles, marks, strict=True) for text in (title, title + _MARKS[mark])]
    of_artist = pa.array(world.artist_of)
    mbids = pa.array(_uuids(rng, tracks), mask=rng.random(tracks) < _UNMAPPED)
    artist_ids = pa.array(_uuids(rng, artists)).take(of_artist)
    # A track that is not mapped has no artist's id either.
    starts = np.concatenate([[0], np.cumsum(mbids.is_valid().to_numpy(zero_copy_only=False))]).astype(np.int32)
    lists = pa.ListArray.from_arrays(
        pa.array(starts, mask=np.append(mbids.is_null().to_numpy(zero_copy_only=False), False)),
        artist_ids.filter(mbids.is_valid()),
    )
    releases = pa.array(titles).take(pa.array(world.first_track[world.artist_of]))
    return Names(
        artists=pa.array(artist_names).take(of_artist),
        titles=pa.array(spelt),
        releases=releases,
        msids=pa.array(_uuids(rng, 2 * tracks)),
        mbids=mbids,
        artist_mbids=lists,
        artist_names=artist_names,
    )


def catalogue_rows(world: World, names: Names, seed: int) -> pd.DataFrame:
    """A catalogue in the layout `spotify_1million`: some of the played tracks, and some that nobody played."""
    rng = np.random.default_rng([seed, 2])
    tracks = len(world.artist_of)
    known = np.flatnonzero(rng.random(tracks) < _IN_CATALOGUE)
    others = rng.integers(0, len(names.artist_names), tracks // 5)
    rows = len(known) + len(others)
    spelling = known * 2 + (rng.random(len(known)) < 0.1)
    unplayed = _phrases(rng, _words(rng), len(others), (0.2, 0.4, 0.25, 0.15))
    frame = pd.DataFrame(
        {
            "artist_name": [*names.artists.take(pa.array(known)).to_pylist(), *(names.artist_names[a] for a in others)],
            "track_name": [*names.titles.take(pa.array(spelling)).to_pylist(), *unplayed],
            "track_id": [f"synthetic{number:013d}" for number in range(rows)],
            "popularity": rng.integers(0, 100, rows),
            "year": rng.integers(1960, 2021, rows),
            "genre": [f"genre {number}" for number in rng.integers(0, 40, rows)],
        }
    )
    scales = {"key": 11.0, "loudness": -30.0, "mode": 1.0, "tempo": 200.0}
    for feature in AUDIO_FEATURES:
        values = rng.random(rows) * scales.get(feature, 1.0)
        frame[feature] = np.round(values) if feature in ("key", "mode") else np.round(values, 4)
    frame["duration_ms"] = rng.integers(90_000, 420_000, rows)
    frame["time_signature"] = 4
    return frame


def _words(rng: np.random.Generator) -> NDArray[np.object_]:
    """Pronounceable words of one to three syllables."""
    made: dict[str, None] = {}
    while len(made) < _WORDS:
        syllables = rng.integers(1, 4)
        parts = [str(rng.choice(kind)) for _ in range(syllables) for kind in (_ONSETS, _VOWELS, _CODAS)]
        made["".join(parts).capitalize()] = None
    return np.array(list(made), dtype=object)


def _phrases(rng: np.random.Generator, words: NDArray[np.object_], count: int, lengths: tuple[float, ...]) -> list[str]:
    """Texts of one word or more, the first words most often."""
    size = rng.choice(len(lengths), count, p=lengths) + 1
    drawn = words[(len(words) * rng.random((count, len(lengths))) ** 1.5).astype(np.int64)]
    return [" ".join(row[:n]) for row, n in zip(drawn.tolist(), size.tolist(), strict=True)]


def _uuids(rng: np.random.Generator, count: int) -> list[str]:
    digits = rng.bytes(16 * count).hex()
    texts = (digits[start : start + 32] for start in range(0, 32 * count, 32))
    return [f"{t[:8]}-{t[8:12]}-4{t[13:16]}-a{t[17:20]}-{t[20:]}" for t in texts]
