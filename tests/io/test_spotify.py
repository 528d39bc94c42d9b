from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from musicrec.errors import InputError
from musicrec.io.spotify import Catalogue, arrow_rows, find_catalogues, read_catalogues
from musicrec.io.spotify_schemas import CATALOGUE_SCHEMAS
from tests.catalogues import write_catalogue


def test_every_layout_is_known_by_its_columns_whatever_the_file_is_called(tmp_path: Path) -> None:
    for place, name in enumerate(CATALOGUE_SCHEMAS):
        write_catalogue(
            tmp_path / f"f{place}", name, name="data.csv" if place % 2 else "data.CSV.gz", bom=place % 3 == 0
        )
    (tmp_path / "readme.txt").write_text("not a CSV")
    found = find_catalogues([str(tmp_path)])
    assert [c.schema_name for c in found] == list(CATALOGUE_SCHEMAS)
    assert {c.kind for c in found} == {"tracks", "artists", "play_counts"}


def test_one_content_is_one_source_wherever_it_lies_and_however_packed(tmp_path: Path) -> None:
    plain = write_catalogue(tmp_path / "a", "hit_predictor")
    packed = write_catalogue(tmp_path / "b", "hit_predictor", name="again.csv.gz")
    other = write_catalogue(tmp_path / "c", "hit_predictor", rows=[{"track": "t", "artist": "a", "uri": "x:y:z"}])
    found = find_catalogues([str(tmp_path), str(plain), str(packed), str(other)])
    assert {c.path for c in found} == {str(plain), str(other)}
    alone = {path: find_catalogues([str(path)])[0].source_id for path in (plain, packed, other)}
    assert alone[plain] == alone[packed] != alone[other]
    assert [c.source_id for c in found] == sorted({*alone.values()})


def rows_of(path: Path) -> list[dict[str, Any]]:
    [catalogue] = find_catalogues([str(path)])
    return [row for batch in arrow_rows(catalogue) for row in batch.to_pylist()]


def test_rows_are_those_of_the_csv_module_with_their_lines(spark: SparkSession, tmp_path: Path) -> None:
    """Two files of one header and one of another, as Spark's tasks read them."""
    plain = write_catalogue(tmp_path, "spotify_songs", bom=True)
    packed = write_catalogue(tmp_path, "spotify_songs", name="b.csv.gz", append="short,row\n")
    other = write_catalogue(tmp_path, "artists")
    found = {}
    read = read_catalogues(spark, find_catalogues([str(tmp_path)]))
    assert [name for name, _ in read] == ["spotify_songs", "artists"]
    for _, rows in read:
        for row in rows.collect():
            found.setdefault(row["_file"], []).append(row.asDict())
    for path in (plain, packed, other):
        opener = gzip.open if path.name.endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text)
            expected, lines = [], []
            before = 1
            for row in reader:
                expected.append({name: value or None for name, value in row.items()})
                lines.append((before + 1, reader.line_num - before))
                before = reader.line_num
        own = [{k: v for k, v in row.items() if not k.startswith("_")} for row in found[str(path)]]
        faulty = [row["_fault"] for row in found[str(path)]]
        if path == packed:
            assert faulty.pop() == "malformed"
            assert found[str(path)][-1]["_corrupt_record"] == "short,row"
            own.pop(), expected.pop()
        assert own == expected
        assert not any(faulty)
        assert [(row["_line"], row["_lines"]) for row in found[str(path)]] == lines


COLUMNS = ("track_id", "user_id", "playcount")


def history(tmp_path: Path, content: bytes | str, name: str = "history.csv") -> list[tuple[Any, ...]]:
    """The rows of a listening history: their three columns, or what is wrong with them."""
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [(row["_fault"],) if row["_fault"] else tuple(row[c] for c in COLUMNS) for row in rows_of(path)]


