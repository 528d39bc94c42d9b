"""The forms under which an artist and a title may stand in another catalogue, each without spaces, with its kind.

Artist kinds: `exact`; `form` (brackets, a closing "Band", the order of a joint credit); `primary`, the first of a joint
credit; `part`, another of them. Title kinds: `exact`; `number`, without the "No." of a number; `subtitle`, what is
outside or inside the brackets; `medley`, one of several titles; `order`, all of them whatever their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pandas as pd

from musicrec.transforms.folding import fold
from musicrec.transforms.marks import brackets, without_marks
from musicrec.transforms.text import artist_key, title_key

FORM_SCHEMA = "id string, artist string, artist_kind string, title string, title_kind string, guard string"

# Words that make another recording of a title: two titles with different ones are never linked.
_APART = frozenset(
    {
        *("live", "unplugged", "concert", "vivo", "directe", "directo", "concierto", "session", "sessions", "bootleg"),
        *("acoustic", "instrumental", "karaoke", "orchestral", "symphonic", "sung", "cover", "tribute", "cast"),
        *("remix", "mix", "mixed", "rmx", "dub", "vip", "mashup", "rework", "club", "edit", "extended", "version"),
        *("demo", "take", "outtake", "alternate", "alternative", "rehearsal", "rerecorded", "recorded", "recording"),
        *("part", "volume", "vol", "act", "movement", "suite", "chapter", "medley", "reprise", "interlude", "intro"),
        *("outro", "prelude", "finale", "skit", "commentary", "interview", "unreleased"),
        *("sharp", "flat", "natural", "major", "minor"),
    }
)
_JOINT = re.compile(r"\s*(?:&|\+|×|,|;|/|\band\b|\bwith\b|\bw/|\bfeat\b\.?|\bfeaturing\b|\bft\.|\bvs\b\.?|\bx\b)\s*")
_ENSEMBLE = re.compile(r"(?<=\S) (?:band|group|orchestra|trio|quartet|quintet|ensemble|experience|project)$")
_NUMBER_SIGN = re.compile(r"\bno (?=\d)")
_MEDLEY = re.compile(r"\s*/\s*|\s+-\s+")
_SHORTEST = 3  # letters; a shorter part of a credit ("Y&T") or title tells nothing


def compact(key: str) -> str:
    """A key without spaces: "ac dc" and "acdc" are one."""
    return key.replace(" ", "")


def guard(key: str) -> str:
    """The digits, symbols and words of another recording in a title's key; equal for titles that may be linked."""
    found = key.split()
    digits = [word for word in found if any(c.isdigit() for c in word) or not any(c.isalnum() for c in word)]
    return " ".join(digits + sorted(word for word in found if word in _APART))


def artist_forms(name: str) -> dict[str, str]:
    """Each form of an artist's name and its kind; the closest kind where a form has several."""
    key = artist_key(name)
    forms = {compact(key): "exact"}
    folded = fold(name)
    outside = artist_key(brackets(folded)[0]) or key
    pieces = [piece for piece in _JOINT.split(folded) if piece.strip()]
    parts = [part for part in map(artist_key, pieces) if part] if len(pieces) > 1 else [key]
    together = "".join(sorted(compact(part) for part in parts))
    kinds = [(outside, "form"), (_ENSEMBLE.sub("", key), "form"), (f"+{together}", "form")]
    if len(parts) > 1:
        kinds += [(parts[0], "primary"), (_ENSEMBLE.sub("", parts[0]), "primary")]
        kinds += [(part, "part") for part in parts[1:]]
    for form, kind in kinds:
        if len(compact(form)) >= _SHORTEST:
            forms.setdefault(compact(form), kind)
    return forms


def credit_forms(artists: Iterable[str]) -> dict[str, str]:
    """The forms of a track's artists: of the whole credit, its first artist and the others."""
    names = [name for name in artists if name]
    if not names:
        return {}
    forms = artist_forms(names[0]) if len(names) == 1 else artist_forms(" & ".join(names))
    if len(names) > 1:
        first = compact(artist_key(names[0]))
        forms[first] = "exact"
        for form, kind in artist_forms(names[0]).items():
            forms.setdefault(form, kind)
        for name in names[1:]:
            forms.setdefault(compact(artist_key(name)), "part")
    return forms


def title_forms(title: str) -> dict[str, str]:
    """Each form of a title and its kind; one with a mark of another recording has no form without it."""
    key = title_key(title)
    forms = {compact(key): "exact"}
    _add(forms, _NUMBER_SIGN.sub("", key), "number")
    plain = without_marks(fold(title))
    outside, insides = brackets(plain)
    if insides and not any(guard(title_key(inside)) for inside in insides):
        for form in (outside, *insides):
            _add(forms, title_key(form), "subtitle")
    parts = [] if guard(key) else [part for part in map(title_key, _MEDLEY.split(plain)) if part]
    if len(parts) > 1:
        for part in parts:
            _add(forms, part, "medley")
        forms.setdefault("+" + "".join(sorted(map(compact, parts))), "order")
    return forms


def recording_forms(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """`FORM_SCHEMA` rows of batches with recording_id, artist_name and title."""
    for batch in batches:
        rows = zip(batch["recording_id"], batch["artist_name"], batch["title"], strict=True)
        yield _frame((row, artist_forms(artist), title) for row, artist, title in rows)


def track_forms(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """`FORM_SCHEMA` rows of batches with track_id, artists and name; a track is one title, not the parts of it."""
    of_credit: dict[tuple[str, ...], dict[str, str]] = {}
    for batch in batches:
        rows = zip(batch["track_id"], batch["artists"], batch["name"], strict=True)
        credited = [(row, tuple(artists), name) for row, artists, name in rows]
        of_credit |= {artists: credit_forms(artists) for _, artists, _ in credited if artists not in of_credit}
        frame = _frame((row, of_credit[artists], name) for row, artists, name in credited)
        yield frame[frame["title_kind"] != "medley"]


def _add(forms: dict[str, str], key: str, kind: str) -> None:
    if len(compact(key)) >= _SHORTEST:
        forms.setdefault(compact(key), kind)


def _frame(rows: Iterable[tuple[str, dict[str, str], str]]) -> pd.DataFrame:
    made = []
    for row, artists, title in rows:
        titles, guarded = title_forms(title), guard(title_key(title))
        made += [
            (row, artist, artist_kind, form, title_kind, guarded)
            for artist, artist_kind in artists.items()
            for form, title_kind in titles.items()
        ]
    return pd.DataFrame(made, columns=["id", "artist", "artist_kind", "title", "title_kind", "guard"], dtype=object)
