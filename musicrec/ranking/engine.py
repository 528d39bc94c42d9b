"""Exact lists of a block of listeners from a catalogue: products tile by tile, each only where it can change a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.models.blocks import Ragged
from musicrec.ranking.catalogue import Catalogue, Metric, lengths, scales

Array = NDArray[Any]
Columns = tuple[Array, ...]

# Candidates of a listener beyond twice the list's length.
_SPARE = 32
# What a float32 product can lose where it is too small for a normal number.
_LOST = 2.0**-125


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
    can still enter a list; those are scored in float64, to 30 significant bits, and compared by score, then item_idx.
    Tiles come in the order of what they can score at most, and take part only for the listeners for whom that is
    enough; so the usual list is found in a part of the catalogue (Teflioudi, Gemulla and Mykytiuk, "LEMP: Fast
    Retrieval of Large Entries in a Matrix Product", 2015, for the bound by length).

    The error of a rough score: |fl(x·y) − x·y| ≤ d u / (1 − d u) |x||y|, u = 2⁻²⁴ (Higham, Accuracy and Stability of
    Numerical Algorithms, 3.1). Scaling x, scaling the product, adding the bias and casting the floor to float32 round
    once each, and the exact score's own rounding is less than one of these: 2 (d + 6) u is more than all of them. What
    lies below float32's smallest normal number, 2⁻¹²⁶, may be lost in each of d products, before the item's scale.

    Parameters
    ----------
    catalogue : the items.
    metric : as the catalogue's.
    n : length of the lists.
    artist_cap : entries of one artist at most; 0 for any number.
    tile : items per product.
    """

    def __init__(self, catalogue: Catalogue, metric: Metric, n: int, artist_cap: int = 0, tile: int = 1024) -> None:
        self.metric, self.artist_cap, self.size = metric, artist_cap, len(catalogue)
        self.n = max(1, min(n, self.size))
        c = catalogue
        self.columns = (c.item_idx, c.vectors, c.scale, c.scale.astype(np.float32), c.bias, c.artist_idx)
        self.rows_of = catalogue.rows_of
        self.tiles = [_tile(catalogue, start, min(start + tile, self.size)) for start in range(0, self.size, tile)]
        self.reach = float(c.norms.max(initial=0.0))
        self.most_bias = float(np.abs(c.bias).max(initial=0.0))
        self.most_scale = float(c.scale.max(initial=0.0))

    def best(self, block: Block) -> tuple[Ragged, Ragged]:
        """Each listener's items (int32) and scores (float64), best first."""
        # Imported here: in a worker, and only once something is ranked.
        from musicrec.ranking import topn_kernels as kernels

        if not self.size:
            none = no_lists(len(block.vectors))
            return none, Ragged(none.values.astype(np.float64), none.starts)
        own = np.ascontiguousarray(block.vectors)
        norms = lengths(own)
        scale = scales(norms, self.metric)
        about = (own, scale, norms * scale)
        out, artists = block.left_out, block.artists_out
        left_out = (out.values, out.starts, artists.values, artists.starts, kernels.mark(out.values, out.starts))
        if block.given is not None:
            given = (block.given.values, self.rows_of(block.given.values), block.given.starts)
            rows, starts = kernels.take_given(given, self.columns, left_out)
            counts = np.diff(starts)
        else:
            rows, starts, counts = self._candidates(about, left_out)
        made = kernels.make_lists(rows, starts, counts, self.columns, about, self.n, self.artist_cap)
        return Ragged(made[0], made[2]), Ragged(made[1], made[2])

    def _candidates(self, about: Columns, left_out: Columns) -> Columns:
        """What can be in the lists: rows of the catalogue, where each listener's begin, and how many they are."""
        from musicrec.ranking import topn_kernels as kernels

        own, scale, sizes = about
        listeners, room = len(own), 2 * self.n + _SPARE
        scaled = own if self.metric == "dot" else (own * scale[:, None]).astype(np.float32)
        width = own.shape[1] + 6
        margins = width * (2.0**-23 * (sizes * self.reach + self.most_bias) + _LOST * (1.0 + self.most_scale))
        places, counts = np.empty((listeners, room), np.int32), np.zeros(listeners, np.int64)
        floors = np.full(listeners, -np.inf)
        pool = (np.empty((listeners, room), np.float32), places, counts, floors, np.empty(room, np.float32))
        active = np.empty(listeners, np.int32)
        space = np.empty(listeners * max(tile.stop - tile.start for tile in self.tiles), np.float32)
        for tile in self.tiles:
            found = kernels.reaching(sizes, floors, tile.reach, tile.top_bias, active)
            if not found:
                continue
            rows = active[:found]
            left = scaled if found == listeners else scaled[rows]
            products = space[: found * (tile.stop - tile.start)].reshape(found, -1)
            # A product beyond float32 is ∞ or NaN; the scan then scores the pair exactly.
            with np.errstate(over="ignore", invalid="ignore"):
                np.matmul(left, self.columns[1][tile.start : tile.stop].T, out=products)
            kernels.scan_tile(
                products, rows, tile.start, self.columns, about, margins, left_out, pool, self.n, self.artist_cap
            )
        return places.reshape(-1), np.arange(listeners, dtype=np.int64) * room, counts


@dataclass(frozen=True)
class _Tile:
    """Rows start .. stop − 1 of the catalogue; their largest scaled norm and bias."""

    start: int
    stop: int
    reach: float
    top_bias: float


def _tile(catalogue: Catalogue, start: int, stop: int) -> _Tile:
    return _Tile(start, stop, float(catalogue.norms[start:stop].max()), float(catalogue.bias[start:stop].max()))
