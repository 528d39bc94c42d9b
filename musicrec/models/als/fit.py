"""Implicit-feedback matrix factorisation by alternating least squares, in blocks of listeners on Spark's executors."""

from __future__ import annotations

from pyspark.sql import DataFrame

from musicrec.logs import Logger
from musicrec.models.als.blocked import fit_blocked, why_not_here
from musicrec.models.als.mllib import fit_mllib
from musicrec.models.als.params import AlsParams
from musicrec.models.embedding import EmbeddingModel, ItemMatrix

__all__ = ["AlsParams", "fit_als"]


def fit_als(
    interactions: DataFrame,
    params: AlsParams,
    seed: int,
    start: ItemMatrix | None = None,
    log: Logger | None = None,
) -> EmbeddingModel:
    """Factorise the listener × item matrix so that user · item is near 1 where played and near 0 elsewhere.

    Minimises Σ_played (α₀ + w_ui / w̄) (1 − x_u·y_i)² + α₀ Σ_others (x_u·y_i)² + Σ_u λ_u |x_u|² + Σ_i λ_i |y_i|² with w̄
    the mean weight: Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", 2008, with the
    weight of unobserved pairs α₀ and penalties that grow with a power of a row's interactions n of Rendle, Krichene,
    Zhang and Koren, "Revisiting the Performance of iALS on Item Recommendation Benchmarks", 2021. α₀ and λ follow from
    the settings and the interactions (`AlsParams`, `Scale`), so that settings mean the same at any size; theirs, with
    α₀ m in the penalties, let whoever adds items drown what was heard. Listeners end as the optimum for the items,
    which is what folding one in gives. The blocked engine's result has the same bits however the interactions are
    partitioned.

    Parameters
    ----------
    interactions : DataFrame (user_idx int, item_idx int, weight double > 0), one row per pair. Evaluated once.
    params : settings.
    seed : of the first random vectors.
    start : item vectors of an earlier fit to begin with (then for `params.warm_iterations`); new items begin at 0.
    log : told of each iteration, and of the engine where it is not the blocked one.

    Returns
    -------
    EmbeddingModel "als" with bias 0, kept by Spark until its `release`. Its figures: `interactions`, `listeners`,
    `items`, those of its `Scale`, and of the blocked engine `loss` (the sum above), `iterations` and `seconds_*` of
    each part.

    Raises
    ------
    InputError : no interactions, a weight that is not a positive number, a `start` of another rank, or penalties so
        large that every vector ends at 0.
    NonFiniteError : the fit diverged.
    """
    if params.engine != "mllib":
        reason = why_not_here(interactions.sparkSession, params)
        fitted = reason or fit_blocked(interactions, params, seed, start, log)
        if isinstance(fitted, EmbeddingModel):
            return fitted
        if params.engine == "blocked":
            raise RuntimeError(f"als.engine = blocked cannot run: {fitted}")
        if log:
            log.warning("als: MLlib takes over", reason=fitted)
    return fit_mllib(interactions, params, seed)
