from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.cli import main
from musicrec.errors import InputError
from musicrec.io.runs import Run
from musicrec.models.als.fit import AlsParams, fit_als
from musicrec.pipelines.fold_in import ITEMS_AGE, ListenerLists, fold_in_als, read_plays
from musicrec.pipelines.publish import publish
from musicrec.schemas import TABLES

PARAMS = AlsParams(rank=6, iterations=6, refit_days=3)
ITEMS = 30


def data_of(run: Run) -> Any:
    """Listeners of three tastes, ten items each, of which everyone leaves some out; weights are ln(1 + plays)."""
    rng = np.random.default_rng(4)
    rows = [(u, 10 * (u % 3) + i, int(rng.integers(1, 9))) for u in range(45) for i in range(10) if rng.random() < 0.7]
    pairs = run.lakehouse.spark.createDataFrame(rows, "user_idx int, item_idx int, plays long")
    return cast("Any", SimpleNamespace(interactions=pairs.withColumn("weight", F.round(F.log1p("plays"), 9))))


def write_silver(run: Run, pairs: DataFrame) -> None:
    """The tables that say which item is which, and who played what; what does not matter here is null."""
    known = run.lakehouse.spark.range(ITEMS).select(F.col("id").cast("int").alias("item_idx"))
    recording = F.concat(F.lit("r"), "item_idx")
    named = {name: F.concat(F.lit(f"{name} "), "item_idx") for name in ("title", "artist_name")}
    kind = {"item_kind": F.lit("recording"), "item_id": recording}
    write(run, "silver.item_index", known.withColumns(kind))
    write(run, "silver.recordings", known.withColumns(named | {"recording_id": recording, "artist_id": F.lit("a")}))
    write(run, "silver.interactions", pairs.withColumns(kind | {"user_id": F.concat(F.lit("u"), "user_idx")}))


def write(run: Run, name: str, rows: DataFrame) -> None:
    missing = {column: of for column, of in TABLES[name].columns.items() if column not in rows.columns}
    run.lakehouse.overwrite(name, rows.withColumns({column: F.lit(None).cast(of) for column, of in missing.items()}))


def test_between_fits_listeners_are_folded_in_and_then_it_is_time_to_fit(run: Run) -> None:
    data = data_of(run)
    first = replace(run, run_id="first", as_of=date(2014, 6, 20))
    assert fold_in_als(first, data, PARAMS) is None  # nothing to fold into
    model = fit_als(data.interactions, PARAMS, seed=1)
    publish(first, model, PARAMS, 1, "")
    fitted = {row.user_idx: row.vector for row in model.user_vectors.collect()}

    second = replace(run, run_id="second", as_of=date(2014, 6, 21))
    assert fold_in_als(second, data, PARAMS.model_copy(update={"unobserved": 0.4})) is None
    assert fold_in_als(second, data, PARAMS.model_copy(update={"refit_days": 1})) is None
    folded = fold_in_als(second, data, PARAMS)
    assert folded is not None
    found = {row.user_idx: row.vector for row in folded.user_vectors.collect()}
    assert set(found) == set(fitted)
    for user, vector in fitted.items():
        np.testing.assert_allclose(found[user], vector, atol=1e-4)
    publish(second, folded, PARAMS, 1, "")
    measured = {name: model.figures[name] for name in ("mean_weight", "shared_items", "heard_items")}
    assert folded.figures == {ITEMS_AGE: 1.0, **measured}
    third = fold_in_als(replace(run, run_id="third", as_of=date(2014, 6, 22)), data, PARAMS)
    assert third is not None
    assert third.figures == {ITEMS_AGE: 2.0, **measured}
    publish(replace(run, run_id="third", as_of=date(2014, 6, 22)), third, PARAMS, 1, "")
    assert fold_in_als(replace(run, as_of=date(2014, 6, 23)), data, PARAMS) is None


def test_one_listener_gets_the_list_of_their_taste_without_spark(run: Run) -> None:
    data = data_of(run)
    data.interactions.persist()
    write_silver(run, data.interactions)
    publish(run, fit_als(data.interactions, PARAMS, seed=1), PARAMS, 1, "")
    root = run.lakehouse.root
    lists = ListenerLists(root, "recording", "log")
    offers = lists.recommend({"r11": 2, "r13": 1, "r14": 5, "unheard of": 1}, 5)
    assert {int(offer.item[1:]) // 10 for offer in offers} == {1}
    assert not {"r11", "r13", "r14"} & {offer.item for offer in offers}
    assert [offer.score for offer in offers] == sorted((offer.score for offer in offers), reverse=True)
    assert [offer.rank for offer in offers] == [1, 2, 3, 4, 5]
    assert offers[0].title == f"title {offers[0].item[1:]}"
    assert len(lists.recommend({"r11": 2}, 1000)) == ITEMS - 1
    with pytest.raises(InputError, match="found unheard of"):
        lists.recommend({"unheard of": 1}, 5)

    vector = {row.user_idx: row.vector for row in run.lakehouse.read("models.user_vectors").collect()}[7]
    items = {row.item_idx: row.vector for row in run.lakehouse.read("models.item_vectors").collect()}
    plays = read_plays(root, "recording", "u7")
    best = lists.recommend(plays, 1)[0]
    scores = {f"r{idx}": np.dot(vector, item) for idx, item in items.items() if f"r{idx}" not in plays}
    assert best.item == max(scores, key=lambda item: scores[item])
    assert best.score == pytest.approx(scores[best.item], abs=1e-4)

    printed = CliRunner().invoke(main, ["fold-in", "r11:2", "r13", "--root", root, "-n", "3"])
    assert printed.exit_code == 0, printed.output
    assert "title 1" in printed.output
    assert "Folded in: 2 items" in printed.output
    wrong = CliRunner().invoke(main, ["fold-in", "r11:none", "--root", root])
    assert wrong.exit_code == 2
    assert CliRunner().invoke(main, ["fold-in", "--root", root]).exit_code == 2
    assert CliRunner().invoke(main, ["fold-in", "--user", "nobody", "--root", root]).exit_code == 2
