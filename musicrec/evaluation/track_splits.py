"""Which tracks a model of popularity may learn from, and which it is judged on: by hash, and never one song twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.errors import InputError

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class TrackSplit:
    """The two sides of a split.

    Attributes
    ----------
    train, test : bool [tracks]; a track that is on neither side is left out.
    """

    name: str
    train: Flags
    test: Flags

    @property
    def left_out(self) -> int:
        """Tracks on neither side."""
        return int((~self.train & ~self.test).sum())


def one_row_a_song(tracks: pd.DataFrame) -> pd.DataFrame:
    """Duplicates collapsed: rows of one track, then tracks of one artist_key and title_key, as one row.

    The one that stays is the most popular, of equals the one whose track_id is the smallest. Tracks without a
    popularity are taken as less popular than all.

    Parameters
    ----------
    tracks : DataFrame (track_id, artist_key, title_key, popularity, ...).
    """
    order = ["popularity", "track_id", "artist_key", "title_key"]
    ordered = tracks.sort_values(order, ascending=[False, True, True, True], kind="stable")
    return ordered.drop_duplicates("track_id").drop_duplicates(["artist_key", "title_key"]).sort_values("track_id")


def grouped_split(groups: Iterable[Iterable[str]], share: float, seed: int, part: str) -> tuple[Flags, Flags]:
    """Artists are drawn by hash for the second side; a track goes where all of its artists go.

    A track with artists on both sides is on neither: to join all artists that ever met would put most of a catalogue
    of duets on one side.

    Parameters
    ----------
    groups : the keys of each track's artists, one or more.
    share : of the artists, for the second side.
    part : tells this draw from others with the same seed.

    Returns
    -------
    (first side, second side), bool [tracks].
    """
    drawn: dict[str, bool] = {}
    sides = np.zeros((2, len(groups := list(map(list, groups)))), dtype=np.bool_)
    for row, keys in enumerate(groups):
        for key in keys:
            if key not in drawn:
                drawn[key] = hash_share(key, seed, part) < share
        sides[0, row] = not any(drawn[key] for key in keys)
        sides[1, row] = bool(keys) and all(drawn[key] for key in keys)
    return sides[0], sides[1]


def year_split(years: pd.Series, share: float) -> tuple[Flags, Flags, int]:
    """Before a year to train on, from it on to test on; the first year that leaves `share` or less to test on.

    Where the last year alone is more than `share`, it is the test. Tracks without a year are on neither side.

    Returns
    -------
    (train, test, the year).

    Raises
    ------
    InputError : all tracks are of one year, or none has one.
    """
    values = pd.to_numeric(years).to_numpy(dtype=np.float64, na_value=np.nan)
    known = np.sort(np.unique(values[~np.isnan(values)]))
    if len(known) < 2:
        raise InputError("tracks to split by year", "two years or more", f"{len(known)}")
    later = [year for year in known[1:] if np.nanmean(np.where(np.isnan(values), np.nan, values >= year)) <= share]
    year = later[0] if later else known[-1]
    return values < year, values >= year, int(year)


def naive_split(rows: int, share: float, seed: int) -> tuple[Flags, Flags]:
    """Rows at random, whatever they are of: what leaks. Only to show how much that flatters."""
    drawn = np.random.default_rng(seed).random(rows) < share
    return ~drawn, drawn


def out_of_fold_means(
    groups: pd.Series, values: pd.Series, train: Flags, seed: int, folds: int = 5, strength: float = 3.0
) -> NDArray[np.float64]:
    """The mean of each artist's training tracks; of a training track without those of its own fold.

    (sum + strength × the training mean) / (count + strength), as in Micci-Barreca 2001. An artist that is not on the
    training side has the training mean.

    Parameters
    ----------
    groups, values : of all tracks: the artist, and the popularity.
    train : bool [tracks].
    folds : of the training tracks, by hash of their place.
    """
    codes, _ = pd.factorize(groups)
    size = int(codes.max()) + 1 if len(codes) else 0
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    overall = float(numbers[train].mean())
    fold = np.where(train, np.random.default_rng(seed).integers(0, folds, len(codes)), -1)

    def means(rows: Flags) -> NDArray[np.float64]:
        sums = np.bincount(codes[rows], numbers[rows], minlength=size)
        counts = np.bincount(codes[rows], minlength=size)
        return np.asarray((sums + strength * overall) / (counts + strength), dtype=np.float64)

    made = means(train)[codes]
    for number in range(folds):
        made = np.where(fold == number, means(train & (fold != number))[codes], made)
    return np.asarray(np.round(made, 9), dtype=np.float64)


def hash_share(key: str, seed: int, part: str) -> float:
    """A number from 0 to 1 that depends on nothing but its arguments."""
    digest = hashlib.blake2b(f"{seed}\0{part}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