def test_a_file_is_read_in_the_encoding_it_has_however_far_down_it_shows(tmp_path: Path) -> None:
    header, plain = "track_id,user_id,playcount\n", f"t,{'u' * 1000},1\n" * 3_000
    far = f"{header}{plain}t,Sigur Rós – “Á”,2\n"
    for encoding in ("utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32"):
        assert history(tmp_path, far.encode(encoding))[-1] == ("t", "Sigur Rós – “Á”", "2"), encoding
    latin = f"{header}{plain}t,Sigur Rós,2\n".encode("latin-1")
    assert history(tmp_path, latin)[-1] == ("t", "Sigur Rós", "2")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # UTF-8 with a line that is not.
        ("t,Björk,1\n".encode() + b"t,Sigur R\xf3s,2\nt,u,3\n",
         [("t", "Björk", "1"), ("bad_encoding",), ("t", "u", "3")]),
        # Other alphabets have whole words of odd bytes.
        ("t,Земфира,1\nt,u,2\n".encode("cp1251"), [("bad_encoding",), ("t", "u", "2")]),
        ("t,周杰伦,1\nt,u,2\n".encode("gbk"), [("bad_encoding",), ("t", "u", "2")]),
        ("t,ブルーハーツ,1\nt,u,2\n".encode("shift_jis"), [("bad_encoding",), ("t", "u", "2")]),
        # DOS and old Macs have their letters where Windows has signs and capitals.
        ("t,Beyoncé,1\nt,u,2\n".encode("cp437"), [("bad_encoding",), ("t", "u", "2")]),
        ("t,Björk,1\nt,u,2\n".encode("cp850"), [("bad_encoding",), ("t", "u", "2")]),
        ("t,Beyoncé,1\nt,u,2\n".encode("mac_roman"), [("bad_encoding",), ("t", "u", "2")]),
        # Signs where Western text has them.
        ("t,“Ain’t” d’Été – l·l…,1\nt,Œuvre Ž „a‚ 1ª ¿Sí?,2\n".encode("cp1252"),
         [("t", "“Ain’t” d’Été – l·l…", "1"), ("t", "Œuvre Ž „a‚ 1ª ¿Sí?", "2")]),
        # Files that were put together, each with its mark.
        ('t,u,1\n\ufeff"t","v, w",2\n'.encode(), [("t", "u", "1"), ("t", "v, w", "2")]),
        # Surrogates, overlong forms and cut letters are no UTF-8.
        (b"t,\xed\xa0\xbd,1\nt,\xc0\xaf,1\nt,\xe2\x98,1\nt,\xe2\x98\x83,1\n",
         [("bad_encoding",), ("bad_encoding",), ("bad_encoding",), ("t", "☃", "1")]),
    ],
)  # fmt: skip
def test_a_line_of_another_encoding_is_refused_by_itself(tmp_path: Path, rows: bytes, expected: list) -> None:
    assert history(tmp_path, b"track_id,user_id,playcount\n" + rows) == expected


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Track_ID, user_id ,PLAYCOUNT", "t,u,1"),
        ('"track_id","user_id","playcount"', '"t","u","1"'),
        ("\ufeff\ufefftrack_id,user_id,playcount", "t,u,1"),
        ('\ufeff\ufeff"track_id",user_id,playcount', "t,u,1"),
        ("track_id\u00a0,\u2003user_id,\u200bplaycount\u00ad", "t,u,1"),
        ("track_id;user_id;playcount", "t;u;1"),
        ("track_id\tuser_id\tplaycount", "t\tu\t1"),
        ("track_id|user_id|playcount", "t|u|1"),
        ("TRACK_ID,track_id,user_id,playcount", "x,t,u,1"),
        ("_corrupt_record,_file,_line,_reason,track_id,user_id,playcount", "a,b,c,d,t,u,1"),
        ("a`b,c.d,`,track_id,user_id,playcount", "a,b,c,t,u,1"),
        ("x,X,x,,,track_id,user_id,playcount", "a,b,c,d,e,t,u,1"),
        ("\n\ntrack_id,user_id,playcount", "t,u,1"),
        ('"multi\nline",track_id,user_id,playcount', "a,t,u,1"),
    ],
)
def test_headers_that_differ_in_what_means_nothing_are_known(tmp_path: Path, header: str, row: str) -> None:
    assert history(tmp_path, f"{header}\n{row}\n") == [("t", "u", "1")]
    [catalogue] = find_catalogues([str(tmp_path)])
    lowered = [name.lower() for name in catalogue.columns]
    assert len(set(lowered)) == len(lowered)


@pytest.mark.parametrize(
    "name",
    ["Music Info.csv", "100%.csv", "a%20b.csv", "#1.csv", "[ab].csv", "{x,y}.csv", "back\\slash.csv", "co:lon.csv",
     "pl+us.CSV", "é☀.csv", "?*.csv", "new\nline.csv", " .csv", b"\xff\xf3.csv", "$HOME~.csv", "a=b.csv", "_x.csv"],
)  # fmt: skip
def test_any_name_of_a_file_and_folder_is_read(tmp_path: Path, name: str | bytes) -> None:
    text = os.fsdecode(name) if isinstance(name, bytes) else name
    folder = tmp_path / text.removesuffix(".csv")
    folder.mkdir()
    assert history(folder, "track_id,user_id,playcount\nt,u,1\n", text) == [("t", "u", "1")]
    [catalogue] = find_catalogues([str(tmp_path)])
    for said in (catalogue.name, catalogue.shown_path, str(rows_of(folder / text)[0]["_file"])):
        said.encode()


