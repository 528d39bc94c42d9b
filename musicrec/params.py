"""The base of every settings class; a component's settings stand in its own file, `musicrec.config` joins them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Typed, validated, immutable settings; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
