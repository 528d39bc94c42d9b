"""Snapshots of windows read into torch tensors through petastorm; needs no Spark."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from petastorm import make_batch_reader

from musicrec.errors import InputError
from musicrec.io.prefetch import ahead
from musicrec.io.snapshot_files import Block, Snapshot, open_snapshot

__all__ = ["Snapshot", "SnapshotSource", "open_snapshot", "read_row_groups"]

# petastorm 0.13 still calls pyarrow's old dataset API, which warns at each file; the pins keep that API.
warnings.filterwarnings("ignore", category=FutureWarning, module="petastorm")

IntArray = npt.NDArray[np.int32]
Windows = tuple[torch.Tensor, torch.Tensor]

# Windows that are shuffled together in each epoch, rounded to whole batches; rows are in hash order on disk already.
_SHUFFLE_ROWS = 65_536
# Spans that the reading thread may be ahead by, beside the one that it fills.
_AHEAD = 1
# petastorm gives out three row groups a worker and then sleeps for 10 ms, which would be the limit with one.
_WORKERS = 3


class SnapshotSource:
    """A snapshot's windows as batches, shuffled anew each epoch by (seed, epoch).

    Rows are shuffled within 65,536, rounded down to whole batches. Several trainers share out the row groups and make
    as many steps each: one that has no more rows goes on with batches of one window without an event.

    Parameters
    ----------
    batch_size : rows in a step, over all trainers together; the last batch may have fewer.
    seed : of the order; None to keep that on disk.
    rank, world : this trainer's number and how many there are.
    prefetch : read ahead in a thread, which ends with the iteration.

    Raises
    ------
    InputError : `batch_size` cannot be shared out evenly, or the snapshot has fewer row groups than there are trainers.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        batch_size: int,
        seed: int | None,
        rank: int = 0,
        world: int = 1,
        prefetch: bool = True,
    ) -> None:
        if batch_size % world:
            raise InputError("training.batch_size", f"a multiple of the {world} trainers", str(batch_size))
        if 0 < len(snapshot.blocks) < world:
            raise InputError(snapshot.folder, f"a row group for each of {world} trainers", str(len(snapshot.blocks)))
        self._snapshot, self._seed, self._rank, self._world = snapshot, seed, rank, world
        self._batch, self._prefetch = batch_size // world, prefetch
        self._own = snapshot.blocks[rank::world]
        self._own_rows = sum(block.rows for block in self._own)

    def steps(self) -> int:
        """Batches in an epoch; the same for all trainers."""
        shards = (self._snapshot.blocks[shard :: self._world] for shard in range(self._world))
        return -(-max(sum(block.rows for block in shard) for shard in shards) // self._batch)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Windows]:
        """The epoch's batches from number `start` on: (items int32 [rows, length], first_target int32 [rows]).

        Contiguous CPU tensors, in pinned memory where there is a GPU.

        Raises
        ------
        InputError : the snapshot's files are gone or damaged, or hold an item outside its catalogue.
        """
        made = self._spans(epoch, start)
        with closing(ahead(made, _AHEAD) if self._prefetch else made) as spans:
            for items, first in spans:
                for at in range(0, len(items), self._batch):
                    yield items[at : at + self._batch], first[at : at + self._batch]
        own_steps = -(-self._own_rows // self._batch)
        for _ in range(max(start, own_steps), self.steps()):
            length = self._snapshot.length
            # It has plays, so no model meets a row of padding only, but no place to predict.
            yield torch.zeros(1, length, dtype=torch.int32), torch.full((1,), length, dtype=torch.int32)

    def _spans(self, epoch: int, start: int) -> Generator[Windows, None, None]:
        """The shard's rows from batch `start` on in the epoch's order, a span of whole batches at a time."""
        span, length = _whole(_SHUFFLE_ROWS, self._batch), self._snapshot.length
        number, done = divmod(start * self._batch, span)
        size = min(span, max(self._own_rows - number * span, 0))
        # One buffer for all spans: memory that is written for the first time costs more than the copy.
        items, first = np.empty((size, length), np.int32), np.empty(size, np.int32)
        held = 0
        for group_items, group_first in self._windows(number * span):
            at = 0
            while at < len(group_first):
                taken = min(size - held, len(group_first) - at)
                items[held : held + taken] = group_items[at : at + taken]
                first[held : held + taken] = group_first[at : at + taken]
                held, at = held + taken, at + taken
                if held == size:
                    order = self._order(size, epoch, number)[done:]
                    yield _taken(items, order), _taken(first, order)
                    held, number, done = 0, number + 1, 0
                    size = min(span, self._own_rows - number * span)

    def _order(self, size: int, epoch: int, number: int) -> npt.NDArray[np.int64]:
        """The rows of a span as they are given out."""
        if self._seed is None:
            return np.arange(size)
        return np.random.default_rng([self._seed, epoch, number]).permutation(size)

    def _windows(self, start: int) -> Iterator[tuple[IntArray, IntArray]]:
        """This shard's windows from number `start` on, in the order on disk; row groups before it are not read."""
        blocks, ends = self._snapshot.blocks, np.cumsum([0, *(block.rows for block in self._own)])
        if start >= self._own_rows:
            return
        skipped = int(np.searchsorted(ends, start, side="right")) - 1
        at = self._rank + skipped * self._world
        # petastorm refuses a list with fewer row groups than shards.
        file = blocks[min(at, len(blocks) - self._world)].file
        listed = next(i for i, block in enumerate(blocks) if block.file == file)
        files = list(dict.fromkeys(block.file for block in blocks[listed:]))
        shard = (self._rank - listed) % self._world
        expected = blocks[listed + shard :: self._world]
        wanted = blocks[at :: self._world]
        cut = start - int(ends[skipped])
        with closing(read_row_groups(files, len(expected), _WORKERS, (shard, self._world))) as groups:
            waiting: dict[int, Any] = {}
            for block in wanted:
                # Several workers finish in any order.
                while block.number not in waiting:
                    group = next(groups)
                    waiting[int(group.block[0])] = group
                items, first = self._checked(waiting.pop(block.number), block)
                yield items[cut:], first[cut:]
                cut = 0

    def _checked(self, group: Any, block: Block) -> tuple[IntArray, IntArray]:
        """The windows of a row group as arrays.

        Raises
        ------
        InputError : they are not as many as there should be, or hold an item outside the catalogue.
        """
        folder, length, n_items = self._snapshot.folder, self._snapshot.length, self._snapshot.n_items
        items, first = (np.frombuffer(value, "<i4") for value in (group.items[0], group.first_target[0]))
        if len(first) != block.rows or len(items) != block.rows * length:
            raise InputError(block.file, f"{block.rows} windows of {length} places", f"{len(items)} items")
        if items.max() >= n_items or items.min() < -1:
            found = max(items.max(), items.min(), key=abs)
            raise InputError(folder, f"item_idx below {n_items}, or -1 for padding", str(found))
        return items.reshape(-1, length), first


def read_row_groups(
    files: list[str], count: int, workers: int, shard: tuple[int, int] | None = None
) -> Generator[Any, None, None]:
    """Row groups as petastorm reads them: an array for each column. With several workers, in any order.

    Parameters
    ----------
    files : parquet files on local disk.
    count : row groups that there are to read.
    shard : (number, of how many): only each n-th row group.

    Raises
    ------
    InputError : there are fewer, or they cannot be read.
    """
    where = Path(files[0]).parent.parent
    try:
        with _as_urls(files) as urls:
            yield from _row_groups(where, urls, count, workers, shard)
    except (OSError, pa.ArrowException) as error:
        raise InputError(where, "parquet files that can be read", str(error)) from error


@contextmanager
def _as_urls(files: list[str]) -> Iterator[list[str]]:
    """URLs for petastorm, which takes `#` and `?` in a folder's name for parts of a URL: there by way of a link."""
    paths = [Path(file).absolute() for file in files]
    folder = paths[0].parent.parent
    if not set(str(folder)) & set("#?\n\r\t"):
        yield [f"file://{path}" for path in paths]
        return
    with TemporaryDirectory(prefix="musicrec-") as made:
        link = Path(made) / "snapshot"
        link.symlink_to(folder)
        yield [f"file://{link / path.relative_to(folder)}" for path in paths]


def _row_groups(
    where: Path, urls: list[str], count: int, workers: int, shard: tuple[int, int] | None
) -> Generator[Any, None, None]:
    reader = make_batch_reader(
        urls,
        reader_pool_type="thread",
        workers_count=workers,
        shuffle_row_groups=False,
        convert_early_to_numpy=True,
        num_epochs=1,
        cur_shard=shard and shard[0],
        shard_count=shard and shard[1],
    )
    try:
        for number in range(count):
            group = next(reader, None)
            # Where its workers are idle when the last row groups are given out, it may say that it is at its end
            # with those still under way; asked again it knows better.
            group = next(reader, None) if group is None else group
            if group is None:
                raise InputError(where, f"{count} row groups", str(number))
            yield group
    finally:
        # Not `with reader:`, whose end prints a line about a cache that is not used here.
        reader.stop()
        reader.join()


def _taken(values: IntArray, order: npt.NDArray[np.int64]) -> torch.Tensor:
    """A tensor of these rows, in pinned memory where there is a GPU.

    By numpy, whose `take` lets other threads run, and which asks for huge pages: less time is lost to first writes.
    """
    shape = (len(order), *values.shape[1:])
    if torch.cuda.is_available():
        made = torch.empty(shape, dtype=torch.int32, pin_memory=True)
    else:
        made = torch.from_numpy(np.empty(shape, np.int32))
    np.take(values, order, axis=0, out=made.numpy(), mode="clip")
    return made


def _whole(rows: int, batch: int) -> int:
    """So many rows, rounded down to whole batches of which there is at least one."""
    return max(rows // batch, 1) * batch
