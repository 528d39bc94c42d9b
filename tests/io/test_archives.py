from __future__ import annotations

import random
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import zstandard

from musicrec.errors import InputError
from musicrec.io import archives
from musicrec.io.archives import archive_stem, extract
from tests.dumps import pack

ENDINGS = (".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".zip")


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
    with pytest.raises(InputError, match=r"cut\.(tar|zip).*complete (tar|zip) archive"):
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


def write_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return path


def zip_info(name: str, mode: int = 0o100644, is_encrypted: bool = False) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.flag_bits = mode << 16, int(is_encrypted)
    return info


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        ("../escaped", 0o100644, "leads out of it"),
        ("/tmp/musicrec-escaped", 0o100644, "leads out of it"),
        ("a\\..\\..\\escaped", 0o100644, "leads out of it"),
        ("link", 0o120777, "a link"),
        ("pipe", 0o010644, "a link"),
        ("x" * 300, 0o100644, "a file that can be written"),
    ],
)
def test_a_member_of_a_zip_that_could_leave_the_target_is_refused(
    tmp_path: Path, name: str, mode: int, message: str
) -> None:
    archive = write_zip(tmp_path / "bad.zip", ("fine", b"x"), (zip_info(name, mode), b"/etc/passwd"))
    with pytest.raises(InputError, match=message) as told:
        extract(archive, tmp_path / "staging" / "bad")
    assert str(archive) in str(told.value)
    assert everything(tmp_path) == {"bad.zip", "staging"}


def test_an_encrypted_or_damaged_zip_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "x.zip", ("a", bytes(range(256)) * 40))
    whole = archive.read_bytes()
    at = whole.index(b"PK\x01\x02") + 8
    archive.write_bytes(whole[:at] + b"\x01" + whole[at + 1 :])
    with pytest.raises(InputError, match="'a': expected a file without a password, found an encrypted one"):
        extract(archive, tmp_path / "t")
    archive.write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:])
    with pytest.raises(InputError, match="complete zip archive"):
        extract(archive, tmp_path / "t")
    # By what its end says, the members lie before its beginning.
    at = whole.rindex(b"PK\x05\x06") + 16
    archive.write_bytes(whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :])
    with pytest.raises(InputError, match="complete zip archive"):
        extract(archive, tmp_path / "t")
    assert everything(tmp_path) == {"x.zip"}


@pytest.mark.parametrize("name", ["a b", "50%", "a%20b", "#1?", "[x", "{x,y}", "a\\b", "a:b", "a+b", "ü日本", "c*"])
@pytest.mark.parametrize("ending", [".tar", ".zip"])
def test_members_of_any_name_come_out(tmp_path: Path, name: str, ending: str) -> None:
    archive = tmp_path / f"{name}{ending}"
    if ending == ".zip":
        write_zip(archive, (f"{name}/{name}.parquet", b"x"))
    else:
        write_tar(archive, (f"{name}/{name}.parquet", b"x"))
    assert everything(extract(archive, tmp_path / "t")) == {name, f"{name}/{name}.parquet"}


def bombs(folder: Path) -> list[Path]:
    zeros, tar = bytes(32 << 20), BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as packed:
        info = tarfile.TarInfo("zeros")
        info.size = len(zeros)
        packed.addfile(info, BytesIO(zeros))
    of_tar, of_blocks = folder / "bomb.tar.zst", folder / "blocks.tar.zst"
    of_tar.write_bytes(zstandard.ZstdCompressor().compress(tar.getvalue()))
    of_blocks.write_bytes(zstandard.ZstdCompressor().compress(zeros))
    sparse = tarfile.TarInfo("sparse")
    sparse.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,1",
        "GNU.sparse.size": str(1 << 40),
    }
    sparse.size = 1
    with tarfile.open(folder / "sparse.tar", "w", format=tarfile.PAX_FORMAT) as packed:
        packed.addfile(sparse, BytesIO(b"x"))
    return [write_zip(folder / "bomb.zip", ("zeros", zeros)), of_tar, of_blocks, folder / "sparse.tar"]


def test_what_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_ALWAYS_ALLOWED", 1 << 20)
    (tmp_path / "made").mkdir()
    for bomb in bombs(tmp_path / "made"):
        with pytest.raises(InputError, match=rf"{bomb.name}: expected at most [\d,]+ bytes unpacked"):
            extract(bomb, tmp_path / "staging" / bomb.name)
    assert everything(tmp_path / "staging") == set()
    monkeypatch.setattr(archives, "_MOST_MEMBERS", 2)
    many = write_zip(tmp_path / "many.zip", *[(str(n), b"") for n in range(3)])
    with pytest.raises(InputError, match=r"many\.zip: expected at most 2 files, found more"):
        extract(many, tmp_path / "staging" / "many")


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_archive_with_any_bytes_changed_is_unpacked_or_refused_by_name(
    tmp_path: Path, dump: Path, ending: str
) -> None:
    drawn, told = random.Random(ending), []
    whole = pack(dump, tmp_path / f"d{ending}").read_bytes()
    for number in range(60):
        broken = bytearray(whole)
        for _ in range(drawn.choice([1, 2, 20])):
            broken[drawn.randrange(len(broken) if number % 2 else min(len(broken), 600))] = drawn.randrange(256)
        archive = tmp_path / f"x{number}{ending}"
        archive.write_bytes(broken)
        try:
            extract(archive, tmp_path / "t" / str(number))
        except InputError as error:
            told.append((str(archive), str(error)))
    assert told
    assert all(archive in message and "\n" not in message for archive, message in told)
