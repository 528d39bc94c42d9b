"""Principal components, or singular vectors, of the sparse listener × item matrix, distributed and of any width."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec.logs import Logger
from musicrec.models.embedding import EmbeddingModel, ItemMatrix, collect_items
from musicrec.models.pca.blocked import fit_blocked
from musicrec.models.pca.params import PcaParams

__all__ = ["PcaModel", "PcaParams", "fit_pca"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PcaModel:
    """A fitted decomposition of a matrix A of n listeners (those with interactions) × width items.

    Attributes
    ----------
    embedding : listener coordinates, item loadings and, as bias, item means: the score is the reconstructed cell.
    singular_values : of A less the means, falling [k].
    explained_variance : variance along each component, divisor n − 1; without centring, the second moment [k].
    explained_variance_ratio : the same as a share of the matrix's total variance, or second moment [k].
    """

    embedding: EmbeddingModel
    singular_values: Floats
    explained_variance: Floats
    explained_variance_ratio: Floats

    @property
    def cumulative_ratio(self) -> Floats:
        """Share of the variance that the first components explain together [k]."""
        return np.cumsum(self.explained_variance_ratio)

    @property
    def components(self) -> NDArray[np.float32]:
        """Orthonormal loadings [k × width], the largest entry by size of each positive; 0 for unused items.

        Fetched when first asked for, 4 k bytes an item.
        """
        loadings = np.zeros((self._items.item_idx[-1] + 1, len(self.singular_values)), np.float32)
        loadings[self._items.item_idx] = self._items.vectors
        return loadings.T

    @property
    def mean(self) -> NDArray[np.float32]:
        """Mean weight of each item [width]; 0 without centring. Fetched like `components`."""
        mean = np.zeros(self._items.item_idx[-1] + 1, np.float32)
        mean[self._items.item_idx] = self._items.bias
        return mean

    @cached_property
    def _items(self) -> ItemMatrix:
        return collect_items(self.embedding.item_vectors)


def fit_pca(interactions: DataFrame, params: PcaParams, seed: int, log: Logger | None = None) -> PcaModel:
    """Find the leading principal components by randomised block Lanczos iteration.

    The iteration (see `krylov.leading_directions`) is on the scatter matrix C = (A − 1μᵀ)ᵀ (A − 1μᵀ) of the sparse A,
    which is multiplied block by block on the executors and never formed; without centring μ = 0. It stops when the
    tolerance is reached or at max_iterations; the figures say what was reached.

    Nothing of the matrix's width comes to the driver. A task holds its listeners' entries and, a directions block being
    8 × (components + oversampling) bytes an item, two blocks of all items and about five of its share of them. Where
    Spark cannot run tasks side by side, one task does the work. The result has the same bits however the interactions
    are partitioned and however many tasks there are.

    Parameters
    ----------
    interactions : DataFrame (user_idx int, item_idx int, weight double, used as float32), one row per pair; a missing
        pair is 0, a listener without any interaction is no row of the matrix. width = the largest item_idx + 1.
        Evaluated once.
    params : settings.
    seed : of the first random block.
    log : told of each pass, and where one task must do.

    Returns
    -------
    PcaModel, its embedding named "pca", with item vectors for the items that have interactions, kept by Spark until its
    `release`. Figures: `passes`; `missing`, the share of the kept components' variance that may be lacking, by an
    estimate; `residual`, the largest |Cv − λv| beside the largest λ: each explained variance is within it × the largest
    of an exact one; `explained_variance_ratio` of all kept components together; `listeners`, `items`, `interactions`;
    `seconds_*` of each part and `peak_mb_of_a_task`.

    Raises
    ------
    InputError : no interactions, a weight that is not finite, or more components than listeners or items.
    TooLittleError : one listener, or a matrix without variance.
    NonFiniteError : a vector holds NaN or infinity.
    """
    embedding, values, total = fit_blocked(interactions, params, seed, log)
    variance = values / (embedding.figures["listeners"] - 1)
    return PcaModel(embedding, np.sqrt(values), variance, values / total)
