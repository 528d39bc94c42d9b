"""A name for each cluster, from what sets its centre apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# What much and little of a feature sounds like. Key has no more and less, so it names nothing.
_WORDS = {
    "danceability": ("danceable", "undanceable"),
    "energy": ("energetic", "calm"),
    "loudness": ("loud", "quiet"),
    "mode": ("major", "minor"),
    "speechiness": ("spoken", "sung"),
    "acousticness": ("acoustic", "electric"),
    "instrumentalness": ("instrumental", "vocal"),
    "liveness": ("live", "studio"),
    "valence": ("happy", "sad"),
    "tempo": ("fast", "slow"),
    "energy_per_danceability": ("driving", "laid back"),
    "valence_energy": ("upbeat", "subdued"),
    "loudness_percentile": ("loud", "quiet"),
    "tempo_folded": ("fast", "slow"),
}

_WORDS_A_NAME = 3
# Of a standard deviation: what is nearer to the mean of all tracks sets nothing apart.
_LEAST = 0.3


def cluster_names(deviations: NDArray[np.float64], features: Sequence[str]) -> list[str]:
    """Up to three words for each centre: its largest deviations, at least 0.3 standard deviations ("acoustic, quiet").

    Where an earlier cluster has the name already, further words follow, and at last a number; so no two are equal.
    The words stand by deviation, largest first, then in the order of `features`; the same numbers give the same names.

    Parameters
    ----------
    deviations : centres in standard deviations from the mean of all tracks [k × d].
    features : names of the columns [d].
    """
    names: list[str] = []
    for row in np.round(deviations, 6):
        words = _words(row, features)
        clear = sum(abs(value) >= _LEAST for value in row)
        length = max(1, min(_WORDS_A_NAME, clear, len(words)))
        name = ", ".join(words[:length])
        while name in names and length < len(words):
            length += 1
            name = ", ".join(words[:length])
        first, number = name, 2
        while name in names:
            name, number = f"{first} ({number})", number + 1
        names.append(name)
    return names


def _words(row: NDArray[np.float64], features: Sequence[str]) -> list[str]:
    """All the words for a centre, that of its largest deviation first, each once."""
    order = sorted(range(len(features)), key=lambda place: (-abs(row[place]), place))
    spoken = [_WORDS[features[place]][0 if row[place] > 0 else 1] for place in order if features[place] in _WORDS]
    return list(dict.fromkeys(spoken)) or ["all"]
