"""Settings of PCA."""

from __future__ import annotations

from pydantic import Field

from musicrec.params import Params


class PcaParams(Params):
    """Settings of the decomposition.

    Attributes
    ----------
    components : directions to keep.
    center : take each item's mean off first (PCA); without, a truncated singular value decomposition.
    oversampling : further directions carried along, which make the kept ones settle faster.
    max_iterations : passes over the data at most.
    tolerance : stop when, by the estimate, at most this share of the variance that the exact components explain is
        missing.
    blocks : tasks that work side by side, at most one a core; 0 for one a core. The result does not depend on it.
    """

    components: int = Field(default=32, ge=1)
    center: bool = True
    oversampling: int = Field(default=16, ge=0)
    max_iterations: int = Field(default=30, ge=1)
    tolerance: float = Field(default=1e-4, gt=0)
    blocks: int = Field(default=0, ge=0)
