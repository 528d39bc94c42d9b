"""gold.popularity from tracks whose popularity follows a rule that is known."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.runs import Run
from musicrec.models.popularity.params import PopularityParams
from musicrec.pipelines.train_popularity import known_tracks, train_popularity
from musicrec.schemas import TABLES
from tests.popularity_tracks import BOOSTED, FEATURES, NETWORK, TRAINING, planted

PARAMS = PopularityParams(
    models=("ridge", "boosted", "lstm"),
    splits=("grouped",),
    resamples=20,
    features=FEATURES,
    boosted=BOOSTED,
    network=NETWORK,
    training=TRAINING.model_copy(update={"epochs": 12, "schedule": "constant"}),
)
UNKNOWN = 7


def read(run: Run, table: str) -> pd.DataFrame:
    return DeltaTable(run.lakehouse.location(table)).to_pandas()


def features_of(spark: SparkSession, tracks: pd.DataFrame) -> DataFrame:
    table = TABLES["silver.track_features"]
    kinds = {name: kind.simpleString() for name, kind in table.columns.items() if name in tracks}
    kinds.pop("artist_keys", None)
    rows = [tuple(row) for row in tracks[list(kinds)].astype(object).itertuples(index=False)]
    made = spark.createDataFrame(rows, ", ".join(f"{name} {kind}" for name, kind in kinds.items()))
    rest = [F.lit(None).cast(kind).alias(name) for name, kind in table.columns.items() if name not in kinds]
    return made.select("*", *rest)


@pytest.fixture
def tracks() -> pd.DataFrame:
    made = planted(600, "text")
    # Those whose popularity no catalogue knows are predicted too.
    made["popularity"] = made["popularity"].astype(object).where(made.index >= UNKNOWN, None)
    return made


def test_the_best_model_predicts_every_track(
    spark: SparkSession, run: Run, tracks: pd.DataFrame, tmp_path: Path
) -> None:
    run.lakehouse.overwrite("silver.track_features", features_of(spark, tracks))
    stage = train_popularity(run, PARAMS, tmp_path)
    assert (stage.rows_in, stage.rows_out) == (600, 600)

    judged = read(run, "gold.popularity_evaluation")
    grouped = judged[(judged.split == "grouped") & (judged.metric == "r2")].set_index("model")
    assert set(grouped.index) == {*PARAMS.models, "boosted_artist"}
    assert grouped["value"].drop("boosted_artist").idxmax() == stage.note
    assert stage.note == "lstm"
    assert set(judged.loc[judged.is_published, "model"]) == {stage.note}
    assert judged[["low", "high"]].notna().all(axis=1).sum() == 4 * 5
    assert (grouped["leaked_tracks"] == 0).all()

    drivers = read(run, "gold.popularity_drivers").sort_values("rank")
    assert drivers["feature"].tolist()[0] == "title"
    assert len(drivers) == 5

    rows = read(run, "gold.popularity").sort_values("track_id", ignore_index=True)
    assert rows["popularity"].isna().sum() == UNKNOWN
    is_rule = rows["title"].str.contains("love remix")
    assert rows.loc[is_rule, "predicted_popularity"].mean() > rows.loc[~is_rule, "predicted_popularity"].mean() + 20
    assert rows["probability_popular"].between(0, 1).all()
    assert all(reasons[0].startswith("title words") for reasons in rows.loc[is_rule, "reasons"])
    assert rows.iloc[0][["title", "artist"]].tolist() == tracks.iloc[0][["name", "artist_key"]].tolist()

    # The saved model says the same and fits nothing.
    before = run.lakehouse.version("gold.popularity_evaluation")
    train_popularity(run, PARAMS.model_copy(update={"use_saved": True}), tmp_path)
    again = read(run, "gold.popularity").sort_values("track_id", ignore_index=True)
    pd.testing.assert_frame_equal(again, rows)
    assert run.lakehouse.version("gold.popularity_evaluation") == before

    # Of other features than today's it is refused, and the tables stay.
    other = FEATURES.model_copy(update={"numbers": ("energy", "liveness")})
    written = run.lakehouse.version("gold.popularity")
    with pytest.raises(InputError, match=r"numbers = \('energy', 'liveness'\)"):
        train_popularity(run, PARAMS.model_copy(update={"use_saved": True, "features": other}), tmp_path)
    assert run.lakehouse.version("gold.popularity") == written


def test_too_few_tracks_are_refused(spark: SparkSession, run: Run, tracks: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="100 tracks or more with a popularity, found 50"):
        known_tracks(run, features_of(spark, tracks[: 50 + UNKNOWN]), PARAMS)


def test_where_there_are_too_many_tracks_some_are_drawn(spark: SparkSession, run: Run, tracks: pd.DataFrame) -> None:
    features = features_of(spark, tracks[:300])
    drawn = known_tracks(run, features, PARAMS.model_copy(update={"max_tracks": 150}))
    assert 110 < len(drawn) < 190
    again = known_tracks(run, features.repartition(3), PARAMS.model_copy(update={"max_tracks": 150}))
    assert again["track_id"].tolist() == drawn["track_id"].tolist() == sorted(drawn["track_id"])
