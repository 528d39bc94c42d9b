"""The learned map from a track's content, artist and genres to a model's item vector and bias."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from musicrec.errors import NonFiniteError
from musicrec.logs import Logger
from musicrec.models.cold_start.inputs import (
    GroupMeans,
    Inputs,
    Matrix,
    Played,
    Tracks,
    group_means,
    make_inputs,
    stacked,
)
from musicrec.models.cold_start.params import ColdStartParams
from musicrec.models.cold_start.regress import KernelRidge, Ridge

_PENALTIES = {"ridge": (3.0, 30.0, 100.0, 300.0), "kernel": (0.3, 1.0)}
# γ times the number of columns: their variance is 1, so two tracks are about e^(−2 × this) alike.
_WIDTHS = (0.5, 1.0)


@dataclass(frozen=True)
class Choice:
    """One way to learn the map.

    Attributes
    ----------
    kind : what is learned; `artist`: nothing.
    weighting : of the training tracks: `log` ln(1 + plays), or `plays`.
    penalty : of the regression.
    width : of the kernel, γ × columns.
    """

    kind: Literal["artist", "ridge", "kernel"]
    weighting: Literal["log", "plays"] = "log"
    penalty: float = 1.0
    width: float = 1.0

    def __str__(self) -> str:
        if self.kind == "artist":
            return "artist"
        width = f", width {self.width:g}" if self.kind == "kernel" else ""
        return f"{self.kind}, weights {self.weighting}, penalty {self.penalty:g}{width}"


def choices(kind: Literal["auto", "ridge", "kernel", "artist"]) -> list[Choice]:
    """Those that cross-validation compares."""
    found = [Choice("artist")] if kind in ("auto", "artist") else []
    for weighting in ("log", "plays"):
        if kind in ("auto", "ridge"):
            found += [Choice("ridge", weighting, penalty) for penalty in _PENALTIES["ridge"]]
        if kind in ("auto", "kernel"):
            found += [Choice("kernel", weighting, p, width) for p in _PENALTIES["kernel"] for width in _WIDTHS]
    return found


@dataclass(frozen=True)
class ContentMap:
    """A fitted map.

    Attributes
    ----------
    choice : how it was learned.
    artists, genres : mean factors of the played items.
    plain_mean, plain_scale : by which the plain inputs are standardised.
    means_scale : by which the mean factors are divided: one number, so that they keep their proportions.
    regression : None where nothing is learned.
    """

    choice: Choice
    artists: GroupMeans
    genres: GroupMeans
    plain_mean: Matrix
    plain_scale: Matrix
    means_scale: float
    regression: Ridge | KernelRidge | None

    def predict(self, tracks: Tracks) -> Matrix:
        """Item vectors with the bias last [n × (d + 1)]."""
        inputs = make_inputs(tracks, self.artists, self.genres)
        return self.predict_inputs(inputs)

    def predict_inputs(self, inputs: Inputs) -> Matrix:
        """As `predict`."""
        if self.regression is None:
            return inputs.prior
        return inputs.prior + self.regression.predict(self.columns(inputs))

    def columns(self, inputs: Inputs) -> Matrix:
        """The standardised inputs [n × columns]."""
        return np.hstack([(inputs.plain - self.plain_mean) / self.plain_scale, inputs.means / self.means_scale])


@dataclass(frozen=True)
class Training:
    """Tracks whose factors are known, ready for any choice.

    Attributes
    ----------
    artists, genres : mean factors of the played items.
    inputs : of the training tracks, the played ones first [n].
    factors : theirs, bias last [n × (d + 1)].
    plays : theirs [n], 0 of the unplayed ones.
    unplayed_weight : what the unplayed ones weigh together, as a share of what the others weigh.
    """

    artists: GroupMeans
    genres: GroupMeans
    inputs: Inputs
    factors: Matrix
    plays: Matrix
    unplayed_weight: float = 0.0

    @staticmethod
    def of(
        tracks: Tracks, factors: Matrix, plays: Matrix, played: Played, unplayed: Tracks, params: ColdStartParams
    ) -> Training:
        """From tracks in an order that does not depend on partitions, best by hash: of many, the first are landmarks.

        Parameters
        ----------
        tracks : the played ones, with their `factors` and `plays`.
        played : all items of the model, for the means.
        unplayed : tracks that no one has played.
        params : settings.
        """
        artists, genres = group_means(played, params.shrinkage)
        inputs = make_inputs(tracks, artists, genres)
        if not len(unplayed) or not params.unplayed_weight:
            return Training(artists, genres, inputs, factors, plays)
        inputs = stacked(inputs, make_inputs(unplayed, artists, genres))
        zeros = np.zeros((len(unplayed), factors.shape[1]))
        both = np.vstack([factors, zeros]), np.concatenate([plays, zeros[:, 0]])
        return Training(artists, genres, inputs, *both, params.unplayed_weight)

    def weights(self, weighting: Literal["log", "plays"]) -> Matrix:
        """Of each training track [n]."""
        found = self.plays if weighting == "plays" else np.log1p(self.plays)
        is_played = self.plays > 0
        return with_unplayed(found, is_played, self.unplayed_weight)

    def landmarks(self, most: int) -> NDArray[np.int64]:
        """Places of at most so many tracks, half of them unplayed ones where there are enough."""
        is_played = self.plays > 0
        played, unplayed = np.flatnonzero(is_played), np.flatnonzero(~is_played)
        half = max(most - len(unplayed), most // 2)
        return np.concatenate([played[:half], unplayed[: most - min(half, len(played))]])


def with_unplayed(weights: Matrix, is_played: NDArray[np.bool_], share: float) -> Matrix:
    """The weights, those of the unplayed together `share` of the played ones' sum."""
    each = share * weights[is_played].sum() / max(int((~is_played).sum()), 1)
    return np.where(is_played, weights, each)


