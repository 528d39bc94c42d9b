"""gold.playlists: each listener's playlists of the week."""

from __future__ import annotations

from typing import Literal

from musicrec.ranking.listener_playlists import ListenerPlaylistParams

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class PlaylistsParams(ListenerPlaylistParams):
    """How the playlists of the week are made.

    Attributes
    ----------
    weekday : when all are made anew; on other days only those that a listener lacks.
    """

    weekday: Weekday = "monday"
