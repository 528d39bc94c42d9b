"""Numbers out of text that anybody may have written."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

# Java also reads "120f", "1d", "0x1p3", "NaN" and "Infinity". Possessive: a million digits are read once.
_DECIMAL = r"^\s*+[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d{1,4})?\s*$"


def decimal(text: Column) -> Column:
    """A text as a number (double), null where it is not a decimal one."""
    return F.when(text.rlike(_DECIMAL), text.try_cast("double"))
