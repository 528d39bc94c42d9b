"""Write docs/tables.md from musicrec/schemas/: `python docs/build_tables.py`. A test checks that it is up to date."""

from __future__ import annotations

from pathlib import Path

from musicrec.schemas import TABLES, Table

HEAD = """# Tables
Written by `python docs/build_tables.py` from `musicrec/schemas/`; do not edit by hand.

Local tables are Delta folders at `<lakehouse.root>/<layer>/<name>`; with `lakehouse.catalog` set the same names are
`<catalog>.<layer>.<name>`. Times are UTC. Ids that come from outside are `*_id`; the dense integers that matrices need
are `*_idx`, from 0, and an id keeps its idx for ever. Key columns are never null. No table is partitioned.
"""


def page() -> str:
    """The whole page."""
    contents = [f"- [{name}](#{name.replace('.', '')}): {table.meaning}" for name, table in TABLES.items()]
    return "\n".join([HEAD, *contents, *(_section(table) for table in TABLES.values()), ""])


def _section(table: Table) -> str:
    rows = [f"| {name} | {kind.simpleString()} |" for name, kind in table.columns.items()]
    intro = f"One row per: {table.meaning}.  \nKey: {', '.join(table.key)}. Written by: {table.written_by}."
    return "\n".join([f"\n## {table.name}", intro, "", "| column | type |", "|---|---|", *rows])


if __name__ == "__main__":
    Path(__file__).with_name("tables.md").write_text(page(), encoding="utf-8")
