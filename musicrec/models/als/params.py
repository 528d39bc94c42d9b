"""Settings of implicit ALS, none of which depends on how many items, listeners or plays there are."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from musicrec.models.als.scale import Scale
from musicrec.params import Params

# Where α₀ is half of what it comes to where listeners have much in common.
_HALF = 50.0


class AlsParams(Params):
    """Settings of the factorisation; the loss that they define is in `als.fit_als`.

    Attributes
    ----------
    engine : `blocked` (ours), `mllib`, or `auto`: ours where it can run, else MLlib's, and the log says why.
    rank : length of the vectors.
    iterations : times that both sides are solved.
    warm_iterations : as many where last night's vectors are there to start from; 0 starts anew every night.
    refit_days : days from one fit to the next; on nights between, all listeners are folded in against the last items.
    unobserved : α₀, the weight of a pair without interaction, is `unobserved` × x / (x + 50) mean weights of an
        interaction, with x = the items that a listener has × those that two have in common (`Scale`). The less there is
        to compare listeners by, the less it says that one of them has not played an item.
    regularization : λ₀; a vector with n interactions is penalised by λ₀ n^exponent α₀^(1 − exponent).
    regularization_exponent : 1 scales the penalty with the interactions, 0 gives every vector the same.
    steps : conjugate gradient steps a row and iteration.
    blocks : parts that the listeners are cut into, each a task that runs beside the others; 0 for one a core. The
        result does not depend on it.
    block_memory_mb : most that the item side may take in each task, before MLlib is used instead.
    """

    engine: Literal["auto", "blocked", "mllib"] = "auto"
    rank: int = Field(default=64, ge=1)
    iterations: int = Field(default=12, ge=1)
    warm_iterations: int = Field(default=4, ge=0)
    refit_days: int = Field(default=1, ge=1)
    unobserved: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    regularization: float = Field(default=1.2, ge=0, allow_inf_nan=False)
    regularization_exponent: float = Field(default=0.6, ge=0, le=1)
    steps: int = Field(default=1, ge=1)
    blocks: int = Field(default=0, ge=0)
    block_memory_mb: int = Field(default=4096, ge=1)

    def unobserved_weight(self, scale: Scale) -> float:
        """α₀, in mean weights of an interaction."""
        compared = scale.heard_items * scale.shared_items
        return self.unobserved * compared / (compared + _HALF)

    def penalties(self, counts: NDArray[np.int64], scale: Scale) -> NDArray[np.float32]:
        """λ of vectors with `counts` interactions each."""
        power = self.regularization_exponent
        rest = self.regularization * self.unobserved_weight(scale) ** (1 - power)
        return np.asarray(rest * counts**power, dtype=np.float32)
