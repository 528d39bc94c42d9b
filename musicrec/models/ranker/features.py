"""The ranker's features of listeners' candidates. Training and scoring both call `candidate_features`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from musicrec.models.blocks import Ragged, find
from musicrec.models.ranker.facts import unit_rows
from musicrec.models.significant import significant

Array = NDArray[Any]
Columns = dict[str, Array]

# What a feature is where there is nothing to tell: worse than any rank, score or age.
NO_RANK, NO_SCORE, NO_DAYS = 10_000.0, -1e30, 10_000.0
# Dampens the first ranks of `fused`, as in fusion.
_FUSION_K = 60


@dataclass(frozen=True)
class Listeners:
    """Some listeners, side by side.

    Attributes
    ----------
    lists : each retriever's items and their scores, best first, by its name.
    heard, plays, ages : what each has heard (ascending), how often, and the days since the last time.
    oldest : the largest of the ages [listeners].
    hours, weekdays : counts of plays [listeners × 24], [listeners × 7].
    """

    lists: Mapping[str, tuple[Ragged, Ragged]]
    heard: Ragged
    plays: Ragged
    ages: Ragged
    oldest: Array
    hours: Array
    weekdays: Array


def candidate_features(
    listeners: Listeners, tracks: Mapping[str, Array], candidates: int, names: Sequence[str]
) -> tuple[Ragged, NDArray[np.float32]]:
    """Each listener's candidates, ascending, and their features.

    Candidates are the first `candidates` of each retriever's list. A row depends on its listener alone, so neither the
    others of the block nor the partitions change a digit.

    Parameters
    ----------
    tracks : `TrackFacts.arrays`.
    names : of the features, as of `feature_names`.

    Returns
    -------
    item_idx of each listener, and features [their number × names].
    """
    found = _candidates(listeners, candidates)
    size = len(tracks["plays"])
    columns = _of_lists(listeners, found, size)
    columns |= _of_listeners(listeners, found, tracks)
    columns |= _of_tracks(found, tracks)
    columns |= _of_context(listeners, found, tracks)
    columns |= _of_artists(listeners, found, tracks)
    columns |= _of_content(listeners, found, tracks)
    columns |= _of_neighbours(listeners, found, tracks)
    matrix = np.empty((len(found.values), len(names)), np.float32)
    for place, name in enumerate(names):
        matrix[:, place] = significant(columns[name])
    return found, matrix


def _candidates(listeners: Listeners, most: int) -> Ragged:
    keys = [np.zeros(0, np.int64)]
    for items, _ in listeners.lists.values():
        rows = items.rows
        first = np.arange(len(rows)) - items.starts[rows] < most
        keys.append(_keys(rows[first], items.values[first]))
    chosen = np.unique(np.concatenate(keys))
    starts = np.searchsorted(chosen >> 32, np.arange(len(listeners.heard) + 1)).astype(np.int64)
    return Ragged((chosen & 0xFFFFFFFF).astype(np.int32), starts)


def _keys(rows: Array, values: Array) -> Array:
    """One number for a listener and an item or artist."""
    return np.asarray((rows.astype(np.int64) << 32) | values.astype(np.int64))


def _of_lists(listeners: Listeners, found: Ragged, size: int) -> Columns:
    wanted = _keys(found.rows, found.values)
    columns: Columns = {"fused": np.zeros(len(wanted)), "votes": np.zeros(len(wanted))}
    for name, (items, scores) in listeners.lists.items():
        rows = items.rows
        keys = _keys(rows, items.values)
        order = np.argsort(keys)
        at, is_there = find(wanted, keys[order])
        place = order[at] if len(order) else at
        ranks = (np.arange(len(rows)) - items.starts[rows] + 1.0)[place] if len(rows) else np.zeros(len(at))
        own = np.asarray(scores.values, np.float64)
        own = own[place] if len(rows) else np.zeros(len(at))
        # Of the listener's best: models' scores have no scale of their own.
        tops = np.zeros(len(items))
        filled = np.diff(items.starts) > 0
        tops[filled] = scores.values[items.starts[:-1][filled]]
        best = tops[found.rows]
        shares = np.divide(own, np.abs(best), out=np.zeros(len(own)), where=best != 0)
        columns[f"{name}_rank"] = np.where(is_there, ranks, NO_RANK)
        columns[f"{name}_score"] = np.where(is_there, own, NO_SCORE)
        columns[f"{name}_share"] = np.where(is_there, shares, NO_SCORE)
        columns["fused"] += np.where(is_there, 1.0 / (_FUSION_K + ranks), 0.0)
        columns["votes"] += is_there
    return columns


def _of_listeners(listeners: Listeners, found: Ragged, tracks: Mapping[str, Array]) -> Columns:
    count, heard = len(listeners.heard), listeners.heard
    rows = heard.rows
    plays = np.bincount(rows, listeners.plays.values, count)
    items = np.diff(heard.starts).astype(np.float64)
    artists = np.unique(_keys(rows, np.where(_inside(heard.values, tracks), _artist(heard.values, tracks), -1) + 1))
    idle = np.full(count, NO_DAYS)
    np.minimum.at(idle, rows, listeners.ages.values)
    of_each = {
        "listener_plays": plays,
        "listener_items": items,
        "listener_artists": np.bincount(artists >> 32, minlength=count).astype(np.float64),
        "listener_repetition": plays / np.maximum(items, 1.0),
        "listener_idle_days": idle,
        "listener_oldest_days": listeners.oldest,
    }
    return {name: values[found.rows] for name, values in of_each.items()}


def _inside(items: Array, tracks: Mapping[str, Array]) -> Array:
    return np.asarray(items < len(tracks["artist"]))


def _artist(items: Array, tracks: Mapping[str, Array]) -> Array:
    """Each item's artist; items beyond the tracks must be masked by the caller."""
    return np.asarray(tracks["artist"][np.minimum(items, len(tracks["artist"]) - 1)])


