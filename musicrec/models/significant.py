"""When two scores are equal: where they agree in their first 30 significant bits, nine decimal digits.

A model's scores have the scale of its vectors, so a fixed number of decimals would be too many for one model and none
for another. Significant bits mean the same at any scale: scores times a power of two are rounded alike, bit for bit.
Thirty are far above what sums of doubles in another order differ by (2⁻⁵³ a term), and below what float32 vectors know
of a score (2⁻²⁴).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BITS = 30
# Two numbers that are further apart than this share of the larger cannot round to the same, nor past each other.
SHARE = 2.0 ** (1 - BITS)
# Veltkamp's factor: (x f) − (x f − x) in doubles is x to BITS bits, to the nearest (Boldo, "Pitfalls of a Full
# Floating-Point Proof: Example on the Formal Proof of the Veltkamp/Dekker Algorithms", 2006). Compiled kernels repeat
# this line of `significant`, so that both give the same bits.
SPLIT = 2.0 ** (53 - BITS) + 1.0


def significant(scores: NDArray[Any]) -> NDArray[np.float64]:
    """The scores to 30 significant bits, −0 as 0; finite numbers below 10³⁰⁰ in size."""
    exact = np.asarray(scores, np.float64)
    wide = exact * SPLIT
    return np.asarray(wide - (wide - exact) + 0.0)
