"""What a field of a catalogue says, from its text; no text makes these fail."""

from __future__ import annotations

import ast
import re

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import ArrayType, StringType

from musicrec.transforms.bounds import LONGEST_LIST
from musicrec.transforms.folding import BLANKS
from musicrec.transforms.numbers import decimal
from musicrec.transforms.text import trimmed

# Before the names of the columns that hold lists.
LIST_OF = "_list_of_"

_DATE = r"^\d{4}(?:-\d\d(?:-\d\d)?)?(?:\.0+$|[T ]|$)"
_NO_DATE = r"^0+(?:\.0+)?(?:-0+){0,2}$"
_FIRST_YEAR, _LAST_YEAR = 1860, 2100  # before the first there was no recorded sound

_STRING = re.compile(r"""[uU]?(?:'((?:[^'\\]++|\\.)*+)'|"((?:[^"\\]++|\\.)*+)")""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BARE = re.compile(r"None|-?\d+(?:\.\d+)?")
_BETWEEN = re.compile(r"\s*+,?\s*+")


def column(name: str) -> Column:
    """A column by its name, whatever letters that holds."""
    return F.col("`{}`".format(name.replace("`", "``")))


def text(name: str) -> Column:
    """A field's text without the blanks around it; null where nothing of it can be seen."""
    return trimmed(column(name))


def number(name: str) -> Column:
    """A field as a number, null where it is not a decimal one; "6.0" and "6" are the same."""
    return decimal(text(name))


def is_no_number(name: str) -> Column:
    """Whether a field holds something else than a number; not where it is empty."""
    return text(name).isNotNull() & number(name).isNull()


def year(name: str) -> Column:
    """The year of a date or number, null where there is none."""
    value = F.when(text(name).rlike(_DATE), F.left(text(name), F.lit(4)).try_cast("int"))
    return F.when(value.between(_FIRST_YEAR, _LAST_YEAR), value)


def date(name: str) -> Column:
    """A date as `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, as exactly as it is known; a time of day is left out.

    Parts that are zero are not known.
    """
    day = F.regexp_extract(text(name), r"^\d{4}(?:-\d\d(?:-\d\d)?)?", 0)
    return F.when(year(name).isNotNull(), F.regexp_replace(day, "-00.*$", ""))


def is_no_date(name: str) -> Column:
    """Whether a field holds something else than a date of recorded sound; not where it is empty or all zero."""
    value, known = text(name), date(name)
    whole = F.concat(known, F.when(F.length(known) == 4, "-01-01").when(F.length(known) == 7, "-01").otherwise(""))
    return value.isNotNull() & ~value.rlike(_NO_DATE) & whole.try_cast("date").isNull()


def flag(name: str) -> Column:
    """A field as a boolean, null where it is none: `True`, `1`, `1.0`, `yes` and their opposites."""
    value = F.regexp_replace(F.lower(text(name)), r"\.0+$", "")
    return (
        F.when(value.isin("1", "true", "t", "yes", "y"), F.lit(True))
        .when(value.isin("0", "false", "f", "no", "n"), F.lit(False))
    )  # fmt: skip


def listed(value: Column, separator: str) -> Column:
    """The parts of a text, trimmed, without empty ones."""
    # A lambda, because F.transform would hand F.trim the place in the list as the letters to trim.
    parts = F.transform(F.split(value, separator), lambda part: F.trim(part))
    return F.filter(parts, lambda part: part != "")


def lower(values: Column) -> Column:
    """A list in lower case."""
    return F.transform(values, F.lower)


def alone(value: Column) -> Column:
    """A list of one, null where there is nothing."""
    return F.when(value.isNotNull(), F.array(value))


def with_lists(raw: DataFrame, *names: str) -> DataFrame:
    """Add what `python_list` gives of these columns, so that each is read once."""
    read = pandas_udf(_parse_lists, ArrayType(StringType()))  # type: ignore[call-overload]
    return raw.withColumns({f"{LIST_OF}{name}": read(column(name)) for name in names}) if names else raw


def python_list(name: str) -> Column:
    """`parse_list` of a column of `with_lists`: the strings of a Python list as text; null where it is not one."""
    return F.col(f"{LIST_OF}{name}")


def _parse_lists(texts: pd.Series) -> pd.Series:
    return texts.map(parse_list)


def parse_list(value: str | None) -> list[str] | None:
    """The strings of a Python list as text (`['Uli', "Sinead O'Connor"]`), trimmed, without empty ones and None.

    Commas may be missing, as numpy writes a list. A number stands for its text: there are artists named 311. Anything
    else in it (lists, sets, dicts, half of a surrogate pair) makes it None. More than `LONGEST_LIST` are not looked at:
    what is longer comes out one longer.
    """
    inside = (value or "").strip()
    if not (inside.startswith("[") and inside.endswith("]") and len(inside) > 1):
        return None
    found: list[str] = []
    at, end = _start(inside), len(inside) - 1
    while at < end and len(found) <= LONGEST_LIST:
        item = _STRING.match(inside, at, end) or _BARE.match(inside, at, end)
        if item is None:
            return None
        one = _said(item)
        if one is None:
            return None
        if one:
            found.append(one)
        at = _BETWEEN.match(inside, item.end(), end).end()  # type: ignore[union-attr]
        if at == item.end() < end:
            return None
    return found


def _start(inside: str) -> int:
    return len(inside) - len(inside[1:].lstrip())


def _said(item: re.Match[str]) -> str | None:
    """What an item of a list says, "" where that is nothing; None where it is no text."""
    token = item.group()
    if item.re is _BARE:
        return "" if token == "None" else token
    said = item.group(1) if item.group(1) is not None else item.group(2)
    if "\\" in said:
        # JSON may escape a stroke, Python never does.
        token = _ESCAPED.sub(lambda pair: "/" if pair[1] == "/" else pair[0], token)
        try:
            said = ast.literal_eval(token.lstrip("uU"))
            # Two halves of a pair, each written as an escape, are one letter.
            said = said.encode("utf-16", "surrogatepass").decode("utf-16")
        except (ValueError, SyntaxError, MemoryError):
            return None
    return said.strip(BLANKS)