def _of_tracks(found: Ragged, tracks: Mapping[str, Array]) -> Columns:
    """Counts as shares of all, so that a window with more of a past is like one with less."""
    own = {name: tracks[name][found.values] for name in ("listeners", "plays", "recent", "last_day")}
    totals = {name: max(float(tracks[name].sum()), 1.0) for name in ("plays", "recent", "last_day")}
    everyone = max(float(tracks["listeners"].max(initial=0.0)), 1.0)
    share = own["plays"] / totals["plays"]
    recent = own["recent"] / totals["recent"]
    return {
        "track_listeners": own["listeners"] / everyone,
        "track_plays": share * 1e3,
        "track_recent": recent * 1e3,
        "track_last_day": own["last_day"] / totals["last_day"] * 1e3,
        "track_trend": np.log((recent + 1e-6) / (share + 1e-6)),
        "track_repetition": own["plays"] / np.maximum(own["listeners"], 1.0),
        "track_days": tracks["first_days"][found.values],
        "track_idle_days": tracks["last_days"][found.values],
        "artist_listeners": tracks["artist_listeners"][found.values] / everyone,
        "artist_plays": tracks["artist_plays"][found.values] / totals["plays"] * 1e3,
    }


def _of_context(listeners: Listeners, found: Ragged, tracks: Mapping[str, Array]) -> Columns:
    """The cosines between when a listener plays and when a track is played."""
    matches = {}
    for name, own in (("hour_match", "hours"), ("weekday_match", "weekdays")):
        habits = unit_rows(getattr(listeners, own))
        matches[name] = np.einsum("ij,ij->i", habits[found.rows], tracks[own][found.values].astype(np.float64))
    return matches


def _of_artists(listeners: Listeners, found: Ragged, tracks: Mapping[str, Array]) -> Columns:
    heard, rows = listeners.heard, listeners.heard.rows
    known = np.flatnonzero(_inside(heard.values, tracks) & (_artist(heard.values, tracks) >= 0))
    keys, place = np.unique(_keys(rows[known], _artist(heard.values[known], tracks)), return_inverse=True)
    plays = np.bincount(place, listeners.plays.values[known], len(keys))
    ages = np.full(len(keys), NO_DAYS)
    np.minimum.at(ages, place, listeners.ages.values[known])
    of_all = np.maximum(np.bincount(rows, listeners.plays.values, len(heard)), 1.0)
    artists = tracks["artist"][found.values]
    at, is_there = find(_keys(found.rows, np.maximum(artists, 0)), keys)
    is_there &= artists >= 0
    items = np.bincount(place, minlength=len(keys)).astype(np.float64)

    def of(values: Array, nothing: float) -> Array:
        return np.where(is_there, values[at] if len(values) else nothing, nothing)

    return {
        "own_artist_share": of(plays, 0.0) / of_all[found.rows],
        "own_artist_items": of(items, 0.0),
        "own_artist_idle_days": of(ages, NO_DAYS),
    }


def _of_content(listeners: Listeners, found: Ragged, tracks: Mapping[str, Array]) -> Columns:
    """The cosine between a track and the mean of what the listener has heard, by plays; -1 where either has none."""
    if "content" not in tracks:
        return {"content_cosine": np.full(len(found.values), -1.0)}
    heard = listeners.heard
    is_known = _inside(heard.values, tracks)
    own = csr_matrix(
        (listeners.plays.values * is_known, np.where(is_known, heard.values, 0), heard.starts),
        (len(heard), len(tracks["content"])),
    )
    taste = unit_rows(np.asarray(own @ tracks["content"], np.float64))
    cosines = np.einsum("ij,ij->i", taste[found.rows], tracks["content"][found.values].astype(np.float64))
    is_there = tracks["has_content"][found.values] & taste.any(axis=1)[found.rows]
    return {"content_cosine": np.where(is_there, cosines, -1.0)}


def _of_neighbours(listeners: Listeners, found: Ragged, tracks: Mapping[str, Array]) -> Columns:
    """How near a track is to what the listener has heard, by who else plays both."""
    starts = tracks["near_starts"]
    lengths = (starts[found.values + 1] - starts[found.values]).astype(np.int64)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    entry = np.repeat(starts[found.values], lengths) + within
    keys = _keys(listeners.heard.rows, listeners.heard.values)
    at, is_heard = find(_keys(found.rows[owner], tracks["near"][entry]), keys)
    owner, at = owner[is_heard], at[is_heard]
    scores = tracks["near_scores"][entry[is_heard]].astype(np.float64)
    size = len(lengths)
    best = np.zeros(size)
    np.maximum.at(best, owner, scores)
    faded = scores * 0.5 ** listeners.ages.values[at] if len(at) else scores
    return {
        "near_best": best,
        "near_sum": np.bincount(owner, scores, size),
        "near_count": np.bincount(owner, minlength=size).astype(np.float64),
        "near_recent": np.bincount(owner, faded, size),
    }
