"""What is one recording, artist and listener, through the jobs: dumps of all formats, a catalogue, feedback."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.entry import run_steps
from musicrec.io import run_log
from musicrec.io.tables import Lakehouse
from musicrec.pipelines import build_silver, earlier_build
from musicrec.transforms.recordings import resolve_spellings
from tests.catalogues import write_catalogue
from tests.conftest import ROOT
from tests.dumps import json_listen, listen, write_json_dump, write_older_dump, write_spark_dump
from tests.strategies.ids import NO_IDS, NO_MBIDS

ONE, OTHER, THIRD = (f"{digit * 8}-9a4c-4d5d-9f9c-0b5c8c2f8b11" for digit in "ab3")
PAGE = f"https://musicbrainz.org/recording/{ONE}"
FORMS = [
    ONE,
    ONE.upper(),
    f"{{{ONE}}}",
    f'["{ONE}"]',
    f"{ONE}/{OTHER}",
    f"{ONE}, {OTHER}",
    f'[["{ONE}"]]',
    f"{PAGE}/?x",
]
CREDITS = [[ONE, OTHER], [f'["{OTHER}", "{ONE}"]'], [f"{OTHER}/{ONE}"], [f"{ONE.upper()}, {OTHER}", "None", None]]
# Pairs of names that are two, and spellings of one.
APART = [("☀️", "❤️"), ("C♯ minor", "C minor"), ("B♭ Major", "B Major"), ("<3", "3"), ("100%", "100"), ("+", "÷")]
ALIKE = ["Don't", "Don′t", "Do\u00adn’t", "Don\u02bbt", "\u200bDon`t\ufeff"]
BANDS = ["Little Feat", "Little", "Little Feat feat. Bonnie Raitt", "LITTLE FEAT"]

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Lake:
    base: Path
    lakehouse: Lakehouse

    def run(self, *steps: str) -> None:
        places = (f"lakehouse.root={self.lakehouse.root}", f"sources.listens={self.base / 'dumps'}")
        places = (*places, f"sources.tracks={self.base / 'tracks'}", f"sources.feedback={self.base / 'said.jsonl'}")
        run_steps(list(steps), ROOT / "conf" / "local.toml", None, places, False)

    def rows(self, table: str) -> Rows:
        return DeltaTable(self.lakehouse.location(table)).to_pyarrow_table().to_pylist()

    def recordings_of(self, artist: str) -> Rows:
        return [row for row in self.rows("silver.recordings") if row["artist_name"] == artist]


def as_parquet() -> Rows:
    """Listens of today's layout, all in one second: what tells them apart is what they are of."""
    rows = [
        listen(1, title=f"Nothing {place}", artist_name="Placeholders", recording_msid=text, recording_mbid=text,
               artist_credit_mbids=[text])
        for place, text in enumerate(NO_IDS)
    ]  # fmt: skip
    rows += [
        listen(2, title="Forms", artist_name="Forms", recording_msid=f"msid {place}", recording_mbid=form)
        for place, form in enumerate(FORMS)
    ]
    return rows + [
        listen(3, title="Credits", artist_name="Credits", recording_msid=f"msid {place}", artist_credit_mbids=credit)
        for place, credit in enumerate(CREDITS)
    ]


def as_json() -> Rows:
    def of(artist: str, title: str, **info: Any) -> dict[str, Any]:
        track = {"artist_name": artist, "track_name": title, "additional_info": info}
        return json_listen("11", track_metadata=track, recording_msid=None)

    rows = [
        of("JSON placeholders", f"Nothing {place}", recording_mbid=text, recording_msid=text, artist_mbids=text)
        for place, text in enumerate([*NO_MBIDS, 0, True, [], {}, [None], {"id": None}, -1, 1.5])
    ]
    third = [THIRD, [THIRD], [[THIRD]], {"mbid": THIRD.upper()}]
    both = ([ONE, OTHER], [[ONE], [OTHER]], f"{OTHER},{ONE}")
    more = [of("JSON forms", "Forms", recording_mbid=form) for form in third]
    more += [of("JSON credits", "Credits", artist_mbids=form) for form in both]
    return rows + [row | {"timestamp": 1627819201 + place} for place, row in enumerate(more)]


