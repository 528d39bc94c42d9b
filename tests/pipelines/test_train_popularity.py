"""gold.popularity from tracks whose popularity follows a rule that is known."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.io.runs import Run
from musicrec.io.tables import Lakehouse
from musicrec.models.popularity.params import PopularityParams
from musicrec.pipelines.train_popularity import train_popularity
from musicrec.schemas import TABLES
from tests.popularity_tracks import BOOSTED, FEATURES, NETWORK, TRAINING, planted

PARAMS = PopularityParams(
    models=("mean", "ridge", "boosted", "lstm", "blend"),
    splits=("grouped", "naive"),
    resamples=20,
    features=FEATURES,
    boosted=BOOSTED,
    network=NETWORK,
    training=TRAINING,
)
UNKNOWN = 7


def write_features(spark: SparkSession, lakehouse: Lakehouse, tracks: pd.DataFrame) -> None:
    table = TABLES["silver.track_features"]
    kinds = {name: kind.simpleString() for name, kind in table.columns.items() if name in tracks}
    kinds.pop("artist_keys", None)
    rows = [tuple(row) for row in tracks[list(kinds)].astype(object).itertuples(index=False)]
    made = spark.createDataFrame(rows, ", ".join(f"{name} {kind}" for name, kind in kinds.items()))
    rest = [F.lit(None).cast(kind).alias(name) for name, kind in table.columns.items() if name not in kinds]
    lakehouse.overwrite("silver.track_features", made.select("*", *rest))


@pytest.fixture
def tracks() -> pd.DataFrame:
    made = planted(600, "text")
    # Those whose popularity no catalogue knows are predicted too.
    made["popularity"] = made["popularity"].astype(object).where(made.index >= UNKNOWN, None)
    return made


def test_the_best_model_predicts_every_track(
    spark: SparkSession, run: Run, tracks: pd.DataFrame, tmp_path: Path
) -> None:
    write_features(spark, run.lakehouse, tracks)
    stage = train_popularity(run, PARAMS, tmp_path)
    assert (stage.rows_in, stage.rows_out) == (600, 600)

    judged = run.lakehouse.read("gold.popularity_evaluation").toPandas()
    grouped = judged[(judged.split == "grouped") & (judged.metric == "r2")].set_index("model")
    assert set(grouped.index) == {*PARAMS.models, "boosted_artist"}
    assert grouped["value"].drop("boosted_artist").idxmax() == stage.note
    assert stage.note in ("lstm", "blend")
    assert set(judged.loc[judged.is_published, "model"]) == {stage.note}
    assert judged[["low", "high"]].notna().all(axis=1).sum() == 12 * 5
    assert (grouped["leaked_tracks"] == 0).all()

    drivers = run.lakehouse.read("gold.popularity_drivers").orderBy("rank").toPandas()
    assert drivers["feature"].tolist()[0] == "title"
    assert len(drivers) == 5

    rows = run.lakehouse.read("gold.popularity").orderBy("track_id").toPandas()
    assert rows["popularity"].isna().sum() == UNKNOWN
    is_rule = rows["title"].str.contains("love remix")
    assert rows.loc[is_rule, "predicted_popularity"].mean() > rows.loc[~is_rule, "predicted_popularity"].mean() + 20
    assert rows["probability_popular"].between(0, 1).all()
    assert all(reasons[0].startswith("title words") for reasons in rows.loc[is_rule, "reasons"])
    assert rows.iloc[0][["title", "artist"]].tolist() == tracks.iloc[0][["name", "artist_key"]].tolist()

    # The saved model says the same, in whatever partitions the tracks come, and fits nothing.
    before = run.lakehouse.version("gold.popularity_evaluation")
    write_features(spark, run.lakehouse, tracks[::-1])
    train_popularity(run, PARAMS.model_copy(update={"use_saved": True}), tmp_path)
    pd.testing.assert_frame_equal(run.lakehouse.read("gold.popularity").orderBy("track_id").toPandas(), rows)
    assert run.lakehouse.version("gold.popularity_evaluation") == before

    # Of other features than today's it is refused, and the tables stay.
    other = FEATURES.model_copy(update={"numbers": ("energy", "liveness")})
    written = run.lakehouse.version("gold.popularity")
    with pytest.raises(InputError, match=r"numbers = \('energy', 'liveness'\)"):
        train_popularity(run, PARAMS.model_copy(update={"use_saved": True, "features": other}), tmp_path)
    assert run.lakehouse.version("gold.popularity") == written


def test_too_few_tracks_are_refused(spark: SparkSession, run: Run, tracks: pd.DataFrame, tmp_path: Path) -> None:
    write_features(spark, run.lakehouse, tracks[: 50 + UNKNOWN])
    with pytest.raises(InputError, match="100 tracks or more with a popularity, found 50"):
        train_popularity(run, PARAMS, tmp_path)
    assert not run.lakehouse.exists("gold.popularity")
