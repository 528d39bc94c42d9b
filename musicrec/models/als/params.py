"""Settings of implicit ALS."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from musicrec.params import Params


class AlsParams(Params):
    """Settings of the factorisation; the loss that they define is in `als.fit_als`.

    Attributes
    ----------
    engine : `blocked` (ours), `mllib`, or `auto`: ours where it can run, else MLlib's, and the log says why.
    rank : length of the vectors.
    iterations : times that both sides are solved.
    warm_iterations : as many where last night's vectors are there to start from; 0 starts anew every night.
    refit_days : days from one fit to the next; on nights between, all listeners are folded in against the last items.
    regularization : λ₀; a vector with n interactions is penalised by λ₀ (n + α₀ m)^exponent, m the other side's size.
    regularization_exponent : 1 scales the penalty with the interactions, 0 gives every vector the same.
    unobserved_weight : α₀, the weight of a pair without interaction.
    alpha : weight of an interaction beyond α₀, per unit of its own weight.
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
    regularization: float = Field(default=0.01, ge=0)
    regularization_exponent: float = Field(default=1.0, ge=0)
    unobserved_weight: float = Field(default=1.0, gt=0)
    alpha: float = Field(default=10.0, gt=0)
    steps: int = Field(default=1, ge=1)
    blocks: int = Field(default=0, ge=0)
    block_memory_mb: int = Field(default=4096, ge=1)

    def penalties(self, counts: NDArray[np.int64], others: int) -> NDArray[np.float32]:
        """λ of vectors with `counts` interactions each, against `others` vectors of the other side."""
        reach = counts + self.unobserved_weight * others
        return (self.regularization * reach**self.regularization_exponent).astype(np.float32)
