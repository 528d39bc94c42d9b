"""What a title or credit says beside the name: brackets, guests, and the marks that make no other recording."""

from __future__ import annotations

import re

from musicrec.transforms.folding import words

_BRACKET = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
_DASH = re.compile(r"\s+-\s+|\s+-(?=\()")
# Of "with", what is no guest: "(With You)", "(With Your Love)".
_NOBODY = r"(?!\s+(?:you|u|your|or|me|my|him|his|her|it|its|us|our|them|their)\b)"
# Of "ft.", towns and measures: "Ft. Worth Blues", "10 Ft. Tall".
_TOWNS = r"worth|lauderdale|knox|wayne|collins|myers|bragg|hood|sumter|apache|mcmurray|leavenworth|dix|benning|bliss"
_NO_FORT = rf"(?!\s*(?:{_TOWNS})\b)(?!(?<=\d ft\.)\s*(?:tall|high|deep|long|wide|under|above|below)\b)"
# Before "feat" that is a word: "No Small Feat Band".
_NO_NOUN = r"(?<!\blittle)(?<!\bsmall)(?<!\bmean)(?<!\bwhat a)(?<!^a)(?<!^the)"
_MARK = r"(?:feat|featuring|ft)\b"
# It may hold a bracket of its own, and may never be closed.
_GUEST_BRACKET = re.compile(
    rf"[(\[{{]\s*(?:(?:feat|featuring|ft)(?![\w'])\.?+(?!\s+of\b)|with(?![\w']){_NOBODY}|w/)\s*+"
    r"[^\s()\[\]{}][^()\[\]{}]*(?:([(\[{][^()\[\]{}]*[)\]}])[^()\[\]{}]*)?(?:[)\]}]|$)"
)
_OTHER_VERSION = re.compile(
    r"\b(?:re)?(?:mix|live|acoustic|edit|version|instrumental|demo|dub|master(?:ed)?|karaoke|cover)\b"
)
# Nobody is a guest where nothing stands behind the mark. "Feat" without a dot is a word too: "Little Feat & Friends",
# "A Feat of Strength".
_GUEST = re.compile(
    rf"(?<=\S)(?:\s+-\s+with\b{_NOBODY}|(?:\s+-)?\s+(?:featuring\b|feat\.|ft\.{_NO_FORT})(?!\s+{_MARK})"
    rf"|{_NO_NOUN}(?:\s+-)?\s+feat(?=\s|,\S|:)(?!\s+(?:[&+,;/-]|(?:and|with|feat|featuring|ft|of|vs)\b)))"
    r"(?=\s*[^\s()\[\]{}])(?!\s+-\s)(?:(?!\s-\s)[^()\[\]{}])*"
)
_GUEST_WORD = re.compile(r"^[\s(\[{-]*(?:featuring|feat|with|ft|w/)(?![\w'])\.?\s*")
_HAS_GUEST = re.compile(r"\bfeat|\bft|\bwith|\bw/")
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
    "hz hd expanded release cut in by from no"
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_NUMBER = re.compile(r"\d+(?:st|nd|rd|th)?")
_REISSUES = frozenset({"mix", "version", "digital", "master", "edition"})


def brackets(folded: str) -> tuple[str, list[str]]:
    """What stands outside the brackets of a folded title, and the inside of each."""
    return _BRACKET.sub(" ", folded), [match[1] for match in _BRACKET.finditer(folded)]


def guests(folded: str) -> list[str]:
    """Who is named as a guest in a folded title or artist: the text of each mention, without its "feat."."""
    bracketed = [match[0] for match in _GUEST_BRACKET.finditer(folded)]
    mentions = bracketed + _GUEST.findall(_GUEST_BRACKET.sub(_inner_version, folded))
    found = [_GUEST_WORD.sub("", mention).strip(" ()[]{}") for mention in mentions]
    return [mention for mention in found if mention]


def without_guests(folded: str) -> str:
    """A folded title or artist without the mentions of guests."""
    if not _HAS_GUEST.search(folded):
        return folded
    return _GUEST.sub(" ", _GUEST_BRACKET.sub(_inner_version, folded))


def _inner_version(mention: re.Match[str]) -> str:
    """What of a bracket with a guest is about the title: "(feat. Nyla [Remix])" is a remix."""
    inner = mention[1]
    return f" {inner} " if inner and _OTHER_VERSION.search(inner) else " "


def without_marks(folded: str) -> str:
    """A folded title without its guests and the marks that do not make it another recording."""
    text = without_guests(folded.replace('7"', " 7inch "))
    text = _BRACKET.sub(lambda match: f" {match[0][0]}{_kept(match[1])}{match[0][-1]} ", text)
    base, *suffixes = _DASH.split(text)
    kept = [base, *(part for part in map(_kept, suffixes) if part.strip())]
    text = " - ".join(kept).replace("()", " ").replace("[]", " ").replace("{}", " ")
    return " ".join(text.split())


def _kept(mark: str) -> str:
    """A mark without those of its parts that are merged."""
    if _ORIGIN.match(mark):
        return ""
    return ", ".join(part for part in re.split(r"[/,;]", mark) if part.strip() and not _is_merged(words(part)))


def _is_merged(mark: list[str]) -> bool:
    years = any(_YEAR.fullmatch(word) for word in mark)
    known = all(word in _ANCHORS or word in _FILLERS or _NUMBER.fullmatch(word) for word in mark)
    return known and (any(word in _ANCHORS for word in mark) or (years and any(word in _REISSUES for word in mark)))
