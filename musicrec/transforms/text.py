"""The keys under which spellings of one artist or title meet; what merges and what stays apart is in decision 0003.

Pure Python, because Unicode decomposition has no Spark expression; the column forms compute each distinct spelling
of an Arrow batch once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import StringType

from musicrec.transforms.folding import BLANK, BLANKS, LETTER, fold, seen, words
from musicrec.transforms.marks import without_guests, without_marks

_NUMERALS = (
    ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"),
    ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
)
_ROMAN = {numeral: str(value) for numerals in _NUMERALS for value, numeral in enumerate(numerals, start=1)}
# Words without anything that a second pass could change: the common case, at half the cost.
_SETTLED = re.compile(r"(?!the )(?!.*\b(?:n|feat|featuring|part|parts|pt|pts)\b)[a-z0-9]+(?: [a-z0-9]+)*")
_PART = {"pt": "part", "pts": "part", "parts": "part"}
_NUMBERS = frozenset({"number", "nos", "nr"})
# What is left of a text whose marks are gone, and tells nothing.
_LEFT_OVER = re.compile(r"[\s,;:/()\[\]{}'\"-]*")
_FINAL_THE = re.compile(r",\s*the\s*$")


@lru_cache(maxsize=4096)  # names come in runs, and their forms ask for the same keys again
def artist_key(name: str) -> str:
    """The key of an artist's name; its own key, and empty only where `name` shows nothing.

    >>> artist_key("The Beatles"), artist_key("Beyoncé feat. JAY-Z"), artist_key("Little Feat")
    ('beatles', 'beyonce', 'little feat')
    """
    return _settled(_artist_once, name)


@lru_cache(maxsize=4096)
def title_key(title: str) -> str:
    """The key of a title, without guests and marks of the same recording; empty only where `title` shows nothing.

    >>> title_key("Don't Stop - 2004 Remaster"), title_key("Hotel California (Live)"), title_key("!!!")
    ('dont stop', 'hotel california live', '!!!')
    """
    return _settled(_title_once, title)


def artist_key_column(name: Column) -> Column:
    """`artist_key` of a string column; null stays null."""
    return pandas_udf(_artist_keys, StringType())(name)  # type: ignore[call-overload,no-any-return]


def title_key_column(title: Column) -> Column:
    """`title_key` of a string column; null stays null."""
    return pandas_udf(_title_keys, StringType())(title)  # type: ignore[call-overload,no-any-return]


def trimmed(text: Column) -> Column:
    """A text without the blanks at its ends; null where it shows nothing."""
    # Nearly all texts begin and end with a plain letter; to look for every blank takes ten times as long.
    is_plain = F.ascii(text).between(33, 126) & F.ascii(F.right(text, F.lit(1))).between(33, 126)
    return F.when(is_plain, text).when(~text.rlike(BLANK), F.trim(text, F.lit(BLANKS)))


def _without_article(found: list[str]) -> list[str]:
    while len(found) > 1 and found[0] == "the":
        found = found[1:]
    return found


def _numbered(found: list[str]) -> list[str]:
    """Parts and numbers counted in digits: "pt. II" and "part two" are "part 2", "number 9" is "no 9"."""
    renamed = [_PART.get(word, word) for word in found]
    counted = [_ROMAN.get(word, word) if place and renamed[place - 1] == "part" else word
               for place, word in enumerate(renamed)]  # fmt: skip
    return ["no" if word in _NUMBERS and next_word.isdigit() else word
            for word, next_word in zip(counted, [*counted[1:], ""], strict=True)]  # fmt: skip


def _nouns(found: list[str]) -> list[str]:
    """Words that no one may take for the mark of a guest: "a feat (live)" is "a feats live", or "live" would be one."""
    joined = " ".join(found)
    if without_guests(joined) == joined:
        return found
    return [f"{word}s" if word in ("feat", "featuring") else word for word in found]


def _artist_once(name: str) -> str:
    folded = fold(name)
    plain = _FINAL_THE.sub(" ", without_guests(folded))
    return _first_key((plain, folded), _without_article, name)


def _title_once(title: str) -> str:
    folded = fold(title)
    return _first_key((without_marks(folded), folded), lambda found: _without_article(_numbered(found)), title)


def _first_key(folded: tuple[str, str], tidied: Callable[[list[str]], list[str]], text: str) -> str:
    """The key of the first text that says anything: its words, or the whole of one without a letter or digit ("!!!").

    Where folding leaves nothing of any ("\u0301"), what is seen of the text is its key.
    """
    for candidate in folded:
        if LETTER.search(candidate):
            return " ".join(_nouns(tidied(words(candidate))))
        if not _LEFT_OVER.fullmatch(candidate):
            return " ".join(candidate.split())
    return " ".join(folded[-1].split()) or seen(text)


def _settled(once: Callable[[str], str], text: str) -> str:
    """Repeats until nothing changes, so that a key is its own key ("F.E.A.T. x" is a guest only when undotted)."""
    key = once(text)
    if _SETTLED.fullmatch(key):
        return key
    for _ in range(8):
        again = once(key)
        if again == key:
            break
        key = again
    return key


def _of_distinct(key: Callable[[str], str], texts: pd.Series) -> pd.Series:
    codes, distinct = pd.factorize(texts)
    keys = pd.Series([key(text) for text in distinct], dtype=object)
    return keys.reindex(codes).where(codes >= 0, None).reset_index(drop=True)


def _artist_keys(names: pd.Series) -> pd.Series:
    return _of_distinct(artist_key, names)


def _title_keys(titles: pd.Series) -> pd.Series:
    return _of_distinct(title_key, titles)
