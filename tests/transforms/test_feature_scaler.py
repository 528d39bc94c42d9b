"""Vectors of tracks beside formulas and scikit-learn; all but one Spark job is numpy on Arrow tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession
from sklearn.feature_extraction.text import TfidfVectorizer

from musicrec.errors import InputError
from musicrec.io.scalers import load_scaler, save_scaler
from musicrec.transforms.feature_scaler import COLUMNS, FeatureScaler, GroupWeights
from musicrec.transforms.features import FeatureParams

SCHEMA = "track_id string, genres array<string>, tags array<string>, year int, " + ", ".join(
    f"{name} double" for name in COLUMNS if name != "year"
)
GENRES = [["rock"], ["pop"], ["rock", "hard rock"], ["pop", "dance pop"], [], None]


def rows(count: int = 48) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    made = pd.DataFrame({name: rng.random(count) for name in COLUMNS})
    made["key"], made["year"] = (np.arange(count) % 12).astype(float), 1970 + np.arange(count)
    made["liveness"] = 0.125  # the same everywhere
    made.insert(0, "tags", [["80s"] if i % 3 == 0 else None for i in range(count)])
    made.insert(0, "genres", [GENRES[i % len(GENRES)] for i in range(count)])
    made.insert(0, "track_id", [f"t{i}" for i in range(count)])
    return made


def frame(spark: SparkSession, made: pd.DataFrame, partitions: int = 2) -> DataFrame:
    return spark.createDataFrame(made.to_dict("records"), SCHEMA).repartition(partitions)


@pytest.fixture(scope="module")
def scaler(spark: SparkSession) -> FeatureScaler:
    """Fitted on the first 36 rows: the training side."""
    return FeatureScaler.fit(frame(spark, rows()[:36]), FeatureParams())


def table(made: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(made, preserve_index=False)


def test_numbers_are_standardised_by_the_side_that_was_fitted(scaler: FeatureScaler) -> None:
    train, everything = rows()[:36], rows()
    blocks = scaler.blocks(table(everything))
    plain = [name for name in COLUMNS if name not in ("key", "liveness", "year")]
    for name in plain:
        group = "audio" if name in COLUMNS[:11] else "engineered"
        wanted = (everything[name] - train[name].mean()) / train[name].std(ddof=0)
        # 11 features, one of them constant and one of them two numbers; 4 engineered ones.
        wanted = wanted.clip(-5, 5) / np.sqrt(11 if group == "audio" else 4)
        near = np.abs(blocks[group] - wanted.to_numpy()[:, None]).max(axis=0)
        assert near.min() < 1e-6, name
    year = (everything["year"] - train["year"].mean()) / train["year"].std(ddof=0)
    np.testing.assert_allclose(blocks["year"][:, 0], year.clip(-5, 5), atol=1e-6)


def test_keys_that_are_a_fifth_apart_are_near(scaler: FeatureScaler) -> None:
    keys = rows(12).assign(**{name: 0.5 for name in COLUMNS if name not in ("key", "year")}, year=2000)
    audio = scaler.blocks(table(keys))["audio"]
    from_c = np.linalg.norm(audio - audio[0], axis=1)
    assert list(np.argsort(from_c, kind="stable")[1:3]) in ([5, 7], [7, 5])  # F and G
    assert from_c.argmax() == 6  # F sharp
    assert scaler.blocks(table(keys.assign(key=np.nan)))["audio"][:, 2:4] == pytest.approx(0)


def test_a_constant_column_takes_no_part_and_nothing_is_nan(scaler: FeatureScaler) -> None:
    assert scaler.excluded == ("liveness",)
    odd = rows().assign(liveness=0.9, valence=np.nan, tempo_folded=1e9, year=pd.NA)
    odd["year"] = odd["year"].astype("Int32")
    vectors = scaler.vectors(table(odd))
    assert np.isfinite(vectors).all()
    calm = odd.assign(liveness=0.125, valence=rows()[:36]["valence"].median())
    np.testing.assert_array_equal(vectors, scaler.vectors(table(calm)))


def test_text_is_tf_idf_of_genres_and_tags(scaler: FeatureScaler) -> None:
    made = rows()
    text = [[*(g or []), *(t or [])] for g, t in zip(made["genres"], made["tags"], strict=True)]
    oracle = TfidfVectorizer(analyzer=list).fit(text[:36])
    wanted = oracle.transform(text)
    found = scaler.blocks(table(made))["text"]
    np.testing.assert_allclose(found @ found.T, (wanted @ wanted.T).toarray(), atol=1e-7)
    assert set(scaler.terms.terms) == set(oracle.vocabulary_)
    unknown = scaler.blocks(table(made.assign(genres=[["polka"]] * len(made), tags=None)))["text"]
    assert not unknown.any()


def test_weights_scale_their_groups(scaler: FeatureScaler) -> None:
    plain = scaler.vectors(table(rows()))
    heavy = scaler.reweighted(GroupWeights(audio=0.0, engineered=2.0, year=1.0, text=0.5)).vectors(table(rows()))
    np.testing.assert_allclose(
        heavy, plain * ([0.0] * 12 + [2.0] * 4 + [1.0] + [0.5] * (plain.shape[1] - 17)), atol=2e-6
    )
    with pytest.raises(ValidationError, match="at least one weight"):
        GroupWeights(audio=0, engineered=0, text=0, year=0)


def test_a_fit_and_its_vectors_do_not_depend_on_partitions(spark: SparkSession, scaler: FeatureScaler) -> None:
    shuffled = frame(spark, rows()[:36].sample(frac=1, random_state=1), 5)
    again = FeatureScaler.fit(shuffled, FeatureParams())
    made = {row.track_id: row.vector for row in again.transform(shuffled).collect()}
    wanted = scaler.vectors(table(rows()[:36]))
    assert made == {f"t{i}": wanted[i].tolist() for i in range(36)}


def test_what_was_saved_comes_back_and_other_features_are_refused(scaler: FeatureScaler, tmp_path: Path) -> None:
    save_scaler(tmp_path, scaler)
    loaded = load_scaler(tmp_path)
    np.testing.assert_array_equal(loaded.vectors(table(rows())), scaler.vectors(table(rows())))
    facts = json.loads((tmp_path / "model.json").read_text())
    facts["columns"] = [name for name in facts["columns"] if name != "tempo"]
    (tmp_path / "model.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match=r"expected a scaler of the features danceability.*tempo.*found danceability"):
        load_scaler(tmp_path)
    with pytest.raises(InputError, match="a saved model"):
        load_scaler(tmp_path / "nowhere")
