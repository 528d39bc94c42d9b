"""Runs a notebook in Databricks source format as Databricks does: cell by cell, in one namespace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HEADER = "# Databricks notebook source\n"
SEPARATOR = "# COMMAND ----------"


def read_cells(path: Path) -> list[str]:
    """The code of each cell; a Markdown cell has none and is left out."""
    source = path.read_text()
    assert source.startswith(HEADER), f"{path.name} is not in Databricks source format"
    cells = source.removeprefix(HEADER).split(SEPARATOR)
    return [cell for cell in cells if any(line and not line.startswith("# MAGIC") for line in cell.splitlines())]


def run_cells(path: Path, namespace: dict[str, Any]) -> int:
    """Execute every cell in order; gives how many there were."""
    cells = read_cells(path)
    for number, cell in enumerate(cells, 1):
        exec(compile(cell, f"{path.name}, cell {number}", "exec"), namespace)
    return len(cells)
