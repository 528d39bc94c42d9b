"""Rows of tables by delta-rs, for apps: no session, no JVM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from musicrec.errors import TableMissingError
from musicrec.io.local_files import check_root
from musicrec.schemas import TABLES

Filter = tuple[str, str, Any]


def read_rows(root: str, name: str, columns: Sequence[str], filters: list[Filter] | None = None) -> pa.Table:
    """Some columns of the rows that meet all filters; only files that can hold such a row are opened.

    Parameters
    ----------
    root : the lakehouse, a folder or an address that delta-rs reads.
    name : `layer.table`.

    Raises
    ------
    TableMissingError : no job has written it.
    InputError : `root` is a folder that delta-rs does not find.
    """
    return open_table(root, name).to_pyarrow_table(columns=list(columns), filters=filters)


def open_table(root: str, name: str) -> DeltaTable:
    """The table at its newest version.

    Raises
    ------
    TableMissingError : no job has written it.
    InputError : `root` is a folder that delta-rs does not find.
    """
    check_root(root)
    location = f"{root}/{name.replace('.', '/')}"
    try:
        return DeltaTable(location)
    except TableNotFoundError:
        job = TABLES[name].written_by.split(",")[0] if name in TABLES else "nightly"
        raise TableMissingError(name, location, f"jobs/{job}.py") from None


def rows_or_none(root: str, name: str, columns: Sequence[str], filters: list[Filter] | None = None) -> pa.Table | None:
    """As `read_rows`; None where no job has written the table."""
    try:
        return read_rows(root, name, columns, filters)
    except TableMissingError:
        return None
