"""What a snapshot's folder holds, by its footers and `_snapshot.json`. Needs no Spark.

There is a folder `bucket=00007` with one parquet file for each bucket of windows, and `_snapshot.json`, written last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import InputError
from musicrec.io.packing import Layout, block_number, bucket_folder

FACTS = "_snapshot.json"
# Raised whenever the files change in kind; a snapshot of another format is written anew.
FORMAT = 2


@dataclass(frozen=True)
class Bucket:
    """What a bucket holds: its windows and a digest of them that does not depend on their order."""

    rows: int
    digest: str


@dataclass(frozen=True)
class Facts:
    """What `_snapshot.json` says.

    Attributes
    ----------
    version : the Delta version of silver.sequences.
    n_items : size of the catalogue; every item is below.
    contents : by bucket; those without a window are left out.
    """

    layout: Layout
    version: int
    n_items: int
    contents: Mapping[int, Bucket]


@dataclass(frozen=True)
class Block:
    """A row group: its file, its number in the column `block`, its windows."""

    file: str
    number: int
    rows: int


@dataclass(frozen=True)
class Snapshot:
    """Where a snapshot is and what it holds.

    Attributes
    ----------
    folder : of the parquet files.
    length : places in a window.
    rows : windows.
    version : the Delta version of silver.sequences that it was made from.
    n_items : size of the catalogue; every item is below.
    blocks : the row groups in the order in which they are read; with several readers each n-th is one's own.
    """

    folder: str
    length: int
    rows: int
    version: int
    n_items: int
    blocks: tuple[Block, ...]


def open_snapshot(folder: Path) -> Snapshot:
    """The snapshot that was written to `folder`.

    Raises
    ------
    InputError : the folder holds none, or its parquet files are not those of its `_snapshot.json`.
    """
    facts = read_facts(folder)
    if facts is None:
        raise InputError(folder, f"a snapshot with {FACTS}", "none")
    blocks = []
    for bucket, content in sorted(facts.contents.items()):
        place = folder / bucket_folder(bucket)
        files = sorted(place.glob("*.parquet"))
        if len(files) != 1:
            raise InputError(place, "one parquet file", str(len(files)))
        sizes = _block_sizes(files[0])
        if sum(sizes) != content.rows:
            raise InputError(files[0], f"{content.rows} windows", str(sum(sizes)))
        blocks += [Block(str(files[0]), block_number(bucket, number), rows) for number, rows in enumerate(sizes)]
    rows = sum(block.rows for block in blocks)
    return Snapshot(str(folder), facts.layout.length, rows, facts.version, facts.n_items, tuple(blocks))


def read_facts(folder: Path) -> Facts | None:
    """What the folder's facts say; None where it has none, or they are of another format."""
    try:
        found = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    contents = {int(bucket): Bucket(*values) for bucket, values in found["contents"].items()}
    return Facts(Layout(**found["layout"]), found["version"], found["n_items"], contents)


def write_facts(facts: Facts, folder: Path) -> None:
    """Write `_snapshot.json` whole or not at all."""
    contents = {str(bucket): [part.rows, part.digest] for bucket, part in sorted(facts.contents.items())}
    text = {
        "format": FORMAT,
        "rows": sum(part.rows for part in facts.contents.values()),
        "version": facts.version,
        "n_items": facts.n_items,
        "layout": asdict(facts.layout),
        "contents": contents,
    }
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{FACTS}.part"
    part.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
    os.replace(part, folder / FACTS)


def _block_sizes(file: Path) -> list[int]:
    """The windows of each row group, from the footer; each row group is one row, so `rows` has one value there."""
    try:
        footer = pq.read_metadata(file)
        at = footer.schema.names.index("rows")
        return [footer.row_group(number).column(at).statistics.max for number in range(footer.num_row_groups)]
    except (OSError, pa.ArrowException, ValueError, AttributeError) as error:
        raise InputError(file, "a parquet file of blocks of windows", str(error)) from error
