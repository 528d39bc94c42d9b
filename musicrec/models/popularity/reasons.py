"""What speaks for a track's predicted popularity, in words, and what drives the predictions as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from musicrec.models.popularity.features import GENRES, TITLE, FeatureSpace, Inputs

Floats = NDArray[np.float64]

# A number this near to the training mean, in deviations, is about usual.
_NEAR = 0.25
# A group that moves a prediction by less than so many points is no reason.
_LEAST = 0.05


def reasons(space: FeatureSpace, inputs: Inputs, contributions: Floats, most: int) -> list[list[str]]:
    """For each track the groups that move its prediction most, such as "energy above usual: +3.1".

    Parameters
    ----------
    contributions : [tracks, groups], in points of popularity.
    most : reasons a track.
    """
    # Rounded before they are ordered, so that sums in another order give the same reasons.
    rounded = np.round(contributions, 3)
    order = np.argsort(-np.abs(rounded), axis=1, kind="stable")[:, :most]
    return [
        [
            f"{_said(space, inputs, row, place)}: {rounded[row, place]:+.1f}"
            for place in places
            if abs(rounded[row, place]) >= _LEAST
        ]
        for row, places in enumerate(order)
    ]


def _said(space: FeatureSpace, inputs: Inputs, row: int, place: int) -> str:
    name = space.groups[place]
    if name in (GENRES, TITLE):
        own = inputs.genres[row] if name == GENRES else inputs.title[row]
        known = space.genres if name == GENRES else space.words
        said = [known[number - 1] for number in own if number]
        joined = ", ".join(said) if name == GENRES else " ".join(said)
        return f"{'genres' if name == GENRES else 'title words'} {joined or 'unknown'}"
    value = float(inputs.numbers[row, place])
    if name == "year":
        return f"year {round(value * space.scales[place] + space.means[place])}"
    usual = "about" if abs(value) < _NEAR else "above" if value > 0 else "below"
    return f"{name} {usual} usual"


def permutation_importance(
    space: FeatureSpace,
    inputs: Inputs,
    loss: Callable[[Inputs], float],
    repeats: int,
    seed: int,
) -> dict[str, Floats]:
    """How much the loss grows when a group of features is shuffled over the tracks (Breiman 2001).

    Words and genres are shuffled as whole rows: they say something together. Of features that say the same, each is
    of little importance by itself.

    Parameters
    ----------
    loss : of predictions from some inputs; the tracks stay in their order.
    repeats : shuffles of each group.

    Returns
    -------
    [repeats] growths by group.
    """
    whole = loss(inputs)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(inputs)) for _ in range(repeats)]
    return {
        name: np.array([loss(_shuffled(space, inputs, name, order)) - whole for order in orders])
        for name in space.groups
    }


def _shuffled(space: FeatureSpace, inputs: Inputs, group: str, order: NDArray[np.int64]) -> Inputs:
    if group == GENRES:
        return replace(inputs, genres=inputs.genres[order])
    if group == TITLE:
        return replace(inputs, title=inputs.title[order])
    numbers, place = inputs.numbers.copy(), space.names.index(group)
    numbers[:, place] = numbers[order, place]
    return replace(inputs, numbers=numbers)
