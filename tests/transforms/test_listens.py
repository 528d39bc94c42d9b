from __future__ import annotations

import unicodedata
import uuid
from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from musicrec.transforms.listens import KEY, RAW_COLUMNS, ListenRules, add_fate, judge, number_copies, tidy
from tests.dumps import utc

SCHEMA = ", ".join(f"{name} {kind}" for name, kind in RAW_COLUMNS.items())
ENDED = utc("2021-08-07 00:00:00")
NOW = utc("2026-01-02 03:04:05")
NOON = utc("2021-08-01 12:00:00")
MBID = "e3c5e1f5-9a4c-4d5d-9f9c-0b5c8c2f8b11"
RULES = ListenRules(earliest=date(2002, 10, 1), future_tolerance_hours=24)


def row(**more: Any) -> dict[str, Any]:
    fine = {
        "user_id": "1",
        "listened_at": NOON,
        "recording_msid": "m",
        "artist_name": "A",
        "recording_name": "T",
        "malformed": False,
        "file": "0.parquet",
        "row": "{}",
    }
    return {**dict.fromkeys(RAW_COLUMNS), **fine, **more}


def frame(spark: SparkSession, rows: list[dict[str, Any]]) -> DataFrame:
    return spark.createDataFrame([tuple(r[c] for c in RAW_COLUMNS) for r in rows], SCHEMA)


def is_shown(character: str) -> bool:
    kind, name = unicodedata.category(character), unicodedata.name(character, "")
    return kind not in ("Cf", "Cc", "Zs", "Zl", "Zp") and not any(word in name for word in ("SELECTOR", "FILLER"))


def expected_reason(r: dict[str, Any]) -> str | None:
    """The rules over again, in plain Python."""
    if r["malformed"]:
        return "malformed"
    reasons = [
        f"missing_{what}"
        for what, name in (("user", "user_id"), ("artist", "artist_name"), ("title", "recording_name"))
        if not any(map(is_shown, r[name] or ""))
    ]
    at = r["listened_at"]
    if at is None:
        reasons.append("missing_time")
    elif at < utc("2002-10-01"):
        reasons.append("too_early")
    elif at > ENDED + timedelta(hours=24):
        reasons.append("in_future")
    if (r["duration_ms"] or 0) < 0:
        reasons.append("negative_duration")
    return ",".join(reasons) or None


def test_each_reason_alone_at_its_edge_and_several_joined(spark: SparkSession) -> None:
    second = timedelta(seconds=1)
    cases: list[tuple[dict[str, Any], str | None]] = [
        (row(), None),
        (row(user_id=None), "missing_user"),
        (row(artist_name="  \u00a0\t"), "missing_artist"),
        (row(artist_name="\u00ad\u200d\ufe0f \u2060", recording_name="\u3164"), "missing_artist,missing_title"),
        (row(recording_name=""), "missing_title"),
        (row(listened_at=None), "missing_time"),
        (row(listened_at=utc("2002-10-01") - second), "too_early"),
        (row(listened_at=utc("2002-10-01")), None),
        (row(listened_at=ENDED + timedelta(hours=24)), None),
        (row(listened_at=ENDED + timedelta(hours=24) + second), "in_future"),
        (row(duration_ms=-1), "negative_duration"),
        (row(duration_ms=0), None),
        (row(malformed=True, user_id=None, artist_name=None, recording_name=None, listened_at=None), "malformed"),
        (row(user_id="", recording_name=None, duration_ms=-5), "missing_user,missing_title,negative_duration"),
    ]
    rows = [{**r, "file": f"{i:02d}"} for i, (r, _) in enumerate(cases)]
    judged = judge(tidy(frame(spark, rows)), RULES, ENDED, NOW).orderBy("file").collect()
    assert [r["reason"] for r in judged] == [reason for _, reason in cases]
    assert [r["reason"] for r in judged] == [expected_reason(r) for r in rows]
    assert [r["row"] for r in judged] == [None if reason is None else "{}" for _, reason in cases]


