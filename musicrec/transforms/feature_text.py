"""Genres and tags as a few numbers: TF-IDF, then the directions in which most tracks differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import sparse

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TermSpace:
    """A vocabulary of genres and tags and the space that its terms span.

    A track is the vector of its terms' idf, of length 1, times the components; without a known term it is zero. Terms
    that stand together, as a genre and its subgenres do, share directions (latent semantic analysis: Deerwester et
    al., 1990).

    Attributes
    ----------
    terms : the vocabulary, most frequent first.
    idf : float64 [terms], ln((1 + n) / (1 + tracks with it)) + 1 of n tracks.
    components : float64 [terms × dims].
    """

    terms: tuple[str, ...]
    idf: Floats
    components: Floats

    def vectors(self, lists: Sequence[pa.Array]) -> Floats:
        """The numbers of each row, float64 [rows × dims], of Arrow columns of lists of terms."""
        size = len(lists[0])
        if not self.components.size:
            return np.zeros((size, self.components.shape[1]))
        rows, codes = [], []
        for column in lists:
            words = read_lists_of_text(column)
            found = pc.index_in(words[1], value_set=pa.array(self.terms, pa.string())).to_numpy(zero_copy_only=False)
            known = ~np.isnan(found)
            rows.append(words[0][known])
            codes.append(found[known].astype(np.int64))
        cells = np.unique(np.concatenate(rows) * len(self.terms) + np.concatenate(codes))
        at, term = np.divmod(cells, len(self.terms))
        lengths = np.sqrt(np.bincount(at, self.idf[term] ** 2, minlength=size))
        matrix = sparse.csr_matrix((self.idf[term] / lengths[at], (at, term)), shape=(size, len(self.terms)))
        return np.asarray(matrix @ self.components)


def read_lists_of_text(column: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """The row of each text of a list column, and the texts."""
    column = column.cast(pa.list_(pa.string()))
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(len(column), dtype=np.int64), lengths), column.flatten()


def fit_terms(rows: DataFrame, most_terms: int, dims: int) -> TermSpace:
    """The space of the genres and tags of (genres array<string>, tags array<string>).

    The driver holds each distinct set of terms once, and a square matrix of the vocabulary.
    """
    none = F.array().cast("array<string>")
    together = F.array_union(F.coalesce("genres", none), F.coalesce("tags", none))
    sets = rows.groupBy(F.array_sort(F.array_compact(together)).alias("terms")).agg(F.count("*").alias("n")).collect()
    counted = sorted((tuple(row.terms), int(row.n)) for row in sets)
    tracks = sum(n for _, n in counted)
    known: Counter[str] = Counter()
    for terms, n in counted:
        known.update(dict.fromkeys(terms, n))
    vocabulary = sorted(known, key=lambda term: (-known[term], term))[:most_terms]
    idf = np.array([np.log((1 + tracks) / (1 + known[term])) + 1 for term in vocabulary])
    return TermSpace(tuple(vocabulary), idf, _components(counted, vocabulary, idf, dims))


def _components(counted: Sequence[tuple[tuple[str, ...], int]], terms: Sequence[str], idf: Floats, dims: int) -> Floats:
    """The first right singular vectors of the tracks' normalised vectors: [terms × at most dims]."""
    if not terms or not dims:
        return np.zeros((len(terms), 0))
    at = {term: place for place, term in enumerate(terms)}
    matrix = sparse.lil_matrix((len(counted), len(terms)))
    weights = np.zeros(len(counted))
    for row, (own, n) in enumerate(counted):
        places = sorted(at[term] for term in own if term in at)
        weights[row] = n
        if places:
            matrix[row, places] = idf[places] / np.linalg.norm(idf[places])
    own_matrix = matrix.tocsr()
    gram: Any = (own_matrix.T @ sparse.diags(weights) @ own_matrix).toarray()
    values, vectors = np.linalg.eigh(gram)
    order = np.argsort(-values, kind="stable")[:dims]
    order = order[values[order] > 1e-9 * max(values.max(), 1.0)]
    found = vectors[:, order]
    signs = np.sign(found[np.abs(found).argmax(axis=0), np.arange(len(order))])
    components: Floats = np.round(found * signs, 9)
    return components
