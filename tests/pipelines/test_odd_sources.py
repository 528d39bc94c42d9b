"""Dumps and feedback under any name and in any shape: through the job, each row accounted for."""

from __future__ import annotations

import json
import os
import random
import zipfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from musicrec.errors import InputError
from musicrec.io.feedback import find_feedback
from musicrec.io.json_lines import objects_of, read_records, stage_documents
from musicrec.io.listenbrainz import find_dumps
from musicrec.io.local_files import SourceFiles
from musicrec.io.runs import Run, Stage
from musicrec.pipelines.ingest_feedback import ingest_feedback
from musicrec.pipelines.ingest_listens import ingest_listens
from musicrec.transforms.bounds import LONGEST_ID, LONGEST_NAME, LONGEST_ROW
from musicrec.transforms.listens import ListenRules
from tests.dumps import CURRENT, json_listen, listen, pack, write_markers, write_spark_dump

NAMES = ("a b", "50%", "a%20b", "#1?", "[x", "{x,y}", "a\\b\\E", "a:b", "a+b", "Bjørk 日本", "c*", "year=2021", "q'\"")
# What is published: no name there is text in another encoding, but a file system may hold one.
LATIN = os.fsdecode(b"Sigur R\xf3s")
END = "2021-08-07"


def ingest(run: Run, tmp_path: Path, *sources: Path) -> Stage:
    with run.lakehouse.unchanged_on_error():
        return ingest_listens(run, find_dumps([str(s) for s in sources], tmp_path / "staging"), ListenRules())


def rows(run: Run, table: str) -> list[dict[str, Any]]:
    """By delta-rs, which refuses what is not UTF-8."""
    found: list[dict[str, Any]] = DeltaTable(run.lakehouse.location(table)).to_pyarrow_table().to_pylist()
    return found


def counts(run: Run) -> dict[str, tuple[int, ...]]:
    columns = ("rows_in", "rows_kept", "rows_duplicate", "rows_quarantined")
    return {row["name"]: tuple(row[c] for c in columns) for row in rows(run, "ops.sources")}


def reasons(run: Run) -> Counter[tuple[str, str]]:
    return Counter((row["file"], row["reason"]) for row in rows(run, "bronze.quarantine"))


def text_files(folder: Path, files: dict[str, bytes | str]) -> Path:
    """A JSON dump of these files below `listens`."""
    write_markers(folder, END)
    for name, content in files.items():
        path = folder / "listens" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def one(user: int | str | None, **more: Any) -> str:
    return json.dumps(json_listen(user, **more), ensure_ascii=False)


def track(**more: Any) -> dict[str, Any]:
    return {"artist_name": "A", "track_name": "T", **more}


