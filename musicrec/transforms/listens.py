"""Listens as received: which rows can be right, and one row a listen."""

from __future__ import annotations

from datetime import date

from musicrec.params import Params


class ListenRules(Params):
    """What a listen must be to be kept.

    Attributes
    ----------
    earliest : listens before this day cannot be right (Audioscrobbler, the first such service, began in 2002-10).
    future_tolerance_hours : how far past its dump's END_TIMESTAMP a listen may lie. Published dumps hold listens of
        the END day itself, and clients' clocks and time zones are off by hours.
    """

    earliest: date = date(2002, 10, 1)
    future_tolerance_hours: float = 24.0
