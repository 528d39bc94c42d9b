"""Sums with the same bits in whatever order and by however many tasks they are added up.

Each term is first rounded to a multiple of a power of two so large that adding up loses nothing (pre-rounding; Demmel
and Nguyen, "Fast Reproducible Floating-Point Summation", 2013): (term + anchor) − anchor, in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def anchor_of(bound: NDArray[np.float64]) -> NDArray[np.float64]:
    """For sums whose terms' sizes add up to at most `bound`: 1.5 × 2⁵² × the width of a grid on which they are exact.

    On a grid of width bound × 2⁻⁵¹ (a power of two) every partial sum has at most 52 bits.
    """
    _, exponent = np.frexp(np.maximum(bound, np.finfo(np.float32).tiny))
    return np.asarray(np.ldexp(1.5, exponent + 1))