def test_folders_files_and_archives_of_any_name(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "in #?[x]{a,b}%41"
    every = "".join(NAMES)
    folder = write_spark_dump(source / every, [listen(number) for number in range(len(NAMES))], files=len(NAMES))
    for number, name in enumerate(NAMES):
        (folder / f"{number}.parquet").rename(folder / f"{name}.parquet")
    files = {f"{name}/{name}.listens": one(f"json {n}") + "\n" for n, name in enumerate(NAMES)}
    text_files(source / LATIN / "lines", files | {f"{LATIN}.listens": one("latin")})
    pack(write_spark_dump(tmp_path / "made" / "a\\b [x] 5%:", [listen(99)]), source / "[a]:{b,c} #?%.tar")
    stage = ingest(run, tmp_path, source)
    assert (stage.rows_in, stage.rows_out) == (2 * len(NAMES) + 2, 2 * len(NAMES) + 2)
    assert sorted(row["file"] for row in rows(run, "bronze.listens")) == sorted(
        [
            *(f"{every}/{name}.parquet" for name in NAMES),
            *(f"lines/listens/{name}/{name}.listens" for name in NAMES),
            "lines/listens/Sigur R\\xf3s.listens",
            "a\\b [x] 5%:/0.parquet",
        ]
    )


TOO_LONG = "x" * (LONGEST_NAME + 1)
BOM = "\ufeff"
PRETTY = [json.dumps(json_listen(f"p{n}"), indent=2) for n in range(4)]
# By file: the content, the users that are kept, the reasons for which records are not.
JSON_FILES: dict[str, tuple[str | bytes, list[str], list[str]]] = {
    "two": (f"{one(1)}{one(2)}\n{one(3)}, {one(4)},\n", ["1", "2", "3", "4"], []),
    "array on a line": (f"[{one(5)},{one(6)}]\n[]\n{one(7)}\n", ["5", "6", "7"], ["malformed"]),
    "pretty": ("[\n" + ",\n".join(PRETTY) + "\n]\n", ["p0", "p1", "p2", "p3"], []),
    "broken pretty": (
        "[\n" + ",\n".join([one(8), PRETTY[0].replace('"p0"', "p0"), one(9)]) + "\n]",
        ["8", "9"],
        ["malformed"],
    ),
    "one array": (f"[{one(10)},{one(11)},[{one(12)}],17]", ["10", "11"], ["malformed"] * 2),
    "ends": (f"{BOM}{one(13)}\r\n\r\n \t\r\n{one(14)}\r{one(15)}\n{BOM}{one(16)}", ["13", "14", "15", "16"], []),
    "zeros": (b"\0" * 512 + one(17).encode() + b"\0" * 512 + b"\n" + b"\0" * 512 + b"\n", ["17"], []),
    "quotes": (f"{one(18)}\n{json_listen(19)!r}\n{{'user_id': 20}}{{'user_id': 21}}\n", ["18"], ["malformed"] * 2),
    "cut": (f'{one(22)}\n{one(23)[:60]}\n{one(24)} {{"user_id": 25, "time\n<html>', ["22", "24"], ["malformed"] * 3),
    "commas": ("{}\n{}".format(one(26), one(27).replace('"timestamp"', ',"timestamp"')), ["26"], ["malformed"]),
    "surrogate": (
        one(28).replace("Halo", "H\\ud83dlo") + "\n" + one(29).replace("Halo", "H\\u0000lo"),
        ["28", "29"],
        [],
    ),
    "latin": (f"{one(30)}\n".encode() + one(31).replace("Halo", "R\xf3s").encode("latin-1"), ["30"], ["bad_encoding"]),
    "info": (
        "\n".join(
            one(32 + n, track_metadata={"additional_info": info} | track())
            for n, info in enumerate([["x"], "text", 5, None, {"artist_mbids": {"a": 1}}, {"recording_mbid": ["y"]}])
        ),
        ["32", "33", "34", "35", "36", "37"],
        [],
    ),
    "types": (
        "\n".join(
            [
                one("38", track_metadata=track(artist_name=311, track_name="1979")).replace(
                    "1627819200", '"1627819200"'
                ),
                one(39, track_metadata="A - T"),
                one(40, track_metadata=["A"]),
                one(41, track_metadata=track(artist_name="")),
                one(42).replace('"user_id"', '"user_id": 0, "user_id"'),
                one(43).replace("{}", '{"loudness": NaN, "peak": -Infinity}'),
                "null",
                '"text"',
            ]
        ),
        ["38", "42", "43"],
        ["malformed", "malformed", "missing_artist", "malformed", "malformed"],
    ),
    "deep": (f'{one(44)}\n{{"user_id": 45, "x": {"[" * 5000}{"]" * 5000}}}', ["44"], ["malformed"]),
    "long": (
        "\n".join(
            [
                one(46, title="x" * LONGEST_NAME, recording_msid="m"),
                one(47, title=TOO_LONG),
                one(48, track_metadata=track(artist_name=TOO_LONG * 5000)),
                one("u" * (LONGEST_ID + 1)),
                one(49, track_metadata=track(additional_info={"note": TOO_LONG * 5000})),
            ]
        ),
        ["46", "49"],
        ["too_long"] * 3,
    ),
}


def test_json_in_every_shape_counts_each_record_once(run: Run, tmp_path: Path) -> None:
    folder = text_files(
        tmp_path / "shapes", {f"{name}.listens": content for name, (content, _, _) in JSON_FILES.items()}
    )
    stage = ingest(run, tmp_path, folder)
    kept: dict[str, list[str]] = {name: [] for name in JSON_FILES}
    refused: dict[str, list[str]] = {name: [] for name in JSON_FILES}
    for row in rows(run, "bronze.listens"):
        kept[Path(row["file"]).stem].append(row["user_id"])
    for row in rows(run, "bronze.quarantine"):
        refused[Path(row["file"]).stem].append(row["reason"])
    assert {name: sorted(users) for name, users in kept.items()} == {
        n: sorted(k) for n, (_, k, _) in JSON_FILES.items()
    }
    assert {n: sorted(why) for n, why in refused.items()} == {n: sorted(why) for n, (_, _, why) in JSON_FILES.items()}
    assert stage.rows_in == sum(len(k) + len(why) for _, k, why in JSON_FILES.values())
    assert counts(run) == {"shapes": (stage.rows_in, stage.rows_out, 0, stage.rows_in - stage.rows_out)}
    quarantined = rows(run, "bronze.quarantine")
    longest = max((row["row"] for row in quarantined), key=len)
    assert LONGEST_ROW < len(longest) < LONGEST_ROW + 60
    assert longest.endswith(" characters)")
    assert any("R\ufffds" in row["row"] for row in quarantined)


def random_file(drawn: random.Random) -> tuple[bytes, int]:
    """Lines of every kind, and how many records they hold, by how they were put together."""
    lines, count = [b""], 0
    for _ in range(drawn.randint(1, 12)):
        own = [one(drawn.randint(1, 9), title=drawn.choice(["Halo", "}{", "],[", 'a"b', "é\u2028x"])) for _ in range(3)]
        own = own[: drawn.randint(1, 3)]
        broken = drawn.choice(
            ['{"user_id": 1, "tim', "}", "<html>", '"text"', "{'user_id': 1}", '{"a": 1,}', "17 and more"]
        )
        kinds: list[tuple[str, int]] = [
            (drawn.choice(["", ",", " , ", "\t"]).join(own), len(own)),
            (f"[{','.join(own)}]", len(own)),
            (f"{own[0]} {broken}", 2),
            (drawn.choice([" ", "\t \t", "\0\0", "\ufeff"]), 0),
            (drawn.choice(["\ufeff", " ", "\0"]) + own[0], 1),
            (broken, 1),
        ]
        text, records = drawn.choice(kinds)
        is_latin = drawn.random() < 0.1 and records == 1
        lines += [text.encode() + (b"\xf3" if is_latin else b""), drawn.choice([b"\n", b"\r\n", b"\r", b"\n\n"])]
        count += records
    return b"".join(lines), count


def test_of_random_files_spark_finds_the_records_that_were_put_in(spark: SparkSession, tmp_path: Path) -> None:
    drawn = random.Random(20140616)
    made = {f"{n}.listens": random_file(drawn) for n in range(150)}
    for name, (content, _) in made.items():
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in made]
    files = SourceFiles(tmp_path, paths, tmp_path / "staging", stage_documents(paths, tmp_path / "lines"))
    found = {row["file"]: row["count"] for row in read_records(spark, files).groupBy("file").count().collect()}
    assert found == {name: count for name, (_, count) in made.items() if count}
    in_python = {path.name: sum(1 for _ in objects_of(path)) for path in paths}
    assert in_python == {name: count for name, (_, count) in made.items()}


