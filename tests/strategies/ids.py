"""Ids as clients write them: MBIDs in all their forms, and what stands where there is none."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

NIL, MAX = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
# Of no MBID; the texts that are no id of any kind are the first ones.
NO_IDS = [
    "", " ", "None", "none", "NULL", "null", "undefined", "N/A", "n/a", "nan", "NaN", "<NA>", "nil", "NaT", "0", "-1",
    "0.0", "true", "False", "unknown", "-", "--", "[]", "{}", '""', '["None"]', "[null]", "\\N", "()", "?", NIL,
    NIL.replace("-", ""), f"{{{NIL}}}", MAX.upper(), "(null)", "<none>", "FALSE", "n.a.", "not available", "''", "#N/A",
    "[null, null]", "None, None", '["None", ["null"]]', "N/A/N/A", "0, 0", "null," * 90,
]  # fmt: skip
NO_MBIDS = [
    *NO_IDS,
    "1",
    "12345",
    "queen",
    "x" * 36,
    "a" * 64,
    "e3c5e1f5-9a4c-4d5d-9f9c",
    "12345678-1234-1234-1234-12345",
]


def mbids() -> st.SearchStrategy[str]:
    """MBIDs in the form of MusicBrainz."""
    return st.uuids(version=4).map(str)


def _in_json(one: str) -> str:
    return json.dumps(json.dumps([one]))


FORMS = [
    str, str.upper, lambda one: f" {one}\n", lambda one: f"{{{one}}}", lambda one: f'["{one}"]',
    lambda one: f"['{one}']",
    lambda one: f'[["{one}"]]', _in_json, lambda one: f"urn:uuid:{one}", lambda one: uuid.UUID(one).hex,
    lambda one: f"\ufeff{one}\u200b", lambda one: one.replace("-", "\u2011"), lambda one: one.replace("-", " "),
    lambda one: one.replace("-", " \u2013 "), lambda one: one.replace("-", "_"), lambda one: one.replace("-", "%2D"),
    lambda one: "".join(chr(ord(letter) + 0xFEE0) for letter in one), lambda one: f"%257B{one}%257D",
]  # fmt: skip


def addresses(one: str, entity: str) -> list[str]:
    """The addresses of an MBID at MusicBrainz."""
    page = f"musicbrainz.org/{entity}/{one}"
    return [
        f"https://{page}", f"http://{page}/", f"https://beta.{page}?tport=8000#x", f"https://{page}/tags".upper(), page,
        f"https://musicbrainz.org/ws/2/{entity}/{one}?fmt=json", quote(f"https://{page}", safe=""),
        quote(quote(f"https://{page}", safe=""), safe=""),
        f'["https://{page}"]'.replace("/", "\\/"),
    ]  # fmt: skip


@st.composite
def written(draw: Any, entity: str = "recording") -> tuple[str, str]:
    """An MBID and a text that holds it."""
    one = draw(mbids())
    forms = [*(form(one) for form in FORMS), *addresses(one, entity)]
    return one, draw(st.sampled_from(forms))


def texts() -> st.SearchStrategy[str]:
    """Any text, with and without ids in it."""
    parts = st.one_of(st.text(max_size=5), mbids(), st.sampled_from(NO_MBIDS), st.sampled_from(list('[]{}",/-%:')))
    return st.lists(parts, max_size=5).map("".join)
