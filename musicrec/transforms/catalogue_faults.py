"""Why a row of a catalogue cannot be right, what was expected where, and the row's own text for the quarantine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.transforms.bounds import LONGEST_FIELD, LONGEST_ID, LONGEST_LIST, LONGEST_NAME, is_longer
from musicrec.transforms.catalogue_text import LIST_OF, column, flag, is_no_date, is_no_number, number, text

# The columns that the CSV reader adds; the rest is the file's own text.
FILE, SOURCE_ID, LINE, LINES = "_file", "_source_id", "_line", "_lines"
_FAULT, _WHY, _CORRUPT = "_fault", "_why", "_corrupt_record"
_REASON = "_reason"
_ADDED = (FILE, SOURCE_ID, LINE, LINES, _FAULT, _WHY, _CORRUPT, _REASON)

_RANGES: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(
        ("danceability", "energy", "speechiness", "acousticness", "instrumentalness", "liveness", "valence"), (0, 1)
    ),
    "key": (-1, 11),  # -1: no key found
    "loudness": (-60, 6),  # dB
    "mode": (0, 1),
    "tempo": (0, 300),  # beats a minute
    "popularity": (0, 100),
    "time_signature": (0, 16),
    "target": (0, 1),
}
_WHOLE = frozenset({"key", "mode", "time_signature", "target"})
_MOST = 2**53  # whole numbers beyond it are not exact as doubles


@dataclass(frozen=True)
class Fault:
    """What may be wrong with a row: when, what it is called, and what to say of it."""

    reason: str
    holds: Column
    expected: str
    found: Column | None = None


def judged(raw: DataFrame, faults: Sequence[Fault]) -> DataFrame:
    """The reader's rows with the first thing that is wrong with each as `_reason`, null where nothing is."""
    first = F.coalesce(F.col(_FAULT), *[F.when(fault.holds, F.lit(fault.reason)) for fault in faults])
    return raw.withColumn(_REASON, first)


def provenance(rows: DataFrame, faults: Sequence[Fault]) -> tuple[Column, ...]:
    """Of judged rows: where each is from (`source_id`, `file`, `lines`), `reason`, and for a wrong one `row`.

    `row` is JSON: `_line`, where it starts in the file; `_why`, what was expected and what found; and its own fields in
    the file's order without empty ones, or the text that could not be read.
    """
    because = [F.when((F.col(_REASON) == fault.reason) & fault.holds, _said(fault)) for fault in faults]
    why = F.coalesce(F.col(_WHY), *because)
    own = [
        _kept(column(name)).alias(name) for name in rows.columns if name not in _ADDED and not name.startswith(LIST_OF)
    ]
    row = F.to_json(F.struct(F.col(LINE), why.alias(_WHY), F.col(_CORRUPT), *own))
    return (
        F.col(SOURCE_ID).alias("source_id"),
        F.col(FILE).alias("file"),
        F.col(LINES).alias("lines"),
        F.col(_REASON).alias("reason"),
        F.when(F.col(_REASON).isNotNull(), row).alias("row"),
    )


def _said(fault: Fault) -> Column:
    found = F.lit("none") if fault.found is None else F.coalesce(F.left(fault.found, F.lit(100)), F.lit("none"))
    return F.concat(F.lit(f"expected {fault.expected}, found "), found)


def _kept(field: Column) -> Column:
    """A field as the quarantine keeps it, null where it is empty."""
    cut = F.concat(
        F.left(field, F.lit(LONGEST_FIELD)),
        F.lit(" … (cut: it has "),
        F.length(field).cast("string"),
        F.lit(" characters)"),
    )
    return F.when(is_longer(field, LONGEST_FIELD), cut).when(field != "", field)


def missing(value: Column, reason: str, what: str, name: str) -> Fault:
    """A field that a row must have is not there, or is not what it must be."""
    return Fault(reason, value.isNull(), f"{what} in {name}", column(name))


def missing_list(value: Column, reason: str, what: str, name: str) -> Fault:
    """A field that must be a list of at least one is none."""
    return Fault(reason, value.isNull() | (F.size(value) == 0), f"{what} in {name}", column(name))


def too_long(values: Mapping[str, Column], ids: Collection[str] = ()) -> list[Fault]:
    """A fault for each text that is longer than it may be."""
    bounds = {name: LONGEST_ID if name in ids else LONGEST_NAME for name in values}
    return [
        Fault(
            "too_long",
            is_longer(value, bounds[name]),
            f"{name} of at most {bounds[name]} characters",
            F.length(value).cast("string"),
        )
        for name, value in values.items()
    ]


def too_long_lists(values: Mapping[str, Column]) -> list[Fault]:
    """A fault for each list that has too many values, or one that is longer than it may be."""
    return [
        Fault(
            "too_long",
            (F.size(value) > LONGEST_LIST) | F.exists(value, lambda one: is_longer(one, LONGEST_NAME)),
            f"{name} of at most {LONGEST_LIST} values of {LONGEST_NAME} characters",
            F.concat(F.size(value).cast("string"), F.lit(" of up to "), _longest(value).cast("string")),
        )
        for name, value in values.items()
    ]


def _longest(values: Column) -> Column:
    return F.array_max(F.transform(values, F.length))


def out_of_range(name: str, field: str) -> Fault:
    """A number of a track that no track can have; `name` is the file's column, `field` the table's."""
    low, high = _RANGES[field]
    value = number(name)
    wrong = is_no_number(name) | ~value.between(low, high)
    if field in _WHOLE:
        wrong = wrong | (value != F.floor(value))
    kind = "a whole number" if field in _WHOLE else "a number"
    return Fault(f"bad_{field}", wrong, f"{kind} from {low} to {high} in {name}", column(name))


def out_of_ranges(columns: Mapping[str, str]) -> list[Fault]:
    """`out_of_range` of each field that has a range; `columns` says in which column of the file it stands."""
    return [out_of_range(columns[field], field) for field in _RANGES if field in columns]


def no_count(name: str, reason: str, least: int = 0) -> list[Fault]:
    """A field that is filled holds no number of things."""
    value = number(name)
    expected = f"a whole number from {least} to 2^53 in {name}"
    wrong = is_no_number(name) | ~value.between(least, _MOST) | (value != F.floor(value))
    return [Fault(reason, wrong, expected, column(name))]


def no_duration(name: str) -> list[Fault]:
    """A duration that is no number of milliseconds, or less than none."""
    value = number(name)
    expected = f"milliseconds from 0 to 2^53 in {name}"
    return [
        Fault("bad_duration_ms", is_no_number(name) | (value > _MOST), expected, column(name)),
        Fault("negative_duration", value < 0, expected, column(name)),
    ]


def no_flag(name: str, reason: str) -> Fault:
    """A field that is filled says neither yes nor no."""
    return Fault(reason, text(name).isNotNull() & flag(name).isNull(), f"True, False, 1 or 0 in {name}", column(name))


def no_date(name: str, reason: str) -> Fault:
    """A field that is filled holds no date; see `is_no_date`."""
    return Fault(reason, is_no_date(name), f"a date as YYYY, YYYY-MM or YYYY-MM-DD in {name}", column(name))


def no_list(value: Column, name: str, reason: str) -> Fault:
    """A field that is filled holds no list."""
    return Fault(reason, text(name).isNotNull() & value.isNull(), f"a list of texts in {name}", column(name))