def test_a_users_own_export_packed_and_unpacked(run: Run, tmp_path: Path) -> None:
    info = {"recording_mbid": "c0a76a88-3a5c-4d0b-8e0f-3a0a8d2f0c11"}
    lines = [
        {
            "listened_at": 1627819200 + n,
            "inserted_at": 1627819300.5,
            "track_metadata": track(additional_info=info, recording_msid=f"m{n}", mbid_mapping=None),
        }
        for n in range(3)
    ]
    said = {"recording_msid": "m0", "recording_mbid": None, "score": 1, "created": 1627819200}
    members = {
        "user.json": json.dumps({"user_id": 7, "username": "rob"}),
        "listens/2021/8.jsonl": "".join(json.dumps(line) + "\n" for line in lines[:2]),
        "listens/2021/9.jsonl": json.dumps(lines[2]) + "\n",
        "feedback.jsonl": json.dumps(said) + "\n",
        "pinned_recording.jsonl": json.dumps({"recording_msid": "m1", "created": 1}) + "\n",
    }
    archive = tmp_path / "in" / "listenbrainz_rob_1700000000.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in members.items():
            packed.writestr(name, text)
    assert ingest(run, tmp_path, archive) == Stage(3, 3, "3 kept, 0 duplicates, 0 quarantined")
    found = sorted(rows(run, "bronze.listens"), key=lambda row: row["file"] + row["recording_msid"])
    assert [(row["user_id"], row["recording_msid"], row["file"]) for row in found] == [
        ("7", f"m{n}", f"listenbrainz_rob_1700000000/listens/2021/{8 + n // 2}.jsonl") for n in range(3)
    ]
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(unpacked)
    assert ingest(run, tmp_path, unpacked).rows_in == 0

    for source in (archive, unpacked):
        with run.lakehouse.unchanged_on_error():
            ingest_feedback(run, find_feedback([str(source)], tmp_path / "staging"))
    (statement,) = rows(run, "bronze.feedback")
    assert (statement["user_id"], statement["recording_msid"], statement["score"]) == ("7", "m0", 1)


