"""Arrays that every task reads from one file on its executor, mapped into memory, not copied into each worker."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession

Array = NDArray[Any]

_MARK = b"musicrec"
_ALIGNMENT = 64
# What pickle writes before the bytes of a long bytes object: two bytes of protocol, an opcode, the length.
_PICKLE_HEAD, _PICKLE_HEAD_LONG = 7, 11


class SharedArrays:
    """Broadcast arrays, read-only.

    Spark hands a Python broadcast to each executor once, as a file with the pickle of its value, and removes it with
    the broadcast. A bytes object lies in a pickle as it is, so the workers of an executor can all map that file: they
    share its pages. Where there is no such file (Spark's encryption is on), each worker holds a copy.

    Parameters
    ----------
    session : whose executors get them.
    arrays : one-dimensional arrays by name.
    """

    def __init__(self, session: SparkSession, arrays: Mapping[str, Array]) -> None:
        flat = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        size = sum(array.nbytes + _ALIGNMENT for array in flat.values()) + _ALIGNMENT
        head = _PICKLE_HEAD if size < 2**32 else _PICKLE_HEAD_LONG
        parts, at = [_MARK], len(_MARK)
        self._places: dict[str, tuple[str, int, int]] = {}
        for name, array in flat.items():
            gap = -(head + at) % _ALIGNMENT
            parts += [b"\0" * gap, array.tobytes()]
            self._places[name] = (array.dtype.str, len(array), at + gap)
            at += gap + array.nbytes
        self._shared = session.sparkContext.broadcast(b"".join(parts))

    def read(self) -> dict[str, Array]:
        """The arrays by name, for as long as any of them is used; call it in a task."""
        memory, start = self._mapped() or (self._shared.value, 0)
        return {
            name: _read_only(np.frombuffer(memory, np.dtype(kind), length, start + at))
            for name, (kind, length, at) in self._places.items()
        }

    def destroy(self) -> None:
        """Remove them from the executors and the driver."""
        self._shared.destroy()

    def _mapped(self) -> tuple[mmap.mmap, int] | None:
        path = getattr(self._shared, "_path", None)
        if path is None or not Path(path).is_file():
            return None
        with open(path, "rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = memory.find(_MARK, 0, _ALIGNMENT)
        return None if start < 0 else (memory, start)


def _read_only(array: Array) -> Array:
    """Aligned, and read-only like a mapped one, so that kernels are compiled for one kind of array."""
    if not array.flags.aligned:
        array = array.copy()
    array.setflags(write=False)
    return array
