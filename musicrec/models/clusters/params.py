"""Settings of the clusters of tracks."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from musicrec.params import Params
from musicrec.schemas.content import ENGINEERED_FEATURES
from musicrec.schemas.table import AUDIO_FEATURES

# Without key and mode: twelve keys stand in a circle, and a column of two values splits every cluster in two.
SOUND = (
    "danceability",
    "energy",
    "loudness",
    "speechiness",
    "acousticness",
    "instrumentalness",
    "liveness",
    "valence",
    "tempo",
)


class ClusterParams(Params):
    """How tracks are grouped.

    Attributes
    ----------
    features : columns of silver.track_features, each standardised. One that is unknown of some track is left out, and
        so is one that is the same for all.
    k_min, k_max : numbers of clusters that are tried; the highest mean silhouette wins, the smaller of two that tie.
    sample : tracks that k and the centres are found from, drawn by hash; all others are put to their nearest centre.
    restarts : fits of each k from other first centres; the one with the least inertia stands.
    max_iterations : of each fit, at most.
    examples : tracks nearest to its centre that a cluster names.
    """

    features: tuple[str, ...] = SOUND
    k_min: int = Field(default=4, ge=2)
    k_max: int = Field(default=12, ge=2)
    sample: int = Field(default=20_000, ge=100)
    restarts: int = Field(default=1, ge=1)
    max_iterations: int = Field(default=50, ge=1)
    examples: int = Field(default=5, ge=1)

    @field_validator("features")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = (*AUDIO_FEATURES, *ENGINEERED_FEATURES)
        unknown = [name for name in value if name not in known]
        if unknown or not value or len(set(value)) < len(value):
            raise ValueError(f"some of {', '.join(known)}, each once")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> ClusterParams:
        if self.k_max < self.k_min:
            raise ValueError("k_max is below k_min")
        return self
