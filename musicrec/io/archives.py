"""Unpacking of tar archives that come from outside: streamed, and never a file outside the target folder."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, cast

import zstandard

from musicrec.errors import InputError

_BLOCK = tarfile.BLOCKSIZE
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile)


def _open_plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _open_gzip(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb"))


def _open_xz(path: Path) -> IO[bytes]:
    return cast(IO[bytes], lzma.open(path, "rb"))


def _open_zstd(path: Path) -> IO[bytes]:
    # A parallel zstd writes several frames one after the other.
    reader = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True, closefd=True)
    return cast(IO[bytes], reader)


_OPENERS: dict[str, Callable[[Path], IO[bytes]]] = {
    ".tar": _open_plain,
    ".tar.gz": _open_gzip,
    ".tgz": _open_gzip,
    ".tar.xz": _open_xz,
    ".txz": _open_xz,
    ".tar.zst": _open_zstd,
}


class _Tail:
    """A stream that remembers the last block it gave: a complete tar ends in a block of zeros."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.last = b""

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if data:
            self.last = (self.last + data)[-_BLOCK:]
        return data


def archive_stem(path: Path) -> str | None:
    """The archive's name without its ending, None where the ending is not one that `extract` reads."""
    for ending in sorted(_OPENERS, key=len, reverse=True):
        if path.name.endswith(ending) and len(path.name) > len(ending):
            return path.name[: -len(ending)]
    return None


def extract(archive: Path, target: Path) -> Path:
    """Unpack a .tar, .tar.gz, .tar.xz or .tar.zst member by member into the new folder `target`, and give it.

    `target` appears only when all is unpacked; an archive that fails leaves nothing behind.

    Raises
    ------
    InputError : the archive is missing, damaged or cut short; a member's name is absolute or has `..`; a member is
        neither a file nor a folder (links and devices could point out of the target); `target` is there already.
    """
    stem = archive_stem(archive)
    if stem is None:
        raise InputError(archive, f"an archive ({', '.join(_OPENERS)})", "another ending")
    if not archive.is_file():
        raise InputError(archive, "an archive", "no such file")
    if target.exists():
        raise InputError(target, "no folder there yet", "one")
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    opener = _OPENERS[archive.name[len(stem) :]]
    try:
        _unpack(archive, opener, unfinished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return unfinished.rename(target)


def _unpack(archive: Path, opener: Callable[[Path], IO[bytes]], folder: Path) -> None:
    try:
        with opener(archive) as stream:
            tail = _Tail(stream)
            with tarfile.open(fileobj=cast(IO[bytes], tail), mode="r|") as tar:
                for member in tar:
                    _write(archive, tar, member, folder)
            while tail.read(1 << 20):  # to the end, so that the checksum of a compressed stream is compared
                pass
    except _DAMAGED as error:
        raise InputError(archive, "a complete tar archive", f"{type(error).__name__}: {error}") from error
    # tarfile takes an archive cut at a member's edge for a complete one, and zstandard a cut stream.
    if tail.last != bytes(_BLOCK):
        raise InputError(archive, "a complete tar archive", "one cut short (no end-of-archive block)")


def _write(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    where = f"{archive}: member {member.name!r}"
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        raise InputError(where, "a name inside the archive's folder", "one that leads out of it")
    path = folder.joinpath(*name.parts)
    try:
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            path.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None
            with source, path.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
        else:
            raise InputError(where, "a file or a folder", "a link, device or other special member")
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(where, "a name that is either a file or a folder", "both") from error
