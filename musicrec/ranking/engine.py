"""Exact lists of a block of listeners from a catalogue: products tile by tile, each only where it can change a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.models.blocks import Ragged
from musicrec.ranking.catalogue import Catalogue, Metric, lengths, scales

Array = NDArray[Any]
Columns = tuple[Array, ...]


@dataclass(frozen=True)
class Block:
    """Listeners ranked together.

    Attributes
    ----------
    vectors : float32 [listeners × d].
    left_out : item_idx that each must not be offered, ascending.
    artists_out : artist_idx likewise.
    given : where not None, the only item_idx that each may be offered, ascending.
    """

    vectors: Array
    left_out: Ragged
    artists_out: Ragged
    given: Ragged | None = None


def no_lists(listeners: int) -> Ragged:
    """An empty list for each listener."""
    return Ragged(np.zeros(0, np.int32), np.zeros(listeners + 1, np.int64))


class Engine:
    """Finds the n best items of each listener, exactly.

    A float32 product of some listeners and a tile of items finds, with a proven margin for its error, the pairs that
    can still enter a list; those are scored in float64, rounded to 6 decimals and compared by score, then item_idx.
    Tiles come in the order of what they can score at most, and take part only for the listeners for whom that is
    enough; so the usual list is found in a part of the catalogue (Teflioudi, Gemulla and Mykytiuk, "LEMP: Fast
    Retrieval of Large Entries in a Matrix Product", 2015, for the bound by length).

    The error of a rough score: |fl(x·y) − x·y| ≤ d u / (1 − d u) |x||y|, u = 2⁻²⁴ (Higham, Accuracy and Stability of
    Numerical Algorithms, 3.1). Scaling x, scaling the product, adding the bias and casting the floor to float32 round
    once each: 2 (d + 6) u is more than all of them.

    Parameters
    ----------
    catalogue : the items.
    metric : as the catalogue's.
    n : length of the lists.
    artist_cap : entries of one artist at most; 0 for any number.
    tile : items per product.
    """

    def __init__(self, catalogue: Catalogue, metric: Metric, n: int, artist_cap: int = 0, tile: int = 1024) -> None:
        self.catalogue, self.metric, self.artist_cap = catalogue, metric, artist_cap
        self.n = max(1, min(n, len(catalogue)))
        self.tiles = list(self._tiles(tile))
        width = catalogue.vectors.shape[1] if len(catalogue) else 0
        self.error = (width + 6) * 2.0**-23

    def best(self, block: Block) -> tuple[Ragged, Ragged]:
        """Each listener's items (int32) and scores (float64), best first."""
        # Imported here: in a worker, and only once something is ranked.
        from musicrec.ranking import topn_kernels as kernels

        listeners = len(block.vectors)
        lists = (
            np.empty((listeners, self.n)),
            np.empty((listeners, self.n), np.int32),
            np.empty((listeners, self.n), np.int32),
            np.zeros(listeners, np.int64),
        )
        own = np.ascontiguousarray(block.vectors)
        norms = lengths(own)
        scale = scales(norms, self.metric)
        about = (own, scale, norms * scale)
        left_out = (block.left_out.values, block.left_out.starts, block.artists_out.values, block.artists_out.starts)
        if not len(self.catalogue):
            pass
        elif block.given is not None:
            given = (block.given.values, self.catalogue.rows_of(block.given.values), block.given.starts)
            c = self.catalogue
            whole = (c.item_idx, c.vectors, c.scale, c.bias, c.artist_idx)
            kernels.scan_given(given, whole, about, left_out, lists, self.artist_cap)
        else:
            self._scan(about, left_out, lists)
        items, scores, starts = kernels.in_order(lists)
        return Ragged(items, starts), Ragged(scores, starts)

    def _scan(self, about: Columns, left_out: Columns, lists: Columns) -> None:
        from musicrec.ranking import topn_kernels as kernels

        own, scale, sizes = about
        scaled = own if self.metric == "dot" else (own * scale[:, None]).astype(np.float32)
        rows = np.empty(len(own), np.int32)
        room = np.empty(len(own) * max(len(tile.columns[0]) for tile in self.tiles), np.float32)
        for tile in self.tiles:
            found = kernels.reaching(sizes, lists[0], lists[3], tile.reach, tile.top_bias, 1e-12, rows)
            if not found:
                continue
            active = rows[:found]
            left = scaled if found == len(own) else scaled[active]
            right = tile.columns[1]
            rough = room[: found * len(right)].reshape(found, len(right))
            np.matmul(left, right.T, out=rough)
            limits = (tile.reach, tile.most_bias, self.error)
            kernels.scan_tile(rough, active, tile.columns, about, limits, left_out, lists, self.artist_cap)

    def _tiles(self, size: int) -> Iterator[_Tile]:
        c = self.catalogue
        for start in range(0, len(c), size):
            part = slice(start, start + size)
            columns = (
                c.item_idx[part],
                c.vectors[part],
                c.scale[part],
                c.scale[part].astype(np.float32),
                c.bias[part],
                c.artist_idx[part],
            )
            bias = c.bias[part].astype(np.float64)
            yield _Tile(columns, float(c.norms[part].max()), float(bias.max()), float(np.abs(bias).max()))


@dataclass(frozen=True)
class _Tile:
    """Items of one product: `columns` as `scan_tile` takes them, their largest scaled norm, bias and |bias|."""

    columns: Columns
    reach: float
    top_bias: float
    most_bias: float
