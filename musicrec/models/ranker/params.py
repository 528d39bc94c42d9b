"""Settings of the two-stage ranker."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from musicrec.params import Params

Retriever = Literal[
    "als", "pca", "lstm", "attention", "dot_bias", "knn", "user_knn", "content", "popular", "artist_popular"
]
# What a feature tells of; each can be left out, to see what it adds.
Group = Literal["retrievers", "listener", "track", "context", "artist", "content", "co_listening"]


class RankerParams(Params):
    """What is ranked, what it is learnt from, and the trees.

    Attributes
    ----------
    enabled : whether the nightly trains and judges it.
    retrievers : the models whose lists the candidates come from.
    candidates : so many of the first of each list.
    windows, window_days : the last windows before the end of the data that it learns from, one after the other, and how
        long each is; the retrievers of a window know only what was played before it.
    listeners : at most so many of a window's, drawn by hash.
    half_life_days : of a track's recent plays, which its trend compares with all of them.
    leave_out : groups of features that are not used.
    trees, leaves, rate, min_leaf : of the gradient boosting; `min_leaf` is the least number of candidates in a leaf.
    column_share, row_share : drawn anew for each tree.
    l2 : penalty of the leaves' values.
    truncation : lambdarank looks at pairs of which one stands among so many first.
    monotone : a better place in a retriever's list, or more of what speaks for a candidate, never lowers its score.
    threads : of the training; the result does not depend on it.
    """

    enabled: bool = False
    retrievers: tuple[Retriever, ...] = Field(
        default=("als", "pca", "lstm", "knn", "popular", "artist_popular"), min_length=1
    )
    candidates: int = Field(default=100, ge=1, le=1000)
    windows: int = Field(default=2, ge=1)
    window_days: float = Field(default=1.0, gt=0)
    listeners: int = Field(default=5000, ge=1)
    half_life_days: float = Field(default=2.0, gt=0)
    leave_out: tuple[Group, ...] = ()
    trees: int = Field(default=150, ge=1)
    leaves: int = Field(default=15, ge=2)
    rate: float = Field(default=0.05, gt=0)
    min_leaf: int = Field(default=50, ge=1)
    column_share: float = Field(default=0.7, gt=0, le=1)
    row_share: float = Field(default=0.8, gt=0, le=1)
    l2: float = Field(default=1.0, ge=0)
    truncation: int = Field(default=20, ge=1)
    monotone: bool = False
    threads: int = Field(default=1, ge=1)

    @property
    def with_users(self) -> bool:
        """Whether lists of alike listeners are among the retrievers'."""
        return "user_knn" in self.retrievers
