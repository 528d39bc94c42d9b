from __future__ import annotations

import uuid

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from musicrec.transforms.ids import (
    listener_column,
    mbid,
    mbid_column,
    mbids,
    mbids_column,
    mbids_of_list,
    msid_column,
    spotify_column,
)
from tests.strategies import ids

ONE, OTHER = "e3c5e1f5-9a4c-4d5d-9f9c-0b5c8c2f8b11", "0b5c8c2f-9a4c-4d5d-9f9c-e3c5e1f58b11"


@given(ids.written())
def test_an_mbid_is_found_in_each_form_that_it_is_written_in(drawn: tuple[str, str]) -> None:
    one, text = drawn
    assert mbid(text) == one
    assert mbid(text.upper()) == one


@pytest.mark.parametrize("text", ids.NO_MBIDS)
def test_what_is_no_uuid_is_no_mbid(text: str) -> None:
    assert mbid(text) is None


@pytest.mark.parametrize("joined", [
    f"{ONE}/{OTHER}", f"{ONE}, {OTHER}", f"{ONE};{OTHER}", f'["{ONE}", "{OTHER}"]',
    f'[["{ONE}"], ["{OTHER}", "{ONE}"]]',
    f'"[\\"{ONE}\\",\\n\\"{OTHER}\\"]"', f'["{ONE.upper()}", null, "None", "{OTHER}"]', f"{ONE} {ids.NIL} {OTHER}",
    f"https://musicbrainz.org/artist/{ONE};https://musicbrainz.org/artist/{OTHER}",
])  # fmt: skip
def test_of_several_an_artist_has_all_and_a_recording_the_first(joined: str) -> None:
    assert mbids(joined, "artist") == [ONE, OTHER]
    if "artist" not in joined:
        assert mbid(joined) == ONE


@pytest.mark.parametrize("entity", ["artist", "release", "release-group", "work", "track"])
def test_the_address_of_something_else_is_no_recording(entity: str) -> None:
    for text in ids.addresses(ONE, entity):
        assert mbid(text) is None
        assert mbid(f"{text} {OTHER}") == OTHER


@given(st.one_of(st.none(), st.text(), ids.texts()))
def test_whatever_the_text_there_is_a_canonical_uuid_or_none(text: str | None) -> None:
    found = mbid(text)
    assert found is None or (str(uuid.UUID(found)) == found and found not in (ids.NIL, ids.MAX))
    assert mbid(found) == found


@pytest.fixture(scope="module")
def drawn() -> list[str]:
    """Texts of every kind, as hypothesis draws them, the same each time."""
    kept: list[str] = []

    @settings(max_examples=150, derandomize=True, database=None, deadline=None)
    @given(
        st.one_of(ids.texts(), ids.written().map(lambda pair: pair[1]), ids.written("artist").map(lambda pair: pair[1]))
    )
    def keep(text: str) -> None:
        kept.append(text)

    keep()
    return [text for text in [*kept, *ids.NO_MBIDS] if "\x00" not in text]


def test_the_columns_are_the_functions(spark: SparkSession, drawn: list[str]) -> None:
    rows = [(place, text, [text, None, ONE]) for place, text in enumerate(drawn)]
    df = spark.createDataFrame([*rows, (len(rows), None, None)], "place int, t string, ts array<string>").coalesce(1)
    found = df.select(
        "t",
        mbid_column(F.col("t")).alias("recording"),
        mbids_column(F.col("t")).alias("artists"),
        mbids_of_list(F.col("ts")).alias("listed"),
    )
    for row in found.collect():
        assert row.recording == mbid(row.t), row.t
        assert (row.artists or []) == mbids(row.t, "artist"), row.t
        if row.t is not None:
            assert row.listed == list(dict.fromkeys([*mbids(row.t, "artist"), ONE])), row.t


def test_no_id_is_none_of_any_kind_and_names_of_people_are(spark: SparkSession) -> None:
    kept = {
        # (text, msid, listener, spotify): what each column makes of it, None where it is null
        "rob": ("rob", "rob", "rob"),
        " 7 ": ("7", "7", "7"),
        "0": (None, "0", None),
        "na": (None, "na", None),
        "名": ("名", "名", "名"),
        "***": (None, "***", None),
        "msid-Halo": ("msid-Halo", "msid-Halo", "msid-Halo"),
        ONE.upper(): (ONE, ONE.upper(), ONE.upper()),
        "spotify:track:0VjIjW4GlUZAMYd2vXMi3b": (None, None, "0VjIjW4GlUZAMYd2vXMi3b"),
        "https://open.spotify.com/intl-de/track/0VjIjW4GlUZAMYd2vXMi3b?si=1": (None, None, "0VjIjW4GlUZAMYd2vXMi3b"),
        "TRIOREW128F424EAF0": ("TRIOREW128F424EAF0", "TRIOREW128F424EAF0", "TRIOREW128F424EAF0"),
    }
    nobody = ["None", "null", "undefined", "N/A", "nan", "true", "<NA>", "-1", '""', "[]", "-", " ", "NULL"]
    nothing = [text for text in ids.NO_IDS if text not in kept]
    texts = [*kept, *nothing, *nobody]
    df = spark.createDataFrame([(text,) for text in texts], "t string").coalesce(1)
    columns = {"msid": msid_column, "listener": listener_column, "spotify": spotify_column}
    found = {row.t: row for row in df.select("t", *[of(F.col("t")).alias(n) for n, of in columns.items()]).collect()}
    for text, (msid, listener, spotify) in kept.items():
        if ":" not in text:
            assert (found[text].msid, found[text].listener) == (msid, listener), text
        assert found[text].spotify == spotify, text
    assert {text: (found[text].msid, found[text].spotify) for text in nothing} == dict.fromkeys(nothing, (None, None))
    assert {text: found[text].listener for text in nobody} == dict.fromkeys(nobody)


def test_the_strategies_draw_what_they_say() -> None:
    find(ids.texts(), lambda text: mbid(text) is not None)
    find(ids.texts(), lambda text: bool(text) and mbid(text) is None)
