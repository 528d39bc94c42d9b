from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from musicrec.errors import InputError
from musicrec.io.archives import archive_stem, extract
from tests.dumps import pack

ENDINGS = (".tar", ".tar.gz", ".tar.xz", ".tar.zst")


def write_tar(path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, BytesIO(member[1]))
    return path


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    folder = tmp_path / "made" / "dump"
    (folder / "listens" / "2021").mkdir(parents=True)
    (folder / "listens" / "2021" / "8.listens").write_bytes(bytes(range(256)) * 300)
    (folder / "END_TIMESTAMP").write_text("2021-08-07")
    (folder / "empty").write_text("")
    return folder


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_was_packed_comes_out(tmp_path: Path, dump: Path, ending: str) -> None:
    target = extract(pack(dump, tmp_path / f"d{ending}"), tmp_path / "staging" / "d")
    assert everything(target / "dump") == everything(dump)
    for path in (p for p in dump.rglob("*") if p.is_file()):
        assert (target / "dump" / path.relative_to(dump)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "bad",
    [
        ("../escaped", b"x"),
        ("inside/../../escaped", b"x"),
        ("/tmp/musicrec-escaped", b"x"),
        special("link", tarfile.SYMTYPE),
        special("hard", tarfile.LNKTYPE),
        special("device", tarfile.CHRTYPE),
        special("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda bad: bad.name if isinstance(bad, tarfile.TarInfo) else bad[0],
)
def test_a_member_that_could_leave_the_target_is_refused(
    tmp_path: Path, bad: tarfile.TarInfo | tuple[str, bytes]
) -> None:
    archive = write_tar(tmp_path / "bad.tar", ("fine", b"fine"), bad)
    name = bad.name if isinstance(bad, tarfile.TarInfo) else bad[0]
    with pytest.raises(InputError) as caught:
        extract(archive, tmp_path / "staging" / "bad")
    assert str(archive) in str(caught.value)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert everything(tmp_path) == {"bad.tar", "staging"}
    assert not Path("/tmp/musicrec-escaped").exists()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("keep", [0, 1, 0.3, 0.6, 0.9])
def test_an_archive_cut_short_is_refused(tmp_path: Path, dump: Path, ending: str, keep: float) -> None:
    archive = pack(dump, tmp_path / f"cut{ending}")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    with pytest.raises(InputError, match=r"cut\.tar.*complete tar archive"):
        extract(archive, tmp_path / "staging" / "cut")
    assert everything(tmp_path / "staging") == set()


def test_an_archive_cut_at_a_members_edge_is_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "edge.tar", ("a", b"x" * 512), ("b", b"y" * 512))
    archive.write_bytes(archive.read_bytes()[:1024])
    with pytest.raises(InputError, match="cut short"):
        extract(archive, tmp_path / "staging" / "edge")


def test_the_wrong_kind_of_file_and_a_taken_target_are_refused(tmp_path: Path, dump: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("x")
    with pytest.raises(InputError, match=r"notes\.txt: expected an archive"):
        extract(text, tmp_path / "t")
    with pytest.raises(InputError, match="no such file"):
        extract(tmp_path / "gone.tar", tmp_path / "t")
    with pytest.raises(InputError, match="no folder there yet"):
        extract(pack(dump, tmp_path / "d.tar"), dump)
    assert (dump / "END_TIMESTAMP").exists()


def test_a_name_that_is_both_file_and_folder_is_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "both.tar", ("a", b"x"), ("a/b", b"y"))
    with pytest.raises(InputError, match="both"):
        extract(archive, tmp_path / "t")


def test_the_stem_of_an_archive() -> None:
    assert archive_stem(Path("x-1.2.tar.zst")) == "x-1.2"
    assert archive_stem(Path("x.tar")) == "x"
    assert archive_stem(Path("x.zip")) == archive_stem(Path("x.ZIP")) == "x"
    assert archive_stem(Path("x.rar")) is None
    assert archive_stem(Path(".tar")) is None