def write_parquet(path: Path, replaced: dict[str, pa.Array | None], added: dict[str, pa.Array], **options: Any) -> None:
    """One listen, of which columns are replaced (None: left out), put under other names, or added."""
    row = listen(0, artist_credit_mbids=["x"])
    columns = {field.name: pa.array([row.get(field.name)], field.type) for field in CURRENT}
    columns = {name: column for name, column in (columns | replaced | added).items() if column is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **({"use_deprecated_int96_timestamps": True} | options))


def text(value: str | bytes, kind: pa.DataType | None = None) -> pa.Array:
    raw = value if isinstance(value, bytes) else value.encode()
    return pa.Array.from_buffers(pa.string(), 1, pa.array([raw]).buffers()) if kind is None else pa.array([value], kind)


def test_parquet_of_every_writer(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "writers"
    write_markers(folder, END)
    strings = ("artist_name", "recording_name", "release_name", "recording_msid")
    ids = {
        kind: pa.array([n]).cast(kind) for n, kind in enumerate((pa.int32(), pa.int64(), pa.uint16(), pa.string()), 1)
    }
    times = {
        unit: pa.array([1627819200 * 10**power], pa.timestamp(unit))
        for unit, power in (("ms", 3), ("us", 6), ("ns", 9))
    }
    plain: dict[str, pa.Array | None] = {}
    cases: dict[str, tuple[dict[str, pa.Array | None], dict[str, pa.Array], dict[str, Any]]] = {
        **{
            f"id {kind}": ({"user_id": column if kind != pa.string() else pa.array(["4"])}, {}, {})
            for kind, column in ids.items()
        },
        "large": (
            {name: text("L", pa.large_string()) for name in strings}
            | {"artist_credit_mbids": pa.array([["m"]], pa.large_list(pa.large_string()))},
            {},
            {},
        ),
        "dictionary": ({name: text("D").dictionary_encode() for name in strings}, {}, {}),
        "bytes": ({name: text(b"B", pa.binary()) for name in strings}, {}, {}),
        "upper": (
            dict.fromkeys(CURRENT.names),
            {f.name.upper(): pa.array([listen(0).get(f.name)], f.type) for f in CURRENT},
            {},
        ),
        "both cases": (plain, {"ARTIST_NAME": text("wrong"), "Listened_At": pa.array([1])}, {}),
        "nested": ({"artist_credit_mbids": pa.array([[["a", "b"], None, ["c"]]])}, {}, {}),
        "fixed": ({"artist_credit_mbids": pa.array([["a", "b"]], pa.list_(pa.string(), 2))}, {}, {}),
        "few": ({"artist_credit_id": None, "artist_credit_mbids": None, "release_name": None, "created": None}, {}, {}),
        "more": (plain, {"clock": pa.array([1], pa.time64("us")), "half.way`s": pa.array([1.5])}, {}),
        **{
            f"time {unit}": (
                {"listened_at": column, "created": column},
                {},
                {"use_deprecated_int96_timestamps": False, "version": "2.6"},
            )
            for unit, column in times.items()
        },
    }
    for number, (name, (replaced, added, options)) in enumerate(cases.items()):
        own = {} if "user_id" in replaced else {"user_id": pa.array([100 + number])}
        own = {} if name == "upper" else own
        write_parquet(folder / f"{name}.parquet", own | replaced, added, **options)
    for column in (*strings, "release_mbid", "recording_mbid"):
        write_parquet(folder / f"bad {column}.parquet", {column: text(b"Sigur R\xf3s")}, {})
    bad_list = pa.ListArray.from_arrays([0, 1], text(b"\xff"))
    write_parquet(folder / "bad artist_credit_mbids.parquet", {"artist_credit_mbids": bad_list}, {})
    write_parquet(
        folder / "bad by arrow.parquet", {"artist_name": text(b"\xff")}, {"clock": pa.array([1], pa.time64("us"))}
    )
    write_parquet(folder / "long.parquet", {"recording_name": text(TOO_LONG)}, {})
    pq.write_table(pa.table([pa.array([], f.type) for f in CURRENT], schema=CURRENT), folder / "empty.parquet")
    write_parquet(folder / "parts.parquet" / "part-0.parquet", {"user_id": pa.array([500])}, {})

    bad = 8
    stage = ingest(run, tmp_path, folder)
    assert counts(run) == {"writers": (len(cases) + bad + 2, len(cases) + 1, 0, bad + 1)}
    assert stage.rows_out == len(cases) + 1
    found = {Path(row["file"]).stem: row for row in rows(run, "bronze.listens")}
    assert set(found) == {*cases, "part-0"}
    assert {row["listened_at"] for row in found.values()} == {datetime.fromisoformat("2021-08-01 12:00:00+00:00")}
    assert [found[f"id {kind}"]["user_id"] for kind in ids] == ["1", "2", "3", "4"]
    assert {found["both cases"]["artist_name"], found["upper"]["artist_name"], found["more"]["artist_name"]} == {
        "Beyoncé"
    }
    assert [found[name]["artist_name"] for name in ("large", "dictionary", "bytes")] == ["L", "D", "B"]
    assert (found["few"]["artist_mbids"], found["few"]["release_name"]) == (None, None)
    refused = reasons(run)
    assert refused["writers/long.parquet", "too_long"] == 1
    assert sum(n for (_, reason), n in refused.items() if reason == "bad_encoding") == bad
    assert all("Sigur R\ufffds" in row["row"] for row in rows(run, "bronze.quarantine") if "Sigur" in row["row"])


def break_page(path: Path) -> None:
    """Overwrite the middle of the file, footer and head left as they are."""
    content = bytearray(path.read_bytes())
    for at in range(4, len(content) // 2):
        content[at] = 0x5A
    path.write_bytes(bytes(content))


def test_a_hole_in_a_file_is_named_and_no_table_is_touched(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = write_spark_dump(tmp_path / "whole", [listen(n) for n in range(5)])
    rows_in = [listen(n, title=f"song {n * 7919}", recording_msid=f"{n * 104729:032d}") for n in range(2000)]
    hole = write_spark_dump(tmp_path / "a #[hole]", rows_in, end="2021-08-08", files=2)
    break_page(hole / "1.parquet")
    with pytest.raises(
        InputError, match=r"a #\[hole\]/1\.parquet: expected a file that can be read to its end, found "
    ) as told:
        ingest(run, tmp_path, whole, hole)
    assert "\n" not in str(told.value)
    assert not Path(run.lakehouse.root, "bronze").exists() or not run.lakehouse.exists("bronze.listens")
    assert "Exception" not in capfd.readouterr().err


def test_feedback_of_any_name_and_shape(run: Run, tmp_path: Path) -> None:
    def said(user: str, **more: Any) -> str:
        return json.dumps({"user_id": user, "recording_msid": "m", "score": 1, "created": 1} | more)

    source = tmp_path / "feed #?[x]{a,b}%41"
    source.mkdir()
    for number, name in enumerate((*NAMES, LATIN)):
        (source / f"{name}.jsonl").write_text(said(f"n{number}"))
    long = said("x", artist_name="x" * (LONGEST_NAME + 1))
    lines = f"{BOM}{said('a')}{said('b')}\r\n[{said('c')},{said('d')}]\n{said('e')[:20]}\n{long}\n"
    (source / "lines.json").write_bytes(lines.encode() + said("f").replace("m", "\xf3").encode("latin-1"))
    (source / "pretty.json").write_text(json.dumps([json.loads(said("g")), json.loads(said("h"))], indent=2))
    with run.lakehouse.unchanged_on_error():
        stage = ingest_feedback(run, find_feedback([str(source)], tmp_path / "staging"))
    assert (stage.rows_in, stage.rows_out) == (len(NAMES) + 1 + 7 + 2, len(NAMES) + 1 + 4 + 2)
    found = rows(run, "bronze.feedback")
    assert {row["user_id"] for row in found} == {f"n{n}" for n in range(len(NAMES) + 1)} | set("abcdgh")
    assert {row["file"] for row in found if row["user_id"][0] == "n"} == {
        *(f"{name}.jsonl/{name}.jsonl" for name in NAMES),
        "Sigur R\\xf3s.jsonl/Sigur R\\xf3s.jsonl",
    }
    assert reasons(run) == {("lines.json/lines.json", why): 1 for why in ("malformed", "too_long", "bad_encoding")}
