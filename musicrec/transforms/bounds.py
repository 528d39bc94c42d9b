"""How long a text may be that comes from outside, and what is kept of one that is longer."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

# In characters, far above what titles and ids have: an id is a UUID, a number or a name that someone gave.
LONGEST_NAME = 2_000
LONGEST_ID = 500
# Ids in a list.
LONGEST_LIST = 500
# Of a row that is refused so much is kept.
LONGEST_ROW = 10_000
# Of a field of a refused CSV row so much is kept.
LONGEST_FIELD = 1_000
# A row of a CSV file as it stands; what is longer is never held as a whole.
LONGEST_CSV_ROW = 1_000_000


def is_longer(text: Column, longest: int) -> Column:
    """Whether a text has more than `longest` characters; never null."""
    # Bytes are known; characters must be counted.
    return F.coalesce((F.octet_length(text) > longest) & (F.length(text) > longest), F.lit(False))


def are_longer(ids: Column) -> Column:
    """Whether a list of ids, or one of them, is longer than it may be; never null."""
    return F.coalesce((F.size(ids) > LONGEST_LIST) | F.exists(ids, lambda x: is_longer(x, LONGEST_ID)), F.lit(False))


def kept_text(row: Column) -> Column:
    """A refused row as the quarantine keeps it: as UTF-8, cut after `LONGEST_ROW` characters, then with its length."""
    text = F.make_valid_utf8(row)
    mark = F.concat(F.lit(" … (cut: it has "), F.length(text), F.lit(" characters)"))
    return F.when(is_longer(text, LONGEST_ROW), F.concat(F.left(text, F.lit(LONGEST_ROW)), mark)).otherwise(text)
