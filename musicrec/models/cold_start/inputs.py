"""What is known of a track before anyone plays it, as numbers: its content, its artist, its genres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.models.blocks import Ragged, find

Matrix = NDArray[np.float64]

# Of the scale of popularity, 0 to 100: for a track of which it is not known.
_MIDDLE = 50.0
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Tracks:
    """Tracks of a catalogue, played or not.

    Attributes
    ----------
    content : [n × p], silver.track_features.vector.
    popularity : [n], what the catalogue says, NaN where it says nothing.
    artist : [n], −1 where it is not known.
    genres : genre numbers of each.
    song : [n], the same number as in `Played` where it is played there, else −1.
    """

    content: Matrix
    popularity: Matrix
    artist: Ints
    genres: Ragged
    song: Ints

    def __len__(self) -> int:
        return len(self.artist)

    def take(self, rows: NDArray[Any]) -> Tracks:
        """Some of them, by place."""
        lengths = np.diff(self.genres.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.arange(starts[-1]) + np.repeat(self.genres.starts[:-1][rows] - starts[:-1], lengths)
        values = self.genres.values[at]
        return Tracks(
            self.content[rows], self.popularity[rows], self.artist[rows], Ragged(values, starts), self.song[rows]
        )


@dataclass(frozen=True)
class Played:
    """Items that a model was trained on.

    Attributes
    ----------
    factors : [m × (d + 1)], the item vectors, the bias last.
    plays : [m].
    artist : [m], −1 where it is not known.
    genres : genre numbers of each; empty where none is known.
    song : [m], the same number for items that are one song.
    """

    factors: Matrix
    plays: Matrix
    artist: Ints
    genres: Ragged
    song: Ints

    def without(self, songs: NDArray[Any]) -> Played:
        """Those that are none of these songs; they stay in their places with weight 0."""
        return Played(self.factors, np.where(np.isin(self.song, songs), 0.0, self.plays), *self._rest())

    def _rest(self) -> tuple[Ints, Ragged, Ints]:
        return self.artist, self.genres, self.song


@dataclass(frozen=True)
class GroupMeans:
    """The mean factors of groups (artists, genres) of played items, from which a song's own items are taken off.

    A mean is (Σ w y + κ m) / (Σ w + κ), w = ln(1 + plays), m the mean of all, κ the shrinkage: a group of little weight
    is told by all items.

    Attributes
    ----------
    size : groups are 0 .. size − 1.
    total : Σ w y [size × (d + 1)].
    facts : Σ w and the number of items [size × 2].
    best : the highest Σ w of a song [size × 2], and that of the second song.
    best_song : the song of the highest [size].
    keys : (group, song) pairs as one number, ascending.
    own_total, own_facts : as `total` and `facts` of each pair.
    songs : numbers of songs are below this.
    mean : of all [d + 1].
    shrinkage : κ.
    """

    size: int
    total: Matrix
    facts: Matrix
    best: Matrix
    best_song: Ints
    keys: Ints
    own_total: Matrix
    own_facts: Matrix
    songs: int
    mean: Matrix
    shrinkage: float

    @staticmethod
    def of(groups: Ints, items: Ints, played: Played, shrinkage: float) -> GroupMeans:
        """From (group, item) pairs; items without plays and groups below 0 count nowhere."""
        counts = (groups >= 0) & (played.plays[items] > 0)
        groups, items = groups[counts], items[counts]
        size, songs = int(groups.max(initial=-1)) + 1, int(played.song.max(initial=-1)) + 1
        weight = np.log1p(played.plays)
        mean = (weight[:, None] * played.factors).sum(axis=0) / max(weight.sum(), np.finfo(float).tiny)
        keys, pair = np.unique(groups * songs + played.song[items], return_inverse=True)
        own_total, own_facts = np.zeros((len(keys), len(mean))), np.zeros((len(keys), 2))
        np.add.at(own_total, pair, weight[items, None] * played.factors[items])
        np.add.at(own_facts, pair, np.column_stack([weight[items], np.ones(len(items))]))
        group, song = keys // max(songs, 1), keys % max(songs, 1)
        total, facts = np.zeros((size, len(mean))), np.zeros((size, 2))
        np.add.at(total, group, own_total)
        np.add.at(facts, group, own_facts)
        order = np.lexsort((song, -own_facts[:, 0], group))
        place = np.arange(len(order)) - np.searchsorted(group[order], group[order])
        best, best_song = np.zeros((size, 2)), np.full(size, -1)
        for rank in (0, 1):
            rows = order[place == rank]
            best[group[rows], rank] = own_facts[rows, 0]
            if rank == 0:
                best_song[group[rows]] = song[rows]
        return GroupMeans(size, total, facts, best, best_song, keys, own_total, own_facts, songs, mean, shrinkage)

    def of_groups(self, asked: Ints, songs: Ints) -> tuple[Matrix, Matrix]:
        """Mean factors [n × (d + 1)] of the group of each row without the row's own song, and Σ w, the number of items
        and the highest Σ w of a song [n × 3].

        Parameters
        ----------
        asked : group of each row; −1, or one that no played item is in: none.
        songs : song of each row, −1 for none.
        """
        known = (asked >= 0) & (asked < self.size)
        at = np.where(known, asked, 0)
        if not self.size:
            return np.tile(self.mean, (len(asked), 1)), np.zeros((len(asked), 3))
        sums, facts = self.total[at] * known[:, None], self.facts[at] * known[:, None]
        pair, is_own = find(at * self.songs + songs, self.keys)
        is_own &= known & (songs >= 0)
        sums = sums - self.own_total[pair] * is_own[:, None]
        facts = facts - self.own_facts[pair] * is_own[:, None]
        best = np.where(is_own & (self.best_song[at] == songs), self.best[at, 1], self.best[at, 0]) * known
        # What is left of a difference of equal sums is not always exactly 0.
        weights = np.where(facts[:, 1] > 0.5, facts[:, 0], 0.0)
        sums = np.where(facts[:, 1:] > 0.5, sums, 0.0)
        means = (sums + self.shrinkage * self.mean) / (weights[:, None] + self.shrinkage)
        return means, np.column_stack([weights, facts[:, 1], best])


def group_means(played: Played, shrinkage: float) -> tuple[GroupMeans, GroupMeans]:
    """The means of artists and of genres."""
    every = np.arange(len(played.artist), dtype=np.int64)
    by_artist = GroupMeans.of(played.artist, every, played, shrinkage)
    return by_artist, GroupMeans.of(played.genres.values.astype(np.int64), played.genres.rows, played, shrinkage)


@dataclass(frozen=True)
class Inputs:
    """What the map is given of each track.

    Attributes
    ----------
    plain : [n × q], columns of their own scale: content, popularity and whether it is known, how much the artist is
        played (the mean ln(1 + plays) of its tracks, their highest, and how many).
    means : [n × 2 (d + 1)], the factors of the artist and of the genres.
    prior : [n × (d + 1)], those of the artist, that the map's result is added to.
    """

    plain: Matrix
    means: Matrix
    prior: Matrix


def stacked(first: Inputs, second: Inputs) -> Inputs:
    """The rows of both."""
    pairs = ((first.plain, second.plain), (first.means, second.means), (first.prior, second.prior))
    return Inputs(*(np.vstack(pair) for pair in pairs))


def make_inputs(tracks: Tracks, artists: GroupMeans, genres: GroupMeans) -> Inputs:
    """The inputs of tracks; a track's own plays are never among them."""
    prior, numbers = artists.of_groups(tracks.artist, tracks.song)
    usual = artists.facts[:, 0].sum() / max(artists.facts[:, 1].sum(), 1.0)
    played = (numbers[:, 0] + usual) / (numbers[:, 1] + 1)
    of_artist = np.column_stack([played, numbers[:, 2], np.log1p(numbers[:, 1])])
    known = np.isfinite(tracks.popularity)
    popularity = np.column_stack([np.where(known, tracks.popularity, _MIDDLE), known])
    rows = tracks.genres.rows
    each, _ = genres.of_groups(tracks.genres.values.astype(np.int64), tracks.song[rows])
    counts = np.bincount(rows, minlength=len(tracks))[:, None]
    of_genres = np.zeros_like(prior)
    np.add.at(of_genres, rows, each)
    of_genres = np.where(counts > 0, of_genres / np.maximum(counts, 1), genres.mean)
    return Inputs(np.column_stack([tracks.content, popularity, of_artist]), np.hstack([prior, of_genres]), prior)
