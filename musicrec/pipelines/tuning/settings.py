"""Settings of a study."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from musicrec.params import Params
from musicrec.pipelines.settings import Shelf


class TuneParams(Params):
    """How settings are searched for.

    Attributes
    ----------
    trials : settings tried beside the current ones; a grid ends where its points do.
    sampler : `tpe` (tree-structured Parzen estimator; Bergstra et al., "Algorithms for Hyper-Parameter Optimization",
        2011) or `grid`.
    batch : trials proposed together, before any of them is judged; part of what a study is, unlike the machine's cores.
    shelf : whose lists are judged.
    k : the cut-off of the metric, NDCG.
    valid_days : length of a validation period. The last one ends where the nightly's test begins.
    periods : validation periods, one before the other; each is judged on models of what lies before it.
    task_memory_mb : what a trial may take in one task, by an estimate; larger ones run one after the other, each on
        the whole cluster.
    """

    trials: int = Field(default=32, ge=1)
    sampler: Literal["tpe", "grid"] = "tpe"
    batch: int = Field(default=4, ge=1)
    shelf: Shelf = "discover"
    k: int = Field(default=10, ge=1)
    valid_days: float = Field(default=1.0, gt=0)
    periods: int = Field(default=1, ge=1)
    task_memory_mb: int = Field(default=1024, ge=0)
