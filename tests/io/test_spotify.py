from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from musicrec.errors import InputError
from musicrec.io.spotify import Catalogue, find_catalogues, read_catalogue
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


@pytest.mark.parametrize("name", ["spotify_songs.csv", "spotify_songs.csv.gz"])
def test_rows_are_those_of_the_csv_module(spark: SparkSession, tmp_path: Path, name: str) -> None:
    path = write_catalogue(tmp_path, "spotify_songs", name=name, bom=True)
    opener = gzip.open if name.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as text:
        expected = [tuple(v or None for v in row.values()) for row in csv.DictReader(text)]
    [catalogue] = find_catalogues([str(path)])
    rows = read_catalogue(spark, catalogue)
    found = rows.drop("_corrupt_record", "_file", "_source_id").collect()
    assert sorted(map(str, (tuple(r) for r in found))) == sorted(map(str, expected))
    marks = {(r["_file"], r["_source_id"], r["_corrupt_record"]) for r in rows.collect()}
    assert marks == {(str(path), catalogue.source_id, None)}


def test_a_row_with_too_few_or_too_many_columns_is_marked(spark: SparkSession, tmp_path: Path) -> None:
    path = write_catalogue(tmp_path, "user_listening_history", append="t,u\nt,u,1,2,3\n")
    [catalogue] = find_catalogues([str(path)])
    marks = [r["_corrupt_record"] for r in read_catalogue(spark, catalogue).collect()]
    assert marks == [None, None, None, None, "t,u", "t,u,1,2,3"]


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

    for name, content in {"zero.csv": b"", "zero.csv.gz": gzip.compress(b""), "latin.csv": b"a,\xe9\n1,2\n"}.items():
        (tmp_path / name).write_bytes(content)
    assert "an empty file" in refusal(tmp_path / "zero.csv")
    assert "an empty file" in refusal(tmp_path / "zero.csv.gz")
    assert "UTF-8" in refusal(tmp_path / "latin.csv")
    assert "rows under the header" in refusal(write_catalogue(tmp_path, "artists", rows=[], name="header.csv"))


def test_what_is_not_there_or_broken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "none in it" in refusal(tmp_path / "empty")
    assert "nothing there" in refusal(tmp_path / "missing")
    good = write_catalogue(tmp_path, "artists", name="good.csv.gz")
    assert str(tmp_path / "missing") in refusal(good, tmp_path / "missing")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(good.read_bytes()[:-12])
    assert "whole gzip file" in refusal(cut)
    text = tmp_path / "notes.txt"
    text.write_text("x")
    assert "another name" in refusal(text)


def test_a_catalogue_is_hashable_and_ordered_alike_each_time(tmp_path: Path) -> None:
    paths = [write_catalogue(tmp_path, name) for name in ("artists", "hit_predictor", "spotify_songs")]
    forth, back = find_catalogues([str(p) for p in paths]), find_catalogues([str(p) for p in reversed(paths)])
    assert forth == back
    assert len(set(forth)) == 3
    assert all(isinstance(c, Catalogue) for c in forth)