def test_packed_files_are_the_same_source_as_plain_ones(tmp_path: Path) -> None:
    content = write_catalogue(tmp_path, "artists").read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("data/artists.csv", content)
        packed.writestr("__MACOSX/data/._artists.csv", b"\0\1")
    for name, data in {
        "a.csv.bz2": bz2.compress(content),
        "a.csv.xz": lzma.compress(content),
        "a.csv.zip": archive.getvalue(),
        "._artists.csv": b"\0\1",
    }.items():
        (tmp_path / name).write_bytes(data)
    assert len(find_catalogues([str(tmp_path)])) == 1
    for name in ("a.csv.bz2", "a.csv.xz", "a.csv.zip"):
        assert len(rows_of(tmp_path / name)) == 3
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
        assert str(tmp_path / name) in refusal(tmp_path / name)
    version = archive.getvalue().replace(b"PK\1\2\x14\3\x14", b"PK\1\2\x14\3\xff")
    (tmp_path / "a.csv.zip").write_bytes(version)
    assert "an archive that can be unpacked" in refusal(tmp_path / "a.csv.zip")


def refusal(*sources: Path) -> str:
    with pytest.raises(InputError) as raised:
        find_catalogues([str(source) for source in sources])
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_bad_files_are_refused_in_one_line_that_names_them(tmp_path: Path) -> None:
    near = tmp_path / "near.csv"
    near.write_text("track,artist,uri,danceability\na,b,c,1\n")
    assert str(near) in refusal(near)
    assert "missing: energy" in refusal(near)
    assert "track, artist, uri, danceability" in refusal(near)

    unknown = tmp_path / "unknown.csv"
    unknown.write_text("alpha,beta\n1,2\n")
    assert "spotify_1million" in refusal(unknown)
    assert "alpha, beta" in refusal(unknown)

    twice = write_catalogue(tmp_path, "artists", name="twice.csv")
    twice.write_text("id,id,followers,genres,name,popularity\n1,1,1,[],a,1\n")
    assert "id again" in refusal(twice)
    twice.write_text("Id,ID,followers,genres,name,popularity\n1,1,1,[],a,1\n")
    assert "Id, ID: id again" in refusal(twice)
    (tmp_path / "binary.csv").write_bytes(b"PK\3\4\0\0,\0")
    assert "zero bytes" in refusal(tmp_path / "binary.csv")
    (tmp_path / "wide.csv").write_text(",".join(f"column{n}" for n in range(100_000)) + "\n1\n")
    assert len(refusal(tmp_path / "wide.csv")) < 1_000
    (tmp_path / "half.csv").write_bytes("id,name\n1,2".encode("utf-16")[:-1])
    assert "utf-16" in refusal(tmp_path / "half.csv")

    for name, content in {"zero.csv": b"", "zero.csv.gz": gzip.compress(b""), "latin.csv": b"a,\xe9\n1,2\n"}.items():
        (tmp_path / name).write_bytes(content)
    assert "an empty file" in refusal(tmp_path / "zero.csv")
    assert "an empty file" in refusal(tmp_path / "zero.csv.gz")
    assert "a, é (read as cp1252, since they are not UTF-8)" in refusal(tmp_path / "latin.csv")
    assert "rows under the header" in refusal(write_catalogue(tmp_path, "artists", rows=[], name="header.csv"))


def test_what_is_not_there_or_broken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "none in it" in refusal(tmp_path / "empty")
    assert "nothing there" in refusal(tmp_path / "missing")
    good = write_catalogue(tmp_path, "artists", name="good.csv.gz")
    assert str(tmp_path / "missing") in refusal(good, tmp_path / "missing")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(good.read_bytes()[:-12])
    assert "a whole .csv.gz file" in refusal(cut)
    assert "too long" in refusal(tmp_path / ("x" * 300))
    many = write_catalogue(tmp_path, "artists", name="many.csv")
    many.write_text("id,followers,genres,name,popularity," + ",".join(f"c{n}" for n in range(2_000)) + "\n1\n")
    assert "at most 1000 columns, found 2005" in refusal(many)
    text = tmp_path / "notes.txt"
    text.write_text("x")
    assert "another name" in refusal(text)


def test_a_catalogue_is_hashable_and_ordered_alike_each_time(tmp_path: Path) -> None:
    paths = [write_catalogue(tmp_path, name) for name in ("artists", "hit_predictor", "spotify_songs")]
    forth, back = find_catalogues([str(p) for p in paths]), find_catalogues([str(p) for p in reversed(paths)])
    assert forth == back
    assert len(set(forth)) == 3
    assert all(isinstance(c, Catalogue) for c in forth)
