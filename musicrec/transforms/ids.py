"""Ids as clients and tables write them: which are ids at all, each in one form. The rules: decision 0003.

An MBID is a UUID wherever one stands in the text: an address, in brackets or quotes, in a list of several or a list
within a list, with or without hyphens. The nil and the max UUID, and text without a UUID, are no id.
"""

from __future__ import annotations

import re
from typing import Literal

from pyspark.sql import Column
from pyspark.sql import functions as F

Entity = Literal["recording", "artist", "release"]

_H = "[0-9a-f]"
_CANONICAL = f"{_H}{{8}}-{_H}{{4}}-{_H}{{4}}-{_H}{{4}}-{_H}{{12}}"
# Some write it with blanks or underscores for the hyphens, with blanks around them, or without any.
_UUID = "(?: ?[-_] ?| )?".join(f"{_H}{{{digits}}}" for digits in (8, 4, 4, 4, 12))
_UUID = f"(?<![0-9a-z]){_UUID}(?![0-9a-z])"
_NO_DIGIT = "[^0-9a-f]"
_NONE = ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff")
_HYPHENED = "$1-$2-$3-$4-$5"
_PARTS = f"^({_H}{{8}})({_H}{{4}})({_H}{{4}})({_H}{{4}})({_H}{{12}})$"
# In an address "%2F" is a slash; other escapes, and those of JSON, are quotes, brackets and white space. An address
# within an address is escaped twice: "%252F".
_ESCAPE = r"%(?:25){0,3}[0-9a-f]{2}|\\u[0-9a-f]{4}|\\[nrt]"
_ESCAPED_HYPHEN = r"%(?:25){0,3}2d|\\u002d"
_KINDS = (
    "area", "artist", "event", "genre", "instrument", "label", "place", "player", "recording", "release",
    "release-group", "series", "track", "url", "work",
)  # fmt: skip
# What is read as a hyphen, and the wide letters of East Asian keyboards; then what nobody sees.
_WRITTEN = "‐‑‒–—―−﹣－０１２３４５６７８９ａｂｃｄｅｆ"
_MEANT = f"{'-' * 9}0123456789abcdef"
_HIDDEN = "\u00ad\u200b\u200c\u200d\u2060\ufeff"

# What programs write where there is nothing; a listener may well be called "na" or "nil".
_NO_LISTENER = ("none", "null", "undefined", "nan", "n/a", "true", "false")
_NO_ID = (
    *_NO_LISTENER, "nil", "na", "nat", "n.a", "unknown", "missing", "empty", "invalid", "void", "no id",
    "not available", "not found",
)  # fmt: skip
# Classes of letters, for Java.
_SIGNS = r"[\s\p{P}\p{S}\p{Cf}\p{Cc}]"
_QUOTES = r"""[\s"'()\[\]{}\u0000]"""
# Some of them: [null, null]. So many at most, since Java's stack grows with each.
_NOTHING = "^(?:W)(?:S++(?:W)){0,99}$".replace("W", "|".join(map(re.escape, (*_NO_ID, "0")))).replace("S", _SIGNS)
_NEGATIVE = r"^\s*-\s*\d+(?:\.\d*)?\s*$"
_ZERO = r"^\s*0+(?:\.0*)?\s*$"
# Bounded, or a text of a million "spotify:" would be searched a million times.
_SPOTIFY = r"(?:spotify:|spotify\.com/)(?:[^\s?#]{0,100}[:/])?(?:track|album|artist)[:/]+([0-9A-Za-z]+)"


def _of_other_kinds(entity: Entity) -> str:
    """The pattern of an address of another kind: an artist's page is no recording."""
    others = "|".join(kind for kind in _KINDS if kind != entity)
    return rf"(?<![a-z-])(?:{others})[/:\\]+{_UUID}"


def mbids(text: str | None, entity: Entity) -> list[str]:
    """The MBIDs of a kind that a text holds, in their order, each once, in lower case with hyphens; never raises.

    >>> mbids('["{E3C5E1F5-9A4C-4D5D-9F9C-0B5C8C2F8B11}"]', "recording")
    ['e3c5e1f5-9a4c-4d5d-9f9c-0b5c8c2f8b11']
    """
    plain = re.sub(_ESCAPED_HYPHEN, "-", (text or "").lower().translate(_TRANSLATED))
    plain = re.sub(_ESCAPE, "/", plain)
    found = re.findall(_UUID, re.sub(_of_other_kinds(entity), " ", plain))
    hyphened = (re.sub(_PARTS, r"\1-\2-\3-\4-\5", re.sub(_NO_DIGIT, "", one)) for one in found)
    return list(dict.fromkeys(one for one in hyphened if one not in _NONE))


