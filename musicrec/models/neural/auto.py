"""Settings that may be left to the data: a whole number, or `auto`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import PlainValidator

Auto = Literal["auto"]
AUTO: Final = "auto"


def _whole_from(least: int) -> Callable[[Any], int | Auto]:
    def check(value: Any) -> int | Auto:
        if value == AUTO:
            return AUTO
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f'must be "{AUTO}" or a whole number from {least} on')
        return value

    return check


# A union would name its branches in the place of an error, beside the key.
FromZeroOrAuto = Annotated[int | Auto, PlainValidator(_whole_from(0))]
FromOneOrAuto = Annotated[int | Auto, PlainValidator(_whole_from(1))]
