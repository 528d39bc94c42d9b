"""The keys under which spellings of one artist or title meet; what merges and what stays apart is in decision 0003.

Pure Python, because Unicode decomposition has no Spark expression; the column forms compute each distinct spelling
of an Arrow batch once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import pandas as pd
from pyspark.sql import Column
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import StringType

# Letters that Unicode does not decompose, and the accents and quotes that stand for an apostrophe.
_LETTERS = str.maketrans(
    {
        "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D",
        "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "´": "'", "`": "'", "‘": "'", "’": "'", "ʼ": "'",
        "–": "-", "—": "-", "‐": "-", "−": "-",
    }
)  # fmt: skip

# Latin, Greek and Cyrillic accents. The marks of other scripts are letters of their own (が, Thai and Indic vowels).
_ACCENTS = re.compile("[\u0300-\u036f]")

_AND = re.compile(r"\s*'n'\s*|&|\+")
_CLIPPED = re.compile(r"(?<!')\b(\w+in)'(?!\w)")  # "lovin'", but not a word in quotes
_ACRONYM = re.compile(r"(?<!\w)(?:\w\.){2,}\w?(?!\w)")
_SYMBOL_S = re.compile(r"\$(?=\w)|(?<=\w)\$")
_SYMBOL_I = re.compile(r"(?<=\w)!(?=\w)")

_OPEN, _CLOSE = "([{", ")]}"
_BRACKET = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
_DASH = re.compile(r"\s+-\s+|\s+-(?=\()")
_GUEST_BRACKET = re.compile(r"[(\[{]\s*(?:feat|ft|featuring|with|w/)(?![\w'])[^()\[\]{}]*[)\]}]")
_GUEST = re.compile(r"(?<=\S)\s+(?:-\s+with\b|(?:-\s+)?(?:feat\b|featuring\b|ft\.))(?:(?!\s-\s)[^()\[\]{}])*")
_GUEST_WORD = re.compile(r"^[\s(\[{-]*(?:featuring|feat|with|ft|w/)(?![\w'])\.?\s*")
_ORIGIN = re.compile(r'^\s*from\b.*("|soundtrack|motion picture)')


def _word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A version mark is merged when it is made of these words only and at least one of them is an anchor.
_ANCHORS = _word_set(
    "remaster remastered remasters remastering remasterizado remasterizada remasterise remasterisee mastered mono "
    "stereo single album radio original bonus explicit edited edit main lp ep studio deluxe anniversary 7inch 45"
)
_FILLERS = _word_set(
    "version versions verison mix edit track digital digitally re en edition the master reissue video tema versao bit "
    "hz hd expanded release cut in by from"
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_NUMBER = re.compile(r"\d+(?:st|nd|rd|th)?")
_REISSUES = frozenset({"mix", "version", "digital", "master", "edition"})

_NUMERALS = (
    ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"),
    ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
)
_ROMAN = {numeral: str(value) for numerals in _NUMERALS for value, numeral in enumerate(numerals, start=1)}
# Words without anything that a second pass could change: the common case, at half the cost.
_SETTLED = re.compile(r"(?!the )(?!.*\b(?:n|feat|featuring|part|parts|pt|pts)\b)[a-z0-9]+(?: [a-z0-9]+)*")
_PART = {"pt": "part", "pts": "part", "parts": "part"}


@lru_cache(maxsize=4096)  # names come in runs, and their forms ask for the same keys again
def artist_key(name: str) -> str:
    """The key of an artist's name; never empty unless `name` is blank, and its own key.

    >>> artist_key("The Beatles"), artist_key("Beyoncé feat. JAY-Z"), artist_key("Simon & Garfunkel")
    ('beatles', 'beyonce', 'simon and garfunkel')
    """
    return _settled(_artist_once, name)


@lru_cache(maxsize=4096)
def title_key(title: str) -> str:
    """The key of a title, without guests and marks of the same recording; never empty unless `title` is blank.

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


def fold(text: str) -> str:
    """Case, accents, width and apostrophes folded; punctuation that separates is still there."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS)).casefold()
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", decomposed))
    return unicodedata.normalize("NFC", bare)


def words(folded: str) -> list[str]:
    """The words of a folded text; punctuation separates.

    "&" and "'n'" are "and", "lovin'" is "loving", acronyms lose their dots.
    """
    text = _CLIPPED.sub(r"\1g", _AND.sub(" and ", folded)).replace("'", "")
    text = _ACRONYM.sub(lambda match: match[0].replace(".", ""), text)
    text = _SYMBOL_I.sub("i", _SYMBOL_S.sub("s", text))
    found = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text).split()
    return ["and" if word == "n" and 0 < place < len(found) - 1 else word for place, word in enumerate(found)]


def brackets(folded: str) -> tuple[str, list[str]]:
    """What stands outside the brackets of a folded title, and the inside of each."""
    return _BRACKET.sub(" ", folded), [match[1] for match in _BRACKET.finditer(folded)]


def guests(folded: str) -> list[str]:
    """Who is named as a guest in a folded title or artist: the text of each mention, without its "feat."."""
    mentions = _GUEST_BRACKET.findall(folded) + _GUEST.findall(_GUEST_BRACKET.sub(" ", folded))
    found = [_GUEST_WORD.sub("", mention).strip(" ()[]{}") for mention in mentions]
    return [mention for mention in found if mention]


def without_marks(folded: str) -> str:
    """A folded title without its guests and the marks that do not make it another recording."""
    text = folded.replace('7"', " 7inch ")
    text = _GUEST.sub(" ", _GUEST_BRACKET.sub(" ", text))
    text = _BRACKET.sub(lambda match: f" {match[0][0]}{_kept(match[1])}{match[0][-1]} ", text)
    base, *suffixes = _DASH.split(text)
    kept = [base, *(part for part in map(_kept, suffixes) if part.strip())]
    return " - ".join(kept).replace("()", " ").replace("[]", " ").replace("{}", " ")


def _kept(mark: str) -> str:
    """A mark without those of its parts that are merged."""
    if _ORIGIN.match(mark):
        return ""
    return ", ".join(part for part in re.split(r"[/,;]", mark) if part.strip() and not _is_merged(words(part)))


def _is_merged(mark: list[str]) -> bool:
    years = any(_YEAR.fullmatch(word) for word in mark)
    known = all(word in _ANCHORS or word in _FILLERS or _NUMBER.fullmatch(word) for word in mark)
    return known and (any(word in _ANCHORS for word in mark) or (years and any(word in _REISSUES for word in mark)))


def _without_article(found: list[str]) -> list[str]:
    while len(found) > 1 and found[0] == "the":
        found = found[1:]
    return found


def _numbered(found: list[str]) -> list[str]:
    """Parts counted in digits: "pt. II" and "part two" are "part 2"."""
    renamed = [_PART.get(word, word) for word in found]
    return [_ROMAN.get(word, word) if place and renamed[place - 1] == "part" else word
            for place, word in enumerate(renamed)]  # fmt: skip


def _artist_once(name: str) -> str:
    folded = fold(name)
    plain = re.sub(r",\s*the\s*$", "", _GUEST.sub(" ", _GUEST_BRACKET.sub(" ", folded)))
    return _joined(_without_article(words(plain) or words(folded)), folded)


def _title_once(title: str) -> str:
    folded = fold(title)
    return _joined(_without_article(_numbered(words(without_marks(folded)) or words(folded))), folded)


def _joined(found: list[str], folded: str) -> str:
    """The words as a key; a text of punctuation alone ("!!!") is its own key."""
    return " ".join(found) or " ".join(folded.split())


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
