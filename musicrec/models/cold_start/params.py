"""Settings of the map from content to factors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from musicrec.params import Params


class ColdStartParams(Params):
    """How item vectors are learned from content.

    Attributes
    ----------
    map : `ridge`, `kernel` (kernel ridge regression with a Gaussian kernel), `artist` (the mean of the artist, nothing
        learned), or `auto`: what cross-validation says.
    min_plays : only tracks with so many plays train the map.
    min_tracks : with fewer of them nothing is learned, and there is no model.
    folds : of the cross-validation.
    cv_tracks : it looks at so many tracks at most, drawn by hash.
    shrinkage : an artist's mean counts the mean of all as so much weight.
    unplayed : so many tracks that no one has played, drawn by hash, train the map too: their factors are 0, as ALS's
        would be. Without them it would promise much for tracks that are like nothing that was played.
    unplayed_weight : what they weigh together, as a share of what the played ones weigh; 0 leaves them out.
    landmarks : tracks that the kernel compares with at most, drawn by hash.
    """

    map: Literal["auto", "ridge", "kernel", "artist"] = "auto"
    min_plays: int = Field(default=3, ge=1)
    min_tracks: int = Field(default=50, ge=10)
    folds: int = Field(default=5, ge=2)
    cv_tracks: int = Field(default=20_000, ge=100)
    shrinkage: float = Field(default=1.0, gt=0)
    unplayed: int = Field(default=2000, ge=0)
    unplayed_weight: float = Field(default=0.5, ge=0)
    landmarks: int = Field(default=1000, ge=10)
