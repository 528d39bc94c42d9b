"""What sounds like what: neighbours of every track by its content, and a recommender from content alone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from musicrec.params import Params
from musicrec.transforms.feature_scaler import GroupWeights
from musicrec.transforms.features import FeatureParams


class ContentParams(Params):
    """What stands on the tracks' features.

    Attributes
    ----------
    k : neighbours of each track.
    metric : by what they are near.
    weights : how much each group of features says.
    features : how the features are made.
    """

    k: int = Field(default=20, ge=1)
    metric: Literal["euclidean", "manhattan", "cosine"] = "cosine"
    weights: GroupWeights = GroupWeights()
    features: FeatureParams = FeatureParams()
