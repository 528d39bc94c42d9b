"""How well tracks match what somebody typed: high energy, 120-130 beats a minute."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from musicrec.errors import InputError

Floats = NDArray[np.float64]

# Words for the lowest, the middle and the highest third of the catalogue.
WORDS = {"low": 0, "slow": 0, "medium": 1, "high": 2, "fast": 2}
_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})(?:\s*(?:-|to|\.\.)\s*({_NUMBER}))?\s*")
_THIRD = 1 / 3


@dataclass(frozen=True)
class Wish:
    """What is wished of a feature: a third of the catalogue, or a range of values.

    Attributes
    ----------
    third : 0 lowest, 1 middle, 2 highest; None for a range.
    low, high : the range.
    """

    third: int | None
    low: float = 0.0
    high: float = 0.0


def parse_wish(text: str, where: str) -> Wish:
    """`low`, `medium` or `high` (of a tempo `slow` and `fast` too), a number, or a range such as `120-130`.

    Raises
    ------
    InputError : it is none of these.
    """
    word = text.strip().casefold()
    if word in WORDS:
        return Wish(WORDS[word])
    found = _RANGE.fullmatch(word)
    if found is None:
        raise InputError(where, f"one of {', '.join(WORDS)}, a number or a range such as 120-130", text)
    low = float(found[1])
    high = float(found[2]) if found[2] else low
    if high < low:
        raise InputError(where, "a range from low to high", text)
    return Wish(None, low, high)


def match(values: Floats, wish: Wish) -> Floats:
    """How well each value fulfils a wish: 1 does, 0 does not at all or is not known.

    A third is fulfilled within it, and by nothing that is a third of the catalogue away from it; a range within it,
    and by nothing that is further from it than a standard deviation of the catalogue.
    """
    known = ~np.isnan(values)
    fits = np.zeros(len(values))
    if not known.any():
        return fits
    if wish.third is None:
        beyond = np.maximum(np.maximum(wish.low - values[known], values[known] - wish.high), 0.0)
        reach = float(values[known].std()) or 1.0
    else:
        # The middle of the places that equal values share.
        place = (rankdata(values[known]) - 0.5) / known.sum()
        low = wish.third * _THIRD
        beyond, reach = np.maximum(np.maximum(low - place, place - low - _THIRD), 0.0), _THIRD
    fits[known] = np.clip(1.0 - beyond / reach, 0.0, 1.0)
    return fits


def parse_years(text: str, where: str) -> tuple[int, int]:
    """`1975`, `1970-1979` or `1970s`.

    Raises
    ------
    InputError : it is none of these.
    """
    found = re.fullmatch(r"\s*(\d{4})(?:(s)|\s*-\s*(\d{4}))?\s*", text)
    if found is None:
        raise InputError(where, "a year, 1970-1979 or 1970s", text)
    first = int(found[1])
    last = first + 9 if found[2] else int(found[3] or first)
    if last < first:
        raise InputError(where, "years from the first to the last", text)
    return first, last
