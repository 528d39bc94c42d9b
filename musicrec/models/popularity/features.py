"""A track as a model reads it: scaled numbers, genres, words of the title; fitted on the training side alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from musicrec.errors import InputError
from musicrec.models.popularity.params import FeatureParams
from musicrec.transforms.folding import fold, words

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

GENRES, TITLE = "genres", "title"
# 0 stands for no word; a word that is not told apart is left out.
_PAD = 0
# A number further from the training mean than so many deviations is read as this far.
_FAR = 5.0


@dataclass(frozen=True)
class Inputs:
    """Tracks as models read them.

    Attributes
    ----------
    numbers : float32 [tracks, numbers], scaled.
    genres, title : int32 [tracks, length], numbers of the vocabulary from 1 on, 0 = nothing.
    """

    numbers: NDArray[np.float32]
    genres: NDArray[np.int32]
    title: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: Rows | NDArray[np.bool_]) -> Inputs:
        """Some of them."""
        return Inputs(self.numbers[rows], self.genres[rows], self.title[rows])


@dataclass(frozen=True)
class FeatureSpace:
    """What was learnt of the training side's features.

    Attributes
    ----------
    names : the numbers that are read; asked-for ones that are constant or empty on the training side are in `dropped`.
    medians, means, scales : of each; a missing value is read as the median.
    genres, words : the vocabularies, by number from 1 on.
    """

    params: FeatureParams
    names: tuple[str, ...]
    dropped: tuple[str, ...]
    medians: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    genres: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """What is permuted and explained as one: each number, the genres, the title."""
        return (*self.names, GENRES, TITLE)

    def facts(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "params": self.params.model_dump(mode="json"),
            **{name: list(getattr(self, name)) for name in _LISTS},
        }

    @staticmethod
    def of_facts(facts: Mapping[str, Any]) -> FeatureSpace:
        """The space that `facts` are of."""
        return FeatureSpace(FeatureParams(**facts["params"]), **{name: tuple(facts[name]) for name in _LISTS})

    def inputs(self, tracks: pd.DataFrame) -> Inputs:
        """Tracks as the models read them.

        Parameters
        ----------
        tracks : the columns of `params.numbers`, `name` (text) and `genres` (lists; `tags` too where it is there).

        Raises
        ------
        InputError : a column is missing, or a number is infinite.
        """
        numbers = _numbers(tracks, self.names)
        filled = np.where(np.isnan(numbers), np.array(self.medians), numbers)
        scaled = np.clip((filled - np.array(self.means)) / np.array(self.scales), -_FAR, _FAR)
        return Inputs(
            scaled.astype(np.float32),
            _indexed(genre_tokens(tracks), self.genres, self.params.genre_length),
            _indexed(title_tokens(tracks), self.words, self.params.title_length),
        )

    def design(self, inputs: Inputs, with_words: bool = True) -> sparse.csr_matrix:
        """[tracks, numbers + genres (+ words)]: words and genres as ones and zeros, for models without an embedding."""
        parts = [sparse.csr_matrix(inputs.numbers.astype(np.float64)), _ones(inputs.genres, len(self.genres))]
        if with_words:
            parts.append(_ones(inputs.title, len(self.words)))
        return sparse.csr_matrix(sparse.hstack(parts))

    def sum_by_group(self, by_column: Floats) -> Floats:
        """[tracks, columns of `design`] → [tracks, groups]."""
        at, genres = len(self.names), len(self.genres)
        rest = [by_column[:, at : at + genres].sum(1), by_column[:, at + genres :].sum(1)]
        return np.column_stack([by_column[:, :at], *rest])


_LISTS = ("names", "dropped", "medians", "means", "scales", "genres", "words")


def fit_features(tracks: pd.DataFrame, params: FeatureParams) -> FeatureSpace:
    """Learn scales and vocabularies from the training side.

    A number that is the same for all of them, or that none has, is left out and named in `dropped`.

    Raises
    ------
    InputError : there are no tracks, a column is missing, a number is infinite, or no number is left.
    """
    if tracks.empty:
        raise InputError("tracks to learn popularity from", "one or more", "none")
    numbers = _numbers(tracks, params.numbers)
    kept = [place for place in range(len(params.numbers)) if len(np.unique(_known(numbers[:, place]))) > 1]
    if not kept:
        raise InputError("tracks to learn popularity from", "a number that is not constant", "none")
    medians = np.array([np.median(_known(numbers[:, place])) for place in kept])
    filled = np.where(np.isnan(numbers[:, kept]), medians, numbers[:, kept])
    return FeatureSpace(
        params,
        tuple(params.numbers[place] for place in kept),
        tuple(name for place, name in enumerate(params.numbers) if place not in kept),
        tuple(medians.tolist()),
        tuple(filled.mean(0).tolist()),
        tuple(filled.std(0).tolist()),
        _vocabulary(genre_tokens(tracks), params.min_count, 0),
        _vocabulary(title_tokens(tracks), params.min_count, params.max_words) if params.max_words else (),
    )


def check_same_features(saved: FeatureSpace, today: FeatureParams, where: object) -> None:
    """A model can only read the features that it was fitted with.

    Raises
    ------
    InputError : it was saved with others than today's.
    """
    if saved.params != today:
        before, now = saved.params.model_dump(), today.model_dump()
        name = next(name for name in now if before[name] != now[name])
        raise InputError(where, f"a model of the features {name} = {now[name]}", f"one of {before[name]}")


def title_tokens(tracks: pd.DataFrame) -> list[list[str]]:
    """The words of each title, marks such as "remix" and guests among them."""
    known: dict[str, list[str]] = {title: words(fold(title)) for title in tracks["name"].dropna().unique()}
    return [known.get(title, []) for title in tracks["name"]]


def genre_tokens(tracks: pd.DataFrame) -> list[list[str]]:
    """The genres, and tags where there are any, of each track, sorted."""
    lists = [tracks[name] for name in ("genres", "tags") if name in tracks]
    if not lists:
        raise InputError("tracks", "a column genres", "none")
    return [sorted({value for own in row for value in _listed(own)}) for row in zip(*lists, strict=True)]


def _listed(own: Any) -> Sequence[str]:
    return [] if own is None or isinstance(own, float) else own


def _numbers(tracks: pd.DataFrame, names: Iterable[str]) -> Floats:
    """[tracks, names]; NaN where there is no value."""
    columns = []
    for name in names:
        if name not in tracks:
            raise InputError("tracks", f"a column {name}", "none")
        column = pd.to_numeric(tracks[name]).to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(column).any():
            raise InputError(f"tracks: {name}", "finite numbers", f"{int(np.isinf(column).sum())} infinite")
        # Rounded, since columns that come from sums may differ in their last bits from night to night.
        columns.append(np.round(column, 9))
    return np.column_stack(columns)


def _known(column: Floats) -> Floats:
    return column[~np.isnan(column)]


def _vocabulary(tokens: Iterable[Sequence[str]], min_count: int, most: int) -> tuple[str, ...]:
    """The tokens that so many rows have, most frequent first, equals by name."""
    counts = Counter(token for row in tokens for token in set(row))
    frequent = sorted((-count, token) for token, count in counts.items() if count >= min_count)
    return tuple(token for _, token in (frequent[:most] if most else frequent))


def _indexed(tokens: Sequence[Sequence[str]], vocabulary: Sequence[str], length: int) -> NDArray[np.int32]:
    """The first `length` known tokens of each row, at the front."""
    number = {token: place for place, token in enumerate(vocabulary, start=1)}
    made = np.full((len(tokens), length), _PAD, dtype=np.int32)
    for row, own in enumerate(tokens):
        known = [number[token] for token in own if token in number][:length]
        made[row, : len(known)] = known
    return made


def _ones(numbers: NDArray[np.int32], size: int) -> sparse.csr_matrix:
    rows, places = np.nonzero(numbers)
    made = sparse.coo_matrix((np.ones(len(rows)), (rows, numbers[rows, places] - 1)), shape=(len(numbers), size))
    made = made.tocsr()
    made.data[:] = 1.0  # a word that is there twice counts once
    return made
