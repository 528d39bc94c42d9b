"""What the ranker's features are called, in which groups they are, and what they speak for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

_FEATURES: Mapping[str, Sequence[str]] = {
    "listener": (
        "listener_plays",
        "listener_items",
        "listener_artists",
        "listener_repetition",
        "listener_idle_days",
        "listener_oldest_days",
    ),
    "track": (
        "track_listeners",
        "track_plays",
        "track_recent",
        "track_last_day",
        "track_trend",
        "track_repetition",
        "track_days",
        "track_idle_days",
        "artist_listeners",
        "artist_plays",
    ),
    "context": ("hour_match", "weekday_match"),
    "artist": ("own_artist_share", "own_artist_items", "own_artist_idle_days"),
    "content": ("content_cosine",),
    "co_listening": ("near_best", "near_sum", "near_count", "near_recent"),
}
# Where more of it speaks for a candidate (1) or against it (-1).
_DIRECTIONS = {
    "own_artist_share": 1,
    "near_best": 1,
    "near_sum": 1,
    "content_cosine": 1,
    "track_listeners": 1,
    "fused": 1,
    "votes": 1,
}
_DIRECTIONS_BY_END = {"rank": -1, "score": 1, "share": 1}


def feature_names(retrievers: Sequence[str], left_out: Collection[str] = ()) -> tuple[str, ...]:
    """The features in the order of the columns."""
    of_lists = [f"{name}_{what}" for name in retrievers for what in ("rank", "score", "share")]
    groups: dict[str, Sequence[str]] = {"retrievers": (*of_lists, "fused", "votes"), **_FEATURES}
    return tuple(name for group, names in groups.items() if group not in left_out for name in names)


def feature_directions(names: Sequence[str]) -> list[int]:
    """1 where more of a feature speaks for a candidate, -1 where less does, 0 where it depends."""
    return [_DIRECTIONS.get(name, _DIRECTIONS_BY_END.get(name.rsplit("_", 1)[-1], 0)) for name in names]
