"""The order of a playlist in which each song goes well into the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from musicrec.params import Params

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The furthest that two keys can be apart: half round the circle, and the other mode.
_FURTHEST_KEY = 7.0
# Half an octave, the furthest that two folded tempos can be apart.
_FURTHEST_TEMPO = 0.5


class OrderParams(Params):
    """What makes a transition rough: the weights of a sum whose parts lie between 0 and 1.

    Attributes
    ----------
    tempo : of the distance of the tempos, octaves folded: 70 and 140 beats go together.
    key : of the steps between the keys round the circle of fifths (the Camelot wheel), a change of mode one more.
    energy : of the difference in energy.
    same_artist : of two songs of one artist next to each other.
    """

    tempo: float = Field(default=1.0, ge=0)
    key: float = Field(default=1.0, ge=0)
    energy: float = Field(default=1.0, ge=0)
    same_artist: float = Field(default=1.0, ge=0)


@dataclass(frozen=True)
class Sound:
    """What a transition hears of n songs; NaN where it is not known.

    Attributes
    ----------
    tempo : beats a minute [n].
    key : pitch class, 0 = C to 11 = B [n].
    mode : 1 major, 0 minor [n].
    energy : 0 to 1 [n].
    artist : a number for each artist [n].
    """

    tempo: Floats
    key: Floats
    mode: Floats
    energy: Floats
    artist: Ints


def camelot(key: Floats, mode: Floats) -> Floats:
    """The hour of a key on the Camelot wheel, 1 to 12; a minor key has its relative major's. NaN stays.

    C major and A minor are at 8, each fifth up is one more.
    """
    major = np.where(mode == 1, key, key + 3)
    return np.where(np.isnan(mode), np.nan, (7 * major + 7) % 12 + 1)


def transitions(sound: Sound, params: OrderParams) -> Floats:
    """How rough it is to go from one song to another [n × n]: symmetric, 0 for a song and itself.

    A part that is not known of one of the songs counts as its mean between the songs of which it is, so that such a
    song is drawn nowhere.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        octaves = np.log2(np.where(sound.tempo > 0, sound.tempo, np.nan))
        apart = np.abs(octaves[:, None] - octaves)
    tempo = np.abs(apart - np.round(apart)) / _FURTHEST_TEMPO
    hour = camelot(np.where(sound.key >= 0, sound.key, np.nan), sound.mode)
    steps = np.abs(hour[:, None] - hour)
    steps = np.minimum(steps, 12 - steps) + np.abs(sound.mode[:, None] - sound.mode)
    energy = np.abs(sound.energy[:, None] - sound.energy)
    same = (sound.artist[:, None] == sound.artist).astype(np.float64)
    costs = params.tempo * _filled(tempo) + params.key * _filled(steps / _FURTHEST_KEY)
    costs = costs + params.energy * _filled(energy) + params.same_artist * same
    np.fill_diagonal(costs, 0.0)
    return np.ascontiguousarray(costs)


def _filled(part: Floats) -> Floats:
    known = ~np.isnan(part)
    pairs = known.copy()
    np.fill_diagonal(pairs, False)
    return np.where(known, part, part[pairs].mean() if pairs.any() else 0.0)


def smooth_order(
    costs: Floats,
    *,
    first: int | None = None,
    most_starts: int = 200,
    seconds: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
) -> Ints:
    """An order of n songs with a small sum of transitions, the same for the same costs if there is time.

    From each song in turn the nearest is taken next, and the path is improved by 2-opt and or-opt until no move
    shortens it; the shortest path wins, of equals the first found.

    Parameters
    ----------
    costs : [n × n], symmetric, finite.
    first : the song that has to come first; None for any.
    most_starts : where there are more songs, only so many of them are started from, evenly spread.
    seconds : no search is begun after so long; the best path until then is given. The first greedy path always is.
    clock : seconds, from any zero.

    Returns
    -------
    The songs' rows in order [n].
    """
    # Imported here: it loads the compiler, which reading a table needs not.
    from musicrec.ranking import smooth_order_kernels as kernels

    kernels.warm_up()
    ends = clock() + seconds
    best: Any = np.arange(len(costs), dtype=np.int64)
    shortest = np.inf
    spread = np.unique(np.linspace(0, len(costs) - 1, min(most_starts, len(costs))).astype(np.int64))
    for start in spread.tolist() if first is None else [first]:
        path = kernels.nearest_first(costs, start)
        moving = 0 if first is None else 1
        while clock() < ends and (kernels.reverse_runs(costs, path, moving) or kernels.move_runs(costs, path, moving)):
            pass
        found = kernels.length(costs, path)
        if found < shortest - 1e-9:
            best, shortest = path, found
        if clock() >= ends:
            break
    return np.asarray(best, np.int64)


def roughness(costs: Floats, order: Ints) -> float:
    """The sum of an order's transitions."""
    return float(costs[order[:-1], order[1:]].sum())
