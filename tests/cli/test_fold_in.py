"""`musicrec fold-in` with the ids that the tables hold: hashes, MBIDs and joint credits, with and without colons."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from musicrec.cli import main
from musicrec.errors import InputError
from musicrec.models.als.params import AlsParams
from musicrec.models.als.scale import Scale
from musicrec.pipelines.fold_in import ListenerLists
from tests.strategies.ids import FORMS, addresses

MBID = "e3c5e1f5-9a4c-4d5d-9f9c-0b5c8c2f8b11"
# The last but one is all digits: taken for PLAYS they would be 1e31.
ITEMS = [MBID, f"m:{MBID},{MBID[::-1]}", "x", "x:5", "h:" + "1234567890" * 3 + "12", "h:0a" + "f" * 30]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    base = tmp_path_factory.mktemp("lake")
    idx = pa.array(range(len(ITEMS)), pa.int32())
    vectors = np.random.default_rng(5).normal(size=(len(ITEMS), 4)).astype(np.float32)
    tables = {
        "silver/item_index": {"item_kind": ["recording"] * len(ITEMS), "item_id": ITEMS, "item_idx": idx},
        "silver/recordings": {
            "recording_id": ITEMS,
            "title": [f"Song {place}" for place in range(len(ITEMS))],
            "artist_id": ["a"] * len(ITEMS),
            "artist_name": ["Somebody"] * len(ITEMS),
        },
        "models/item_vectors": {
            "model": ["als"] * len(ITEMS),
            "item_idx": idx,
            "vector": pa.array(vectors.tolist(), pa.list_(pa.float32())),
            "bias": pa.array([0.0] * len(ITEMS), pa.float32()),
        },
        "ops/models": {
            "model": ["als"],
            "trained_at": [datetime(2014, 6, 23)],
            "params": [AlsParams(rank=4).model_dump_json()],
            "figures": pa.array([list(Scale(1.0, 2.0, 3.0).figures.items())], pa.map_(pa.string(), pa.float64())),
        },
    }
    for name, columns in tables.items():
        write_deltalake(str(base / name), pa.table(columns))
    return str(base)


@pytest.fixture(scope="module")
def lists(root: str) -> ListenerLists:
    return ListenerLists(root, "recording", "log")


def ask(root: str, *items: str) -> Result:
    return CliRunner().invoke(main, ["fold-in", *items, "--root", root, "-n", "3"], env={"COLUMNS": "200"})


def test_an_id_of_the_tables_is_an_item_with_or_without_plays(root: str, lists: ListenerLists) -> None:
    for item in ITEMS:
        assert lists.plays_of([item]) == {item: 1.0}
    for item in [one for one in ITEMS if one != "x"]:
        assert lists.plays_of([f"{item}:7", f"{item}:0.5", item]) == {item: 8.5}
    # "x:5" is an item too, so it is not five plays of x.
    assert lists.plays_of(["x:5", "x:6", "x"]) == {"x:5": 1.0, "x": 7.0}
    found = ask(root, ITEMS[4], f"{ITEMS[5]}:3", f"{MBID}:2")
    assert found.exit_code == 0, found.output
    assert "Folded in: 3 items" in found.output
    assert all(f"Song {place}" in found.output for place in (1, 2, 3))


def test_an_mbid_is_one_in_any_form(lists: ListenerLists) -> None:
    for text in [*(form(MBID) for form in FORMS), *addresses(MBID, "recording")]:
        assert lists.plays_of([text]) == {MBID: 1.0}, text
        assert lists.plays_of([f"{text}:3"]) == {MBID: 3.0}, text
    assert lists.plays_of([ITEMS[5].upper()]) == {ITEMS[5]: 1.0}


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("h:" + "9" * 32, "an item_id of silver.item_index"),
        ("nothing", "an item_id of silver.item_index"),
        ("nothing:3", "an item_id of silver.item_index"),
        ("", "an item_id of silver.item_index"),
        (":3", "an item_id of silver.item_index"),
        ("x:", "PLAYS above 0 and at most 1,000,000"),
        ("x:0", "PLAYS above 0 and at most 1,000,000"),
        ("x:-1", "PLAYS above 0 and at most 1,000,000"),
        ("x:nan", "PLAYS above 0 and at most 1,000,000"),
        ("x:inf", "PLAYS above 0 and at most 1,000,000"),
        ("x:1e9", "PLAYS above 0 and at most 1,000,000"),
        ("x:1000001", "PLAYS above 0 and at most 1,000,000"),
        ("x:" + "9" * 400, "PLAYS above 0 and at most 1,000,000"),
        (f"{ITEMS[4]}:many", "PLAYS above 0 and at most 1,000,000"),
        ("x:5:6:7", "an item_id of silver.item_index"),
    ],
)
def test_what_is_no_item_or_no_number_of_plays_is_said_in_one_line(root: str, item: str, told: str) -> None:
    found = ask(root, "x", item)
    assert found.exit_code == 2
    assert told in found.output
    assert len(found.output.strip().splitlines()) == 1


@given(st.lists(st.one_of(st.text(), st.sampled_from(ITEMS), st.text("0123456789.-+e:hmx")), max_size=3).map(":".join))
def test_any_text_is_plays_of_items_that_are_known_or_an_error(lists: ListenerLists, text: str) -> None:
    try:
        plays = lists.plays_of([text])
    except InputError:
        return
    assert set(plays) <= set(ITEMS)
    assert all(0 < count <= 1_000_000 for count in plays.values())
