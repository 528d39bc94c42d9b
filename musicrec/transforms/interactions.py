"""From listens to one weighted row per listener and item."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from musicrec.params import Params

ItemKind = Literal["recording", "artist"]


class InteractionParams(Params):
    """How plays become a confidence.

    Attributes
    ----------
    kinds : which items to build interactions for.
    confidence : `binary` 1, `log` ln(1 + decayed plays), `count` decayed plays.
    half_life_days : a play this old counts half; 0 for no decay.
    """

    kinds: tuple[ItemKind, ...] = ("recording", "artist")
    confidence: Literal["binary", "log", "count"] = "log"
    half_life_days: float = Field(default=0.0, ge=0)
