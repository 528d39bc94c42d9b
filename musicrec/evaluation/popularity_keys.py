"""All artists of a track, so that none is on both sides of a split."""

from __future__ import annotations

import re
from collections.abc import Iterable

from musicrec.transforms.text import artist_key

# Guests that only the title names: "Song (feat. A, B & C)", "Song - with D".
_GUESTS = re.compile(r"(?:[(\[]|\s-\s|\s)\s*(?:feat\.?|ft\.?|featuring|with)\s+([^()\[\]]+)", re.IGNORECASE)
_BETWEEN = re.compile(r"\s*(?:,|&|\band\b|\bx\b|/|;)\s*", re.IGNORECASE)


def artist_keys(artists: Iterable[str], title: str) -> list[str]:
    """The keys of a track's artists and of the guests in its title, sorted.

    >>> artist_keys(["Drake"], "One Dance (feat. Wizkid & Kyla)")
    ['drake', 'kyla', 'wizkid']
    """
    names = list(artists)
    for name in list(names):
        # "A feat. B" is keyed as A; B is an artist of the track as well.
        names += _guests(name)
    names += _guests(title)
    return sorted({key for key in map(artist_key, names) if key})


def _guests(text: str) -> list[str]:
    bracketed = re.search(r"[(\[]\s*(?:feat\.?|ft\.?|featuring|with)\s", text, re.IGNORECASE)
    dotted = re.search(r"\s(?:feat\.?|ft\.|featuring)\s|\s-\s+with\s", text, re.IGNORECASE)
    if not bracketed and not dotted:
        return []
    return [name for match in _GUESTS.finditer(text) for name in _BETWEEN.split(match[1].split(" - ")[0]) if name]
