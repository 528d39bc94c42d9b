from __future__ import annotations

import importlib.util

from musicrec.config import known_keys
from musicrec.schemas import TABLES
from musicrec.steps import NIGHTLY, STEPS
from tests.conftest import ROOT


def test_the_page_of_tables_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("build_tables", ROOT / "docs" / "build_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "tables.md").read_text(encoding="utf-8") == module.page()


def test_every_key_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")

    def is_there(key: str) -> bool:
        # A section that says `other.part.*` has the keys of the LSTM's.
        section, _, rest = key.partition(".")
        shared = f"`{section}.{rest.partition('.')[0]}.*`" in text and f"`lstm.{rest}`" in text
        return f"`{key}`" in text or shared

    assert [key for key in known_keys() if not is_there(key)] == []
    assert not is_there("attention.training.unknown")


def test_every_step_is_a_job_and_every_table_has_one_that_writes_it() -> None:
    assert {path.stem for path in (ROOT / "jobs").glob("*.py")} == {*STEPS, "nightly", "tune"}
    writers = {job for table in TABLES.values() for job in table.written_by.split(", ")}
    assert writers - {"every job"} <= set(STEPS)


def test_the_operations_page_names_the_nightlys_steps_in_order() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"Steps: {', '.join(f'`{step}`' for step in NIGHTLY)}." in text
