"""What no list may hold, beside what was heard."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError


@dataclass(frozen=True)
class Filters:
    """Blocks and caps; each is left out where it is None or 0.

    Attributes
    ----------
    blocked : DataFrame (user_idx int, items array<int>, and where wanted artists array<int>): what a listener must not
        be offered; several rows of one listener add up.
    blocked_items : DataFrame (item_idx int), for no one.
    blocked_artists : DataFrame (artist_idx int), for no one.
    artists : DataFrame (item_idx int, artist_idx int ≥ 0), at most one row per item; an item without one has no artist
        and is neither blocked by artist nor capped.
    artist_cap : entries of one artist in a list at most; 0 for any number.
    """

    blocked: DataFrame | None = None
    blocked_items: DataFrame | None = None
    blocked_artists: DataFrame | None = None
    artists: DataFrame | None = None
    artist_cap: int = 0

    def __post_init__(self) -> None:
        if self.artist_cap < 0:
            raise InputError("artist_cap", "0 or more", str(self.artist_cap))
        by_artist = self.artist_cap or self.blocked_artists is not None or self._blocks_artists
        if by_artist and self.artists is None:
            raise InputError("artists", "each item's artist, where artists are blocked or capped", "none")

    @property
    def _blocks_artists(self) -> bool:
        return self.blocked is not None and "artists" in self.blocked.columns

    def offered(self, item_vectors: DataFrame, allowed_items: DataFrame | None = None) -> DataFrame:
        """The item vectors that some listener may be offered, with artist_idx (null where there is none)."""
        found = item_vectors
        if allowed_items is not None:
            found = found.join(allowed_items.select("item_idx"), "item_idx", "left_semi")
        if self.blocked_items is not None:
            found = found.join(self.blocked_items.select("item_idx"), "item_idx", "left_anti")
        if self.artists is None:
            return found.withColumn("artist_idx", F.lit(None).cast("int"))
        found = found.join(self.artists.select("item_idx", "artist_idx"), "item_idx", "left")
        if self.blocked_artists is not None:
            found = found.join(self.blocked_artists.select("artist_idx"), "artist_idx", "left_anti")
        return found

    def lists(self) -> dict[str, DataFrame]:
        """Each listener's own blocks by name (`items`, `artists`): DataFrame (user_idx int, array<int>)."""
        if self.blocked is None:
            return {}
        names = [name for name in ("items", "artists") if name in self.blocked.columns]
        return {name: self.blocked.select("user_idx", F.col(name).cast("array<int>").alias(name)) for name in names}