def as_older() -> list[tuple[Any, ...]]:
    """The layout without ids: names alone."""
    titles = [("Pairs", title) for pair in APART for title in pair]
    named = [*titles, *(("Apostrophes", title) for title in ALIKE), *((band, "Dixie Chicken") for band in BANDS)]
    day = "2021-08-01"
    rows = [("21", artist, None, title, day, f"10:00:{place:02}") for place, (artist, title) in enumerate(named)]
    nobody = [(user, "Nobody", None, "Song", day, "11:00:00") for user in ("None", "nan", "null", "-1", "0")]
    return [*rows, *nobody, ("21", "\u00ad\u200b", None, "\ufe0f", day, "11:00:00")]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    base = tmp_path_factory.mktemp("identity")
    write_spark_dump(base / "dumps" / "full-dump-1", as_parquet(), end="2021-08-07")
    write_json_dump(base / "dumps" / "json-dump-2", as_json())
    write_older_dump(base / "dumps" / "older-dump-3", as_older(), [pa.string()] * 6)
    named = ["None", "nan", "0", "", "t1", "https://open.spotify.com/track/t2?si=1", "spotify:track:t2"]
    tracks = [
        {"track_id": text, "track_name": f"Song {place}", "artist_name": "Somebody"} for place, text in enumerate(named)
    ]
    write_catalogue(base / "tracks", "spotify_1million", tracks)
    said = [
        {"user_id": "2", "recording_mbid": f"{PAGE.upper()}/", "score": -1, "created": 1627700000},
        {"user_id": "2", "artist_mbid": f'["{ONE}", "{OTHER}"]', "created": 1627700000},
        {"user_id": "2", "recording_mbid": "None", "recording_msid": "null", "score": 1, "created": 1627700000},
    ]
    (base / "said.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
    made = Lake(base, Lakehouse(spark, str(base / "lakehouse")))
    made.run("ingest_listens", "ingest_tracks", "ingest_feedback", "build_silver")
    return made


def test_listens_without_an_id_are_as_many_recordings_as_songs(lake: Lake) -> None:
    for artist, texts in (("Placeholders", len(NO_IDS)), ("JSON placeholders", len(NO_MBIDS) + 8)):
        found = lake.recordings_of(artist)
        assert len(found) == texts, artist
        assert {row["recording_mbid"] for row in found} == {None}
        assert len({row["artist_id"] for row in found}) == 1
        assert all(row["recording_id"].startswith("h:") and row["plays"] == 1 for row in found)


def test_an_mbid_is_one_in_every_form_and_format(lake: Lake) -> None:
    forms, mapped = lake.recordings_of("Forms"), lake.recordings_of("JSON forms")
    assert [(row["recording_id"], row["plays"]) for row in forms] == [(ONE, len(FORMS))]
    assert [(row["recording_id"], row["plays"]) for row in mapped] == [(THIRD, 4)]
    for artist, plays in (("Credits", len(CREDITS)), ("JSON credits", 3)):
        [credits] = lake.recordings_of(artist)
        assert (credits["artist_id"], credits["artist_mbids"]) == (f"m:{ONE},{OTHER}", [ONE, OTHER])
        assert credits["plays"] == plays


def test_names_that_differ_in_a_symbol_are_two_and_in_what_is_not_seen_one(lake: Lake) -> None:
    assert len({row["recording_id"] for row in lake.recordings_of("Pairs")}) == 2 * len(APART)
    [dont] = lake.recordings_of("Apostrophes")
    assert dont["plays"] == len(ALIKE)
    chicken = [row for row in lake.rows("silver.recordings") if row["title"] == "Dixie Chicken"]
    assert Counter({row["artist_key"]: row["plays"] for row in chicken}) == {"little feat": 3, "little": 1}


def test_who_is_nobody_and_what_shows_nothing_is_in_quarantine(lake: Lake) -> None:
    reasons = Counter(row["reason"] for row in lake.rows("bronze.quarantine"))
    assert reasons == {"missing_user": 4, "missing_artist,missing_title": 1, "missing_track_id": 4, "missing_item": 1}
    assert {row["user_id"] for row in lake.rows("silver.user_index")} == {"0", "1", "2", "3", "11", "21"}
    assert {row["track_id"] for row in lake.rows("silver.tracks")} == {"t1", "t2"}


def test_feedback_finds_what_it_is_about_in_whatever_form(lake: Lake) -> None:
    found = {(row["item_kind"], row["item_id"]) for row in lake.rows("silver.feedback")}
    assert ("recording", ONE) in found
    assert ("artist", f"m:{ONE},{OTHER}") in found


def with_older_keys(counted: DataFrame) -> DataFrame:
    """Spellings as a version resolved them that took "C♯ minor" for "C minor" and a placeholder for an id."""
    made = resolve_spellings(counted)
    is_sharp = F.col("recording_name") == "C♯ minor"
    older = {"recording_id": F.when(is_sharp, "h:older").when(F.col("recording_mbid") == "nan", "nan")}
    return made.withColumns({name: F.coalesce(value, name) for name, value in older.items()})


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the code says of itself; a night with another version than the last starts from nothing."""
    told = {"musicrec source": "older"}
    for module in (run_log, earlier_build):
        monkeypatch.setattr(module, "package_versions", lambda: dict(told))
    return told


def test_the_first_night_of_another_version_resolves_all_anew_and_indexes_only_grow(
    lake: Lake, spark: SparkSession, versions: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lake.base / "upgraded"
    shutil.copytree(lake.lakehouse.root, root, ignore=shutil.ignore_patterns("silver"))
    nights = Lake(lake.base, Lakehouse(spark, str(root)))
    with monkeypatch.context() as older:
        older.setattr(build_silver, "resolve_spellings", with_older_keys)
        nights.run("build_silver")
    before = {(row["item_kind"], row["item_id"]): row["item_idx"] for row in nights.rows("silver.item_index")}
    assert ("recording", "h:older") in before
    versions["musicrec source"] = "newer"
    nights.run("build_silver")
    for table in ("silver.recordings", "silver.spellings", "silver.links"):
        assert sorted(map(repr, nights.rows(table))) == sorted(map(repr, lake.rows(table))), table
    after = {(row["item_kind"], row["item_id"]): row["item_idx"] for row in nights.rows("silver.item_index")}
    assert before.items() <= after.items()
    of_kind = defaultdict(list)
    for (kind, _), idx in after.items():
        of_kind[kind].append(idx)
    assert all(sorted(numbers) == list(range(len(numbers))) for numbers in of_kind.values())
    played = {row["item_id"] for row in nights.rows("silver.interactions") if row["item_kind"] == "recording"}
    assert played == {row["recording_id"] for row in nights.rows("silver.recordings")}
