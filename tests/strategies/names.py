"""Names as they are spelt: any text, pieces that names are made of, and what nobody sees in them."""

from __future__ import annotations

import unicodedata
from typing import Any

from hypothesis import strategies as st

# Of each kind of what shows nothing, by its code: soft hyphen, joiners, directions, selectors, tags, fillers.
UNSEEN = [
    "\u00ad", "\u034f", "\u061c", "\u115f", "\u180b", "\u200b", "\u200c", "\u200d", "\u200e", "\u202a", "\u202e",
    "\u2060", "\u2066", "\u2069", "\u3164", "\ufe00", "\ufe0e", "\ufe0f", "\ufeff", "\ufff9", "\U000e0001",
    "\U000e0067", "\U000e007f", "\U000e0100", "\x00", "\x07", "\x7f", "\x92",
]  # fmt: skip
HYPHENS = ["\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2015", "\u2212", "\ufe63", "\uff0d"]
APOSTROPHES = [
    "\u2018", "\u2019", "\u201b", "\u2032", "\u02b9", "\u02bb", "\u02bc", "\u00b4", "`", "\uff07", "\u02c0", "\u0384",
    "\u1fbf", "\u1ffd",
]  # fmt: skip
SPACES = ["\u00a0", "\u2000", "\u2009", "\u202f", "\u205f", "\u3000", "\u1680", "\t", "\u2028", "\u2800"]

PIECES = st.sampled_from(
    ["the ", "The", " feat. ", " ft. x", " feat", "Little Feat", " featuring ", " (feat. ", "Ft. Worth", " (Live)",
     " - 2011 Remaster", " [Mono]", " & ", " + ", "+", " 'n' ", "R.E.M.", "lovin'", " Pt. ", "II", " - ", "(", ")", "é",
     "ﬁ", "が", "й", "हि", "ß", "İ", "!", "$", "'", "/", "n", "f.e.a.t. x", "♯", "#", "#1", "♭", "<3", "100%", "☀️", "❤",
     "÷", "×", "°", "№", "Number 9", "(with you)", "@", "<", ">", " :)", ":(", "-1", "‰", "【", "】",
     "٣", "★", "مُحَمَّد", "שָׁלוֹם", "한", "½", "C#", "No.", "the"]
)  # fmt: skip


def names() -> st.SearchStrategy[str]:
    """Any text, and texts of the pieces that names are made of."""
    return st.one_of(st.text(max_size=12), st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=6).map("".join))


@st.composite
def spelt_twice(draw: Any) -> tuple[str, str]:
    """A name, and the same with what nobody sees put in, decomposed or composed."""
    name = unicodedata.normalize("NFC", draw(names()))
    other = list(unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), name))
    for place in sorted(draw(st.lists(st.integers(0, len(other)), max_size=4)), reverse=True):
        other.insert(place, draw(st.sampled_from(UNSEEN)))
    return name, "".join(other)
