"""Unpacking of archives that come from outside: streamed, never a file outside the target folder, never without end."""

from __future__ import annotations

import errno
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, cast

import zstandard

from musicrec.errors import InputError

_BLOCK = tarfile.BLOCKSIZE
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    gzip.BadGzipFile,
)
# Dumps unpack to some 5 to 30 times their size; what goes far beyond is made to fill disks.
_HIGHEST_RATIO = 200
_ALWAYS_ALLOWED = 256 << 20
_MOST_MEMBERS = 1_000_000
_CHUNK = 1 << 20
_ZIP = ".zip"


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
ARCHIVES = (*_OPENERS, _ZIP)


class Room:
    """How much what is packed may unpack to.

    Parameters
    ----------
    packed : the file.
    folder : where it is unpacked.
    """

    def __init__(self, packed: Path, folder: Path) -> None:
        self._packed = packed
        self._most = max(_ALWAYS_ALLOWED, _HIGHEST_RATIO * packed.stat().st_size)
        self._free = shutil.disk_usage(folder).free
        self._taken = self._members = 0

    def take(self, size: int) -> None:
        """Note so many more bytes.

        Raises
        ------
        InputError : they are more than any dump unpacks to, or than there is room for.
        """
        self._taken += size
        if self._taken > self._most:
            expected = f"at most {self._most:,} bytes unpacked ({_HIGHEST_RATIO} times its size)"
            raise InputError(self._packed, expected, "more")
        if self._taken > self._free:
            raise InputError(self._packed, f"at most the {self._free:,} bytes unpacked that the disk has left", "more")

    def take_member(self) -> None:
        """Note one more file or folder.

        Raises
        ------
        InputError : they are more than any dump has.
        """
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise InputError(self._packed, f"at most {_MOST_MEMBERS:,} files", "more")

    def copy(self, source: IO[bytes], out: IO[bytes]) -> None:
        """Copy to the end, as far as there is room."""
        while chunk := source.read(_CHUNK):
            self.take(len(chunk))
            out.write(chunk)


class _Tail:
    """A stream that remembers the last block it gave: a complete tar ends in a block of zeros."""

    def __init__(self, stream: IO[bytes], room: Room) -> None:
        self._stream = stream
        self._room = room
        self.last = b""

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if data:
            self._room.take(len(data))
            self.last = (self.last + data)[-_BLOCK:]
        return data


def archive_stem(path: Path) -> str | None:
    """The archive's name without its ending, None where the ending is not one that `extract` reads."""
    for ending in sorted(ARCHIVES, key=len, reverse=True):
        if path.name.lower().endswith(ending) and len(path.name) > len(ending):
            return path.name[: -len(ending)]
    return None


def extract(archive: Path, target: Path) -> Path:
    """Unpack a .tar, .tar.gz, .tar.xz, .tar.zst or .zip member by member into the new folder `target`, and give it.

    `target` appears only when all is unpacked; an archive that fails leaves nothing behind.

    Raises
    ------
    InputError : the archive is missing, damaged, cut short or encrypted; a member's name is absolute or has `..`; a
        member is neither a file nor a folder (links and devices could point out of the target); it unpacks to far more
        than dumps do, or than there is room for; `target` is there already.
    """
    stem = archive_stem(archive)
    if stem is None:
        raise InputError(archive, f"an archive ({', '.join(ARCHIVES)})", "another ending")
    if not archive.is_file():
        raise InputError(archive, "an archive", "no such file")
    if target.exists():
        raise InputError(target, "no folder there yet", "one")
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    ending = archive.name[len(stem) :].lower()
    try:
        if ending == _ZIP:
            _unzip(archive, unfinished)
        else:
            _unpack(archive, _OPENERS[ending], unfinished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return unfinished.rename(target)


def _unpack(archive: Path, opener: Callable[[Path], IO[bytes]], folder: Path) -> None:
    read, written = Room(archive, folder), Room(archive, folder)
    try:
        with opener(archive) as stream:
            tail = _Tail(stream, read)
            with tarfile.open(fileobj=cast(IO[bytes], tail), mode="r|") as tar:
                for member in tar:
                    written.take_member()
                    path = _path(archive, member.name, folder)
                    if not (member.isdir() or member.isreg()):
                        raise InputError(_member(archive, member.name), *_KINDS)
                    # A sparse file is longer than what the archive holds of it.
                    _write(archive, path, tar.extractfile(member) if member.isreg() else None, written)
            while tail.read(_CHUNK):  # to the end, so that the checksum of a compressed stream is compared
                pass
    except DAMAGED as error:
        raise InputError(archive, "a complete tar archive", f"{type(error).__name__}: {error}") from error
    # tarfile takes an archive cut at a member's edge for a complete one, and zstandard a cut stream.
    if tail.last != bytes(_BLOCK):
        raise InputError(archive, "a complete tar archive", "one cut short (no end-of-archive block)")


def _unzip(archive: Path, folder: Path) -> None:
    room = Room(archive, folder)
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                room.take_member()
                path = _path(archive, member.filename, folder)
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise InputError(_member(archive, member.filename), *_KINDS)
                if member.flag_bits & 1:
                    raise InputError(_member(archive, member.filename), "a file without a password", "an encrypted one")
                _write(archive, path, None if member.is_dir() else packed.open(member), room)
    except (*DAMAGED, NotImplementedError, UnicodeDecodeError, OSError) as error:
        # A directory that points before the file's beginning.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise InputError(archive, "a complete zip archive", f"{type(error).__name__}: {error}") from error


_KINDS = ("a file or a folder", "a link, device or other special member")


def _member(archive: Path, name: str) -> str:
    return f"{archive}: member {name!r}"


def _path(archive: Path, name: str, folder: Path) -> Path:
    """Where a member goes. A backslash is a letter here, but not everywhere."""
    parts = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or ".." in re.split(r"[/\\]", name) or "\0" in name:
        raise InputError(_member(archive, name), "a name inside the archive's folder", "one that leads out of it")
    return folder.joinpath(*parts)


def _write(archive: Path, path: Path, source: IO[bytes] | None, room: Room) -> None:
    """Write a file, or where there is no source make a folder."""
    try:
        if source is None:
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with source, path.open("wb") as out:
            room.copy(source, out)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(_member(archive, path.name), "a name that is either a file or a folder", "both") from error
    except gzip.BadGzipFile:
        raise
    except OSError as error:
        raise InputError(_member(archive, path.name), "a file that can be written", str(error.strerror)) from error
