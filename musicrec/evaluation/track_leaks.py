"""The detector of leaks between the tracks that a model learns from and those that it is judged on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

import pandas as pd

from musicrec.errors import LeakError


@dataclass(frozen=True)
class TrackLeaks:
    """Rows of the test side that the training side gives away.

    Attributes
    ----------
    tracks : test rows whose track_id is on the training side too.
    songs : test rows with the same artist and title as a training row, those among `tracks` included.
    artists : test rows one of whose artists has a training row.
    years : test rows that are not newer than the newest training row.
    rows : of the test side.
    """

    tracks: int
    songs: int
    artists: int
    years: int
    rows: int

    def check(self, forbidden: Collection[str]) -> None:
        """Refuse a split that claims to be free of some of them.

        Parameters
        ----------
        forbidden : some of `tracks`, `songs`, `artists`, `years`.

        Raises
        ------
        LeakError : one of these crosses.
        """
        found = {kind: count for kind, count in asdict(self).items() if kind in forbidden and count}
        if found:
            said = ", ".join(f"{count:,} by their {kind}" for kind, count in found.items())
            raise LeakError(f"leak: of {self.rows:,} test tracks the training side knows {said}")

    def warning(self) -> str:
        """What crosses, in words; empty where no track and no song does."""
        if not self.songs and not self.tracks:
            return ""
        return (
            f"{self.tracks:,} of {self.rows:,} test rows are training tracks, {self.songs:,} training songs, "
            f"{self.artists:,} of training artists: the figures flatter"
        )


def find_leaks(train: pd.DataFrame, test: pd.DataFrame) -> TrackLeaks:
    """Count what crosses a split.

    Parameters
    ----------
    train, test : DataFrames (track_id, artist_key, title_key, artist_keys lists, year).
    """
    songs = pd.MultiIndex.from_frame(train[["artist_key", "title_key"]])
    of_test = pd.MultiIndex.from_frame(test[["artist_key", "title_key"]])
    is_track = test["track_id"].isin(set(train["track_id"]))
    is_song = pd.Series(of_test.isin(songs), index=test.index)
    known = {key for keys in train["artist_keys"] for key in keys}
    artists = sum(not known.isdisjoint(keys) for keys in test["artist_keys"])
    years = int((test["year"] <= train["year"].max()).sum()) if len(train) else 0
    return TrackLeaks(int(is_track.sum()), int((is_track | is_song).sum()), artists, years, len(test))