def test_names_are_trimmed_and_a_missing_msid_is_made_of_them(spark: SparkSession) -> None:
    rows = [
        row(file="0", recording_msid=" ", artist_name=" A\u00a0", recording_name="T\n", release_name="R"),
        row(file="1", recording_msid=None, artist_name="A", recording_name="T", release_name=" R "),
        row(file="2", recording_msid=None, artist_name="A", recording_name="T", release_name=""),
        row(file="3", recording_msid=" given "),
        row(file="4", recording_msid="None", artist_name="A", recording_name="T", release_name="R\u200b"),
    ]
    got = tidy(frame(spark, rows)).orderBy("file").collect()
    assert {(r["artist_name"], r["recording_name"]) for r in got} == {("A", "T")}
    msids = [r["recording_msid"] for r in got]
    assert msids[0] == msids[1] == msids[4] != msids[2]
    assert msids[3] == "given"
    assert str(uuid.UUID(msids[0])) == msids[0]
    assert got[2]["release_name"] is None


TEXTS = st.sampled_from([None, "", " ", "\u2003", "a", " a ", "b"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": TEXTS,
            "listened_at": st.sampled_from([None, utc("1970-01-01"), NOON, ENDED, utc("2030-01-01")]),
            "recording_msid": TEXTS,
            "artist_name": TEXTS,
            "recording_name": TEXTS,
            "recording_mbid": st.sampled_from([None, MBID, "None"]),
            "duration_ms": st.sampled_from([None, -1, 5]),
            "artist_mbids": st.sampled_from([None, [], [MBID], ["x", MBID]]),
            "malformed": st.sampled_from([False, False, False, True]),
            "file": st.sampled_from(["0", "1"]),
        }
    ),
    min_size=10,
    max_size=60,
)
FOUND = (
    *KEY,
    "artist_name",
    "recording_name",
    "recording_mbid",
    "duration_ms",
    "artist_mbids",
    "file",
    "reason",
    "fate",
)


def settle(raw: DataFrame, known: DataFrame) -> list[tuple[Any, ...]]:
    done = add_fate(number_copies(judge(tidy(raw), RULES, ENDED, NOW)), known)
    return sorted((tuple(r[c] for c in FOUND) for r in done.collect()), key=repr)


# An example costs two Spark jobs: few and large ones, and no shrinking, which would take minutes.
@settings(
    max_examples=6, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(drawn=ROWS, shuffled=st.randoms(use_true_random=False))
def test_every_row_has_one_fate_and_neither_order_nor_partitions_change_it(
    spark: SparkSession, drawn: list[dict[str, Any]], shuffled: Any
) -> None:
    rows = [row(**r, row=f"row {i}") for i, r in enumerate(drawn)]
    known = spark.createDataFrame(
        [("a", NOON.replace(tzinfo=None), "a")], "user_id string, listened_at timestamp, recording_msid string"
    )
    got = settle(frame(spark, rows).coalesce(1), known)
    other = list(rows)
    shuffled.shuffle(other)
    assert settle(frame(spark, other).repartition(3), known) == got

    reasons = sorted(str(expected_reason(r)) for r in rows)
    assert sorted(str(r[FOUND.index("reason")]) for r in got) == reasons
    fates = [(r[:3], r[-1]) for r in got]
    assert len(fates) == len(rows)
    assert sum(fate == "quarantined" for _, fate in fates) == sum(reason != "None" for reason in reasons)
    keys = {key for key, fate in fates if fate != "quarantined"}
    kept = [key for key, fate in fates if fate == "kept"]
    assert len(kept) == len(set(kept))
    assert set(kept) == {key for key in keys if key != ("a", NOON.replace(tzinfo=None), "a")}


def test_of_copies_the_one_that_tells_most_stays(spark: SparkSession) -> None:
    poor, rich = row(release_name="a"), row(recording_mbid=MBID, duration_ms=9, release_name="z")
    for rows in ([poor, rich], [rich, poor]):
        numbered = number_copies(judge(tidy(frame(spark, rows)), RULES, ENDED, NOW)).orderBy("copy").collect()
        assert [(r["copy"], r["recording_mbid"]) for r in numbered] == [(1, MBID), (2, None)]


def test_the_time_zone_of_the_end_counts(spark: SparkSession) -> None:
    at = datetime.fromisoformat("2021-08-07T03:00:00+02:00")
    rules = ListenRules(future_tolerance_hours=0)
    rows = [row(listened_at=utc("2021-08-07 01:00:00")), row(listened_at=utc("2021-08-07 01:00:01"))]
    got = judge(tidy(frame(spark, rows)), rules, at, NOW).orderBy("listened_at").collect()
    assert [r["reason"] for r in got] == [None, "in_future"]
