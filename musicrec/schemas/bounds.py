"""How long what comes from outside may be: texts, lists, rows. A longer one is put into quarantine as `too_long`."""

from __future__ import annotations

# A name, id, date or address, in characters. The longest title that is known of a published song has under 1,000.
LONGEST_TEXT = 2_000

# The artists, genres or tags of one track.
MOST_VALUES = 1_000

# A row of a text file as it stands, in characters; what is longer is never held as a whole.
LONGEST_ROW = 1_000_000

# How much of a refused row's text, or of one of its fields, the quarantine keeps.
SHOWN_TEXT = 1_000