_TRANSLATED = str.maketrans(_WRITTEN, _MEANT, _HIDDEN)


def mbid(text: str | None, entity: Entity = "recording") -> str | None:
    """The first of `mbids`; None where there is none.

    >>> mbid("https://musicbrainz.org/recording/E3C5E1F5-9A4C-4D5D-9F9C-0B5C8C2F8B11?x=1"), mbid("None")
    ('e3c5e1f5-9a4c-4d5d-9f9c-0b5c8c2f8b11', None)
    """
    return next(iter(mbids(text, entity)), None)


def mbid_column(text: Column, entity: Entity = "recording") -> Column:
    """`mbid` of a string column."""
    return F.when(_is_canonical(text), text).otherwise(F.get(_found(text, entity), F.lit(0)))


def mbids_column(text: Column, entity: Entity = "artist") -> Column:
    """`mbids` of a string column; null where there is none."""
    found = _found(text, entity)
    return F.when(F.size(found) > 0, found)


def mbids_of_list(texts: Column, entity: Entity = "artist") -> Column:
    """`mbids` of all texts of an array column, each once; null where there is none."""
    are_canonical = (F.size(texts) > 0) & F.forall(texts, lambda text: F.coalesce(_is_canonical(text), F.lit(False)))
    return F.when(are_canonical, F.array_distinct(texts)).otherwise(mbids_column(F.array_join(texts, " "), entity))


def msid_column(text: Column) -> Column:
    """An id of ListenBrainz for a recording as it was sent; null for what stands for none.

    A UUID in one form, as of an MBID; any other text as it is, since some sources have ids of their own.
    """
    return F.coalesce(mbid_column(text), F.when(~_is_nothing(text), F.trim(text)))


def listener_column(text: Column) -> Column:
    """A listener's id; null for what programs write for none, and for a negative number. A listener 0 is one."""
    core = _within(text, _QUOTES)
    is_nothing = core.isin("", "-", "<na>", *_NO_LISTENER) | text.rlike(_NEGATIVE)
    return F.when(~is_nothing, F.trim(text))


def spotify_column(text: Column) -> Column:
    """Spotify's id in a text, out of its address or URI; a catalogue's own id as it is; null for what is none."""
    address = F.regexp_extract(text, _SPOTIFY, 1)
    return F.when(address != "", address).when(~_is_nothing(text), F.trim(text))


def _is_canonical(text: Column) -> Column:
    return text.rlike(f"^{_CANONICAL}$") & ~text.isin(*_NONE)


def _is_nothing(text: Column) -> Column:
    """Whether a text stands for no id: a word for it, signs alone, a number that is not above 0, an empty UUID."""
    core = _within(text, _SIGNS)
    bare = F.regexp_replace(F.lower(text), "[^0-9a-z]", "")
    is_empty_uuid = bare.isin(*(one.replace("-", "") for one in _NONE))
    is_number = text.rlike(_NEGATIVE) | text.rlike(_ZERO)
    return (core == "") | core.rlike(_NOTHING) | (F.trim(text) == r"\N") | is_number | is_empty_uuid


def _within(text: Column, ends: str) -> Column:
    """A text in lower case without what stands around it."""
    # Looked for at the beginning of a run only: in a long one not at the end it would else be sought from each place.
    return F.regexp_replace(F.lower(text), f"^{ends}++|(?<!{ends}){ends}++$", "")


def _found(text: Column, entity: Entity) -> Column:
    """`mbids` of a string column; empty where there is none."""
    plain = F.regexp_replace(F.translate(F.lower(text), _WRITTEN + _HIDDEN, _MEANT), _ESCAPED_HYPHEN, "-")
    plain = F.regexp_replace(plain, _ESCAPE, "/")
    found = F.regexp_extract_all(F.regexp_replace(plain, _of_other_kinds(entity), " "), F.lit(_UUID), F.lit(0))
    bare = F.transform(found, lambda one: F.regexp_replace(F.regexp_replace(one, _NO_DIGIT, ""), _PARTS, _HYPHENED))
    return F.array_distinct(F.filter(bare, lambda one: ~one.isin(*_NONE)))
