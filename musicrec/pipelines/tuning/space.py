"""What a study may change: each key of the configuration with the values that it may take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field, model_validator

from musicrec.params import Params

Values = dict[str, Any]

# Of a range that is searched by a factor: more digits would be noise in a preset that people read.
_DIGITS = 4


class Range(Params):
    """Numbers from `low` to `high`, both included: whole ones where both ends are.

    Attributes
    ----------
    log : searched by a factor rather than by a difference.
    step : between the numbers; not with `log`.
    points : how many a grid takes, evenly apart (by a factor with `log`).
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = Field(default=None, gt=0)
    points: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.high <= self.low:
            raise ValueError("low must be below high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("with log, low must be above 0 and there can be no step")
        if self.is_whole and self.step is not None and self.step != int(self.step):
            raise ValueError("the step of whole numbers must be whole")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are in it."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def distribution(self) -> BaseDistribution:
        """As Optuna draws from it."""
        if self.is_whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(float(self.low), float(self.high), log=self.log, step=self.step)

    def grid(self) -> list[int | float] | None:
        """A grid's numbers, ascending; None where neither a step nor a number of points says which."""
        if self.points:
            spaced = np.geomspace if self.log else np.linspace
            found = spaced(self.low, self.high, self.points)
            return sorted({self._readable(float(value)) for value in found})
        if self.step is None and not (self.is_whole and not self.log):
            return None
        step = self.step or 1
        count = int(np.floor((self.high - self.low) / step + 1e-9)) + 1
        return [self._readable(self.low + step * place) for place in range(count)]

    def holds(self, value: Any) -> bool:
        """Whether a value could be drawn from it."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.step is not None and abs((value - self.low) / self.step - round((value - self.low) / self.step)) > 1e-9:
            return False
        return not self.is_whole or value == int(value)

    def _readable(self, value: float) -> int | float:
        if self.is_whole:
            return round(value)
        return min(max(float(rounded(value)), float(self.low)), float(self.high))


def rounded(value: Any) -> Any:
    """A fraction with so many digits as a preset shows; anything else as it is."""
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


@dataclass(frozen=True)
class Space:
    """The keys that a study changes, with a range or the values to choose from of each, by key."""

    dimensions: Mapping[str, Range | tuple[Any, ...]]

    def distributions(self) -> dict[str, BaseDistribution]:
        """As Optuna draws from them; by key, ascending, so that the same draws fall to the same keys."""
        return {
            key: own.distribution() if isinstance(own, Range) else CategoricalDistribution([_told(v) for v in own])
            for key, own in sorted(self.dimensions.items())
        }

    def grid(self) -> dict[str, Sequence[Any]]:
        """Each key's values in a grid, as Optuna is told them.

        Raises
        ------
        ValueError : a range says neither `step` nor `points`; the message is its key.
        """
        found: dict[str, Sequence[Any]] = {}
        for key, own in sorted(self.dimensions.items()):
            values = own.grid() if isinstance(own, Range) else [_told(value) for value in own]
            if values is None:
                raise ValueError(key)
            found[key] = values
        return found

    def values(self, told: Mapping[str, Any]) -> Values:
        """What Optuna proposes as values of the configuration."""
        found = {}
        for key, own in sorted(self.dimensions.items()):
            value = told[key]
            found[key] = rounded(value) if isinstance(own, Range) else {_told(v): v for v in own}[value]
        return found

    def told(self, values: Mapping[str, Any]) -> Values | None:
        """The other way; None where a value lies outside."""
        found = {}
        for key, own in sorted(self.dimensions.items()):
            value = values[key]
            if isinstance(own, Range):
                if not own.holds(value):
                    return None
                found[key] = value
            elif _told(value) in [_told(choice) for choice in own]:
                found[key] = _told(value)
            else:
                return None
        return found

    def facts(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            key: own.model_dump(mode="json") if isinstance(own, Range) else list(own)
            for key, own in sorted(self.dimensions.items())
        }


def _told(value: Any) -> Any:
    """A choice as Optuna keeps it: lists and tables as JSON."""
    plain = list(value) if isinstance(value, tuple) else value
    return plain if isinstance(plain, bool | int | float | str) else json.dumps(plain, sort_keys=True)
