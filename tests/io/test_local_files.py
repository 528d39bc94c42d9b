from __future__ import annotations

import os
from pathlib import Path

import pytest

from musicrec.cli import read_recommendations
from musicrec.entry import run_steps
from musicrec.errors import InputError
from musicrec.io.local_files import SourceFiles, check_root, shown
from tests.conftest import ROOT


@pytest.mark.parametrize(
    "name", ["lake #1?", "50%", "[x", "{x,y}", "a:b", "a+b", "Bjørk 日本", "c*", "a|b^c", "100%zz", "q'\""]
)
def test_a_root_that_every_reader_finds_is_taken(name: str) -> None:
    check_root(f"/data/{name}/lake")


@pytest.mark.parametrize(
    ("name", "found"),
    [("a\\b", r"'\\\\'"), ("a%20b", "'%20'"), ("a\nb", r"'\\n'"), (os.fsdecode(b"R\xf3s"), "other bytes")],
)
def test_a_root_that_apps_would_not_find_is_refused_in_one_line_before_anything_is_written(
    tmp_path: Path, name: str, found: str
) -> None:
    root = tmp_path / name
    overrides = (f"lakehouse.root='''{root}'''",) if name.isprintable() else ()
    if overrides:
        with pytest.raises(InputError, match=r"lakehouse\.root .*: expected a folder without") as told:
            run_steps(["ingest_listens"], ROOT / "conf" / "local.toml", None, overrides, False)
        assert "\n" not in str(told.value)
    for ask in (lambda: check_root(str(root)), lambda: read_recommendations(str(root), "1", "discover")):
        with pytest.raises(InputError, match=rf"^lakehouse\.root .* found {found}$"):
            ask()
    assert not list(tmp_path.iterdir())


def test_a_file_goes_to_spark_under_its_own_name_where_it_can_and_else_as_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "a:b"
    names = ["plain.parquet", "#? %20[x]{a,b}\\.parquet", "a:b.parquet", os.fsdecode(b"R\xf3s.parquet"), "c.listens"]
    paths = [folder / name for name in names]
    folder.mkdir()
    for path in paths:
        path.write_text(shown(path.name))
    copy = tmp_path / "copy.jsonl"
    copy.write_text("copy")
    files = SourceFiles(folder, paths, tmp_path / "staging", {paths[4]: copy})
    assert files.paths[:2] == [f"file://{path}" for path in paths[:2]]
    linked = [Path(given.removeprefix("file://")) for given in files.paths[2:]]
    assert [path.read_text() for path in linked] == ["a:b.parquet", "R\\xf3s.parquet", "copy"]
    assert all(path.name.isascii() and ":" not in path.name for path in linked)
    assert [files.behind[given] for given in files.paths] == paths
    assert SourceFiles(folder, paths, tmp_path / "staging", {paths[4]: copy}).paths == files.paths


def test_a_link_that_cannot_be_made_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "staging").write_text("a file")
    with pytest.raises(InputError, match=r"a:b\.parquet: expected a name without colons"):
        SourceFiles(tmp_path, [tmp_path / "a:b.parquet"], tmp_path / "staging")
