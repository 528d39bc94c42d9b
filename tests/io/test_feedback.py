from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from musicrec.errors import InputError
from musicrec.io.feedback import find_feedback
from tests.dumps import pack

LINE = json.dumps({"user_id": "rob", "recording_msid": "m", "score": 1, "created": 1})


def dump(folder: Path, time: str | None = "2021-08-07 02:00:00") -> Path:
    day = folder / "lbdump" / "feedback" / "listens" / "2021" / "08" / "01"
    day.mkdir(parents=True)
    (day / "data.json").write_text(LINE)
    if time is not None:
        (folder / "TIMESTAMP").write_text(time)
    return folder


def test_a_file_is_the_same_source_however_it_is_packed(tmp_path: Path) -> None:
    plain = tmp_path / "in" / "a.jsonl"
    plain.parent.mkdir()
    plain.write_text(LINE)
    (tmp_path / "in" / "b.jsonl.gz").write_bytes(gzip.compress(LINE.encode()))
    (tmp_path / "in" / "c.json.zst").write_bytes(zstandard.ZstdCompressor().compress(LINE.encode()))
    (tmp_path / "in" / "README.md").write_text("not feedback")
    staging = tmp_path / "staging"
    sources = [find_feedback([str(path)], staging) for path in sorted((tmp_path / "in").glob("?.js*"))]
    assert {one.source_id for found in sources for one in found} == {sources[0][0].source_id}
    assert all(one.files[0].read_text() == LINE for found in sources for one in found)
    assert len(find_feedback([str(tmp_path / "in")], staging)) == 1


def test_a_dump_is_a_snapshot_of_its_time(tmp_path: Path) -> None:
    named = dump(tmp_path / "listenbrainz-feedback-dump-20210806-030405", None)
    marked = dump(tmp_path / "listenbrainz-feedback-dump-20210807-000000")
    packed = pack(marked, tmp_path / f"{marked.name}.tar.zst")
    found = [find_feedback([str(path)], tmp_path / "staging")[0] for path in (named, marked, packed)]
    assert [one.snapshot_at for one in found] == [
        datetime(2021, 8, 6, 3, 4, 5, tzinfo=UTC),
        *[datetime(2021, 8, 7, 2, tzinfo=UTC)] * 2,
    ]
    assert [len(one.files) for one in found] == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"not json\n", "a JSON object on each line"),
        ("a.jsonl.gz", gzip.compress(LINE.encode(), mtime=0)[:-6], "a complete packed file"),
        ("a.jsonl.zst", b"not zstd", "a complete packed file"),
        ("a.csv", b"user,item", "a feedback file"),
        ("a.tar", b"no tar", "a complete tar archive"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        find_feedback([str(path)], tmp_path / "staging")
    assert name in str(refused.value)


def test_a_path_without_feedback_is_refused_and_an_empty_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no such file"):
        find_feedback([str(tmp_path / "missing")], tmp_path / "staging")
    with pytest.raises(InputError, match="found none"):
        find_feedback([str(tmp_path / "none")], tmp_path / "staging")
    assert len(find_feedback([str(tmp_path / "empty.jsonl")], tmp_path / "staging")) == 1
