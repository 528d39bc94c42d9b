"""Which song somebody means: by what they typed, with near matches where there is no such song."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, process

from musicrec.errors import InputError
from musicrec.transforms.ids import mbid
from musicrec.transforms.text import artist_key, title_key

_SPOTIFY = re.compile(r"(?:spotify:|https?://open\.spotify\.com/)(?:[^\s?#]*[:/])?track[:/]+([0-9A-Za-z]+)")
_BETWEEN = " - "
# What may stand between artist and title: a hyphen or dash with spaces around it; a dash, which joins no words, also
# without.
_SPACED = re.compile(r"\s+[-‐‑‒–—―−⸺⸻﹘﹣－─━]+\s+")
_DASH = re.compile(r"\s*[‒–—―−⸺⸻﹘─━]+\s*|\s+[-‐‑﹣－]\s*|\s*[-‐‑﹣－]\s+")
_HYPHEN = re.compile(r"[-‐‑﹣－]")
# Likeness, of 100, from which a name is worth showing, and from which it is taken for the one that was meant.
_NEAR, _MEANT = 60.0, 88.0
# A name is only taken for another that is likelier by so much than the next.
_AHEAD = 4.0
_SHOWN = 3


@dataclass(frozen=True)
class SongNames:
    """The names of all songs.

    Attributes
    ----------
    titles, artists : as shown, of each song.
    by_key : artist key and title key → song, for each way that its tracks and recordings are called.
    by_id : track_id or recording_id → song.
    popularity : of each song; of several with one title the first shown is the most popular.
    """

    titles: Sequence[str]
    artists: Sequence[str]
    by_key: Mapping[tuple[str, str], int]
    by_id: Mapping[str, int]
    popularity: Sequence[float]

    def shown(self, song: int) -> str:
        """A song as one types it."""
        return f"{self.artists[song]}{_BETWEEN}{self.titles[song]}"

    def find(self, text: str, where: str) -> int:
        """The song of `Artist - Title`, of a title that one artist alone has, or of an id or address of its track.

        Any dash will do for the hyphen, and `Title - Artist` where no song is called so the other way round.

        Raises
        ------
        InputError : there is none, with the nearest named; or several artists have the title.
        """
        song = self._of_id(text)
        if song is not None:
            return song
        song = self._read(text, (_SPACED, _DASH))
        if song is None and not self._titled(text):
            song = self._read(text, (_HYPHEN,))
        if song is not None:
            return song
        # A title may hold a dash; an artist and a title that are not known are not one.
        if self._titled(text) or not _DASH.search(text):
            return self.find_title(text, where)
        raise InputError(where, f"a song that is known (nearest: {self._named(self.near(text))})", text)

    def _read(self, text: str, dashes: Sequence[re.Pattern[str]]) -> int | None:
        """The song of the first way to read the text as artist and title that is known."""
        keys = ((artist_key(artist), title_key(title)) for artist, title in _readings(text, dashes))
        return next((self.by_key[key] for key in keys if key in self.by_key), None)

    def find_title(self, title: str, where: str) -> int:
        """The song of a title that one artist alone has.

        Raises
        ------
        InputError : there is none, or several artists have one.
        """
        found = self._titled(title)
        if len(found) == 1:
            return found[0]
        if found:
            named = ", ".join(self.artists[song] for song in found[:_SHOWN])
            raise InputError(where, f"the artist too ({len(found)} have one: {named} ...)", title)
        raise InputError(where, f"a song that is known (nearest: {self._named(self.near(title))})", title)

    def _titled(self, title: str) -> list[int]:
        """The songs of a title, the most popular first."""
        wanted = title_key(title)
        found = {song for (_, key), song in self.by_key.items() if key == wanted}
        return sorted(found, key=lambda song: (-self.popularity[song], song))

    def meant(self, artist: str | None, title: str, where: str) -> int:
        """The song that is meant, a slip of the pen forgiven where only one song is as near.

        Raises
        ------
        InputError : none is near enough, with the nearest named.
        """
        text = f"{artist}{_BETWEEN}{title}" if artist else title
        try:
            return self.find(text, where)
        except InputError:
            nearest = self._scored(text)
            second = nearest[1][1] if len(nearest) > 1 else 0.0
            if artist and nearest and nearest[0][1] >= max(_MEANT, second + _AHEAD):
                return nearest[0][0]
            raise

    def near(self, text: str, n: int = _SHOWN) -> list[int]:
        """The songs whose artist and title are most like the text, in whatever order its words are."""
        return [song for song, _ in self._scored(text)[:n]]

    def _scored(self, text: str) -> list[tuple[int, float]]:
        keys = list(self.by_key)
        if _DASH.search(text):
            wanted = " ".join(_folded(text))
            choices = [f"{artist} {title}" for artist, title in keys]
        else:
            wanted = title_key(text)
            choices = [title for _, title in keys]
        found = process.extract(wanted, choices, scorer=fuzz.token_sort_ratio, limit=8 * _SHOWN, score_cutoff=_NEAR)
        best: dict[int, float] = {}
        for _, score, row in found:
            song = self.by_key[keys[row]]
            best[song] = max(best.get(song, 0.0), score)
        return sorted(best.items(), key=lambda pair: (-pair[1], -self.popularity[pair[0]], pair[0]))

    def _of_id(self, text: str) -> int | None:
        """The song of an id of our own, or of an address at Spotify or MusicBrainz."""
        address = _SPOTIFY.search(text)
        ids = (text, text.strip(), address[1] if address else None, mbid(text))
        return next((self.by_id[one] for one in ids if one is not None and one in self.by_id), None)

    def _named(self, songs: Sequence[int]) -> str:
        return ", ".join(f'"{self.shown(song)}"' for song in songs) or "none"


def near_words(text: str, known: Sequence[str], n: int = _SHOWN) -> list[str]:
    """The known words or phrases that are most like the text."""
    found = process.extract(text.casefold(), list(known), scorer=fuzz.WRatio, limit=n, score_cutoff=_NEAR)
    return [word for word, _, _ in found]


def _readings(text: str, dashes: Sequence[re.Pattern[str]]) -> Iterator[tuple[str, str]]:
    """Each way to read the text as artist and title, the likeliest first: either may hold a dash too."""
    for dash in dashes:
        cuts = [match.span() for match in dash.finditer(text)]
        pairs = [(text[:start], text[end:]) for start, end in cuts if text[:start].strip() and text[end:].strip()]
        yield from pairs
        yield from ((title, artist) for artist, title in pairs)


def _folded(text: str) -> tuple[str, str]:
    artist, *title = _DASH.split(text, maxsplit=1)
    return artist_key(artist), title_key("".join(title))
