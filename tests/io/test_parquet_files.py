from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.errors import InputError
from musicrec.io.listenbrainz_parquet import CURRENT, OLDER, check_file, layout
from musicrec.io.parquet_files import as_text, batches_of, columns_of, is_for_spark, open_file, text_column
from tests.dumps import listen, write_older_dump, write_spark_dump


def test_columns_are_found_by_their_very_name_else_in_another_case() -> None:
    names = ["User_ID", "artist_name", "ARTIST_NAME", "x"]
    assert columns_of(Path("f"), names, ["user_id", "artist_name", "time"]) == {
        "user_id": "User_ID",
        "artist_name": "artist_name",
    }
    for several in (["USER_ID", "User_Id"], ["user_id", "user_id"]):
        with pytest.raises(InputError, match=rf"^f: expected one column user_id, found several: {', '.join(several)}$"):
            columns_of(Path("f"), several, ["user_id"])


def test_lists_of_lists_are_flat_and_bytes_that_are_no_text_stay() -> None:
    values = [[[b"a", b"\xff"], None, []], None, [], [[None, b"c"]]]
    nested = pa.array(values, pa.list_(pa.large_list(pa.binary())))
    rows = pa.RecordBatch.from_arrays([nested, nested.slice(0, 4)], ["nested", "other"])
    found = text_column(rows.slice(0), "nested", is_list=True)
    assert found.type == pa.list_(pa.string())
    assert found.cast(pa.list_(pa.binary())).to_pylist() == [[b"a", b"\xff"], None, [], [b"c"]]
    assert text_column(rows, None, is_list=True).null_count == 4
    packed = pa.array([b"\xff", None, b"\xff"]).dictionary_encode()
    assert as_text(packed).cast(pa.binary()).to_pylist() == [b"\xff", None, b"\xff"]


def test_what_spark_reads_otherwise_than_it_is_meant_is_read_by_arrow(tmp_path: Path) -> None:
    table = pq.read_table(write_spark_dump(tmp_path / "d", [listen()]) / "0.parquet")

    def is_fine(name: str | None = None, column: pa.Array | None = None, **options: object) -> bool:
        made = table if name is None else table.append_column(name, column)
        pq.write_table(made, tmp_path / "x.parquet", **({"use_deprecated_int96_timestamps": True} | options))
        return is_for_spark(open_file(tmp_path / "x.parquet"))

    assert is_fine()
    assert is_fine("large", pa.array([["x"]], pa.large_list(pa.large_string())))
    assert is_fine("dictionary", pa.array(["x"]).dictionary_encode())
    assert not is_fine("USER_ID", pa.array([1]))
    assert not is_fine("clock", pa.array([1], pa.time64("us")))
    assert not is_fine("nested", pa.array([[["x"]]]))
    assert not is_fine("struct", pa.array([{"x": 1}]))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "size is 0"),
        (b"PAR1", "bytes"),
        (b"<html>" * 99, "magic"),
        (b"PARE" + b"x" * 99 + b"PARE", ""),
        (b"PAR1" + b"\xff" * 99 + b"PAR1", ""),
    ],
    ids=["empty", "head", "html", "encrypted", "footer"],
)
def test_what_is_no_parquet_is_refused_in_one_line(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "0.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"0\.parquet: expected a complete parquet file, found .*{found}") as told:
        layout(path)
    assert "\n" not in str(told.value)


def test_a_file_with_any_bytes_changed_is_read_or_refused_by_name(tmp_path: Path) -> None:
    drawn = random.Random(7)
    current = write_spark_dump(tmp_path / "new", [listen(n, artist_credit_mbids=["x", "y"]) for n in range(50)])
    older = write_older_dump(
        tmp_path / "old", [(1, "A", "R", "T", "2020-01-04", "15:38")], [pa.int64(), *[pa.string()] * 5]
    )
    told = []
    for folder, form in ((current, CURRENT), (older, OLDER)):
        whole = (folder / "0.parquet").read_bytes()
        for number in range(150):
            broken = bytearray(whole)
            for _ in range(drawn.choice([1, 2, 20])):
                broken[drawn.randrange(len(broken))] = drawn.randrange(256)
            path = tmp_path / f"x{number}.parquet"
            path.write_bytes(broken)
            try:
                check_file(path, form)
                file = open_file(path)
                for rows in batches_of(path, file, file.schema_arrow.names):
                    assert rows.num_rows <= 50
            except InputError as error:
                told.append((str(path), str(error)))
    assert len(told) > 50
    assert all(path in message and "\n" not in message for path, message in told)