def fit_map(training: Training, choice: Choice, landmarks: int) -> ContentMap:
    """Learn a map from tracks whose factors are known, the kernel with at most so many `landmarks`.

    Raises
    ------
    NonFiniteError : the fit diverged.
    """
    inputs = training.inputs
    spread = inputs.plain.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    means_scale = float(np.sqrt(np.square(inputs.means - inputs.means.mean(axis=0)).mean())) or 1.0
    groups = (training.artists, training.genres)
    made = ContentMap(choice, *groups, inputs.plain.mean(axis=0), scale, means_scale, None)
    if choice.kind == "artist":
        return made
    columns, target = made.columns(inputs), training.factors - inputs.prior
    weights = training.weights(choice.weighting)
    regression: Ridge | KernelRidge
    if choice.kind == "ridge":
        regression = Ridge.fit(columns, target, weights, choice.penalty)
    else:
        gamma = choice.width / columns.shape[1]
        regression = KernelRidge.fit(
            columns, target, weights, choice.penalty, gamma, columns[training.landmarks(landmarks)]
        )
    if not np.isfinite(regression.coefficients).all():
        raise NonFiniteError(f"cold start: the map ({choice}) holds NaN or infinity after the fit")
    return replace(made, regression=regression)


def choose_map(
    tracks: Tracks,
    factors: Matrix,
    plays: Matrix,
    played: Played,
    unplayed: Tracks,
    listeners: Matrix,
    params: ColdStartParams,
    log: Logger | None = None,
) -> tuple[Choice, dict[Choice, float]]:
    """The way of learning that predicts held-out tracks best, and how well each does.

    Tracks are held out in folds, with all their items: the means of artists and genres are made without them. What is
    compared is the share of the scores' variance that is explained, weighted by plays (and the unplayed tracks by
    `params.unplayed_weight`):
    1 − Σ_i p_i e_i G e_iᵀ / Σ_i p_i c_i G c_iᵀ, e_i the error of the predicted factors, c_i the factors less their
    weighted mean, and G = XᵀX / n of the listeners' vectors with a 1 for the bias; so an error counts as much as it
    moves listeners' scores.

    Parameters
    ----------
    tracks, factors, plays, played, unplayed : as in `Training.of`; tracks in the order of a hash. The
        folds are by place.
    listeners : vectors of listeners, or of some of them [u × d].
    """
    n = min(len(tracks), params.cv_tracks)
    fold, other_fold = np.arange(n) % params.folds, np.arange(len(unplayed)) % params.folds
    gram = _gram(listeners)
    truth = np.vstack([factors[:n], np.zeros((len(unplayed), factors.shape[1]))])
    weights = with_unplayed(np.pad(plays[:n], (0, len(unplayed))), np.arange(len(truth)) < n, params.unplayed_weight)
    errors: dict[Choice, float] = dict.fromkeys(choices(params.map), 0.0)
    for number in range(params.folds):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        rest, new = np.flatnonzero(other_fold != number), np.flatnonzero(other_fold == number)
        others = played.without(tracks.song[test])
        known = Training.of(tracks.take(train), factors[train], plays[train], others, unplayed.take(rest), params)
        asked = stacked(
            make_inputs(tracks.take(test), known.artists, known.genres),
            make_inputs(unplayed.take(new), known.artists, known.genres),
        )
        rows = np.concatenate([test, n + new])
        for choice in errors:
            error = fit_map(known, choice, params.landmarks).predict_inputs(asked) - truth[rows]
            errors[choice] += _weighted(error, gram, weights[rows])
    total = _weighted(truth - np.average(truth, axis=0, weights=weights), gram, weights)
    explained = {choice: round(1 - error / max(total, 1e-300), 9) for choice, error in errors.items()}
    best = max(explained, key=lambda choice: explained[choice])
    if log:
        of_artist = explained.get(Choice("artist"))
        log.info("cold start: map chosen", map=str(best), explained=explained[best], artist_alone=of_artist)
    return best, explained


def _weighted(errors: Matrix, gram: Matrix, weights: Matrix) -> float:
    """Σ_i w_i e_i G e_iᵀ."""
    return float(weights @ np.einsum("ij,ij->i", errors @ gram, errors))


def _gram(listeners: Matrix) -> NDArray[np.float64]:
    wide = np.hstack([listeners, np.ones((len(listeners), 1))])
    return np.asarray(wide.T @ wide / max(len(wide), 1))
