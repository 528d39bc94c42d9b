from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.errors import InputError
from musicrec.io.feedback import find_feedback
from musicrec.io.listenbrainz import find_dumps
from tests.dumps import json_listen, listen, pack, utc, write_json_dump, write_spark_dump


def found(tmp_path: Path, source: Path) -> set[tuple[str, str, tuple[str, ...]]]:
    dumps = find_dumps([str(source)], tmp_path / "staging")
    return {(d.name, d.format, tuple(path.relative_to(d.folder).as_posix() for path in d.files)) for d in dumps}


def test_every_file_of_a_folder_is_found_whoever_wrote_it_and_none_that_is_no_listens(tmp_path: Path) -> None:
    source = tmp_path / "in"
    upper = write_spark_dump(source / "upper", [listen()])
    (upper / "0.parquet").rename(upper / "0.PARQUET")
    parts = source / "one.parquet"
    parts.mkdir()
    shutil.copy(upper / "0.PARQUET", parts / "part-0.parquet")
    (parts / "_SUCCESS").write_text("")
    (parts / "._part-0.parquet").write_text("of macOS")
    mixed = write_spark_dump(source / "mixed", [listen(3)])
    (mixed / "x.listens").write_text(json.dumps(json_listen(5)))
    (source / "listens-mine.jsonl").write_text(json.dumps(json_listen(6)))
    for path in ("bare/2021/8.json", "bare/package.json", "bare/__MACOSX/2021/8.json", "export/listens/2021/8.jsonl"):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(json.dumps([json_listen(path)]))
    for name in ("user.json", "feedback.jsonl", "pinned_recording.jsonl"):
        (source / "export" / name).write_text('{"user_id": 7}')
    assert found(tmp_path, source) == {
        ("upper", "parquet", ("0.PARQUET",)),
        ("in", "parquet", ("one.parquet/part-0.parquet",)),
        ("in", "json", ("listens-mine.jsonl",)),
        ("mixed", "parquet", ("0.parquet",)),
        ("mixed", "json", ("x.listens",)),
        ("bare", "json", ("2021/8.json",)),
        ("export", "json", ("listens/2021/8.jsonl",)),
    }


def test_a_file_by_itself_is_a_source_and_knows_nothing_of_what_lies_beside(tmp_path: Path) -> None:
    folder = write_spark_dump(tmp_path / "d", [listen(1), listen(2)], files=2)
    (folder / "my listens.ndjson").write_text(json.dumps(json_listen(6)))
    for name, form in (("1.parquet", "parquet"), ("my listens.ndjson", "json")):
        (dump,) = find_dumps([str(folder / name)], tmp_path / "staging")
        assert (dump.name, dump.format, dump.ended_at, [path.name for path in dump.files]) == (name, form, None, [name])


def test_a_dump_beside_others_does_not_take_their_times(tmp_path: Path) -> None:
    write_spark_dump(tmp_path / "in" / "d", [listen()], end="2021-08-09")
    (tmp_path / "in" / "x.listens").write_text(json.dumps(json_listen()))
    ends = {dump.name: dump.ended_at for dump in find_dumps([str(tmp_path / "in")], tmp_path / "staging")}
    assert ends == {"in": None, "d": utc("2021-08-09")}


def test_an_archive_in_an_archive_is_unpacked_and_no_deeper(tmp_path: Path) -> None:
    dump = write_json_dump(tmp_path / "d", [json_listen()])
    source = dump
    for depth in range(3):
        if depth:
            (tmp_path / str(depth)).mkdir()
            source = source.rename(tmp_path / str(depth) / source.name).parent
        source = pack(source, tmp_path / f"packed-{depth}.zip")
        if depth < 2:
            assert {name for name, _, _ in found(tmp_path, source)} == {"d"}
    with pytest.raises(InputError, match=r"packed-0\.zip: expected archives in at most 2 others, found more"):
        found(tmp_path, source)


def test_an_export_that_does_not_say_whose_it_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "export" / "listens" / "2021" / "8.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(json_listen()))
    (tmp_path / "export" / "user.json").write_text('{"user_id": null}')
    with pytest.raises(InputError, match=r"user\.json: expected a JSON object with user_id or username, found neither"):
        found(tmp_path, tmp_path / "export")
    (tmp_path / "export" / "user.json").write_text(r'{"username": "\ud83d"}')
    with pytest.raises(InputError, match=r"user\.json: expected user_id and username as text, found half of a surr"):
        found(tmp_path, tmp_path / "export")


TIMES = st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode), st.datetimes().map(str).map(str.encode))


def refusal(find: Callable[[list[str], Path], object], path: Path) -> str | None:
    try:
        find([str(path)], path.parent / "staging")
    except InputError as error:
        return str(error)
    return None


@settings(deadline=None)
@given(marker=st.sampled_from(["END_TIMESTAMP", "TIMESTAMP", "START_TIMESTAMP"]), text=TIMES)
def test_whatever_stands_in_a_marker_it_is_a_time_or_one_line_names_it(marker: str, text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dump = write_spark_dump(Path(folder) / "d", [listen()])
        (dump / marker).write_bytes(text)
        told = refusal(find_dumps, dump)
    assert told is None or told.startswith(f"{dump / marker}: expected a time such as")


@settings(deadline=None)
@given(content=st.binary(max_size=80) | st.text(max_size=80).map(str.encode), is_packed=st.booleans())
def test_whatever_stands_in_a_feedback_file_it_is_read_or_one_line_names_it(content: bytes, is_packed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.jsonl.gz" if is_packed else "a.jsonl")
        path.write_bytes(gzip.compress(content) if is_packed and content[:1] < b"\x80" else content)
        told = refusal(find_feedback, path)
    assert told is None or told.startswith(f"{path}: expected ")
