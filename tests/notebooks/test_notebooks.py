"""Every cell runs on small silver tables, and the figures show what pandas and numpy count from the same rows."""

from __future__ import annotations

import importlib.util
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pyspark.sql import SparkSession

from musicrec.io.tables import Lakehouse
from musicrec.schemas import AUDIO_FEATURES, TABLES
from tests.tables import write_table

HERE = Path(__file__).parent
NOTEBOOK = HERE.parent.parent / "notebooks" / "01_explore_listens.py"
START = datetime(2014, 6, 16, tzinfo=UTC)  # a Monday

_spec = importlib.util.spec_from_file_location("notebook_cells", HERE / "cells.py")
assert _spec is not None
assert _spec.loader is not None
cells = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cells)


def made_up_tracks(rng: random.Random) -> pd.DataFrame:
    tracks = []
    for number in range(60):
        energy = rng.random()
        features = {name: rng.random() for name in AUDIO_FEATURES} | {
            "energy": energy,
            "loudness": -20 + 15 * energy + rng.random(),
            "key": float(rng.randint(-1, 11)),
            "mode": float(rng.randint(0, 1)),
            "tempo": rng.uniform(60, 200),
            "valence": None if number % 10 == 0 else rng.random(),
        }
        tracks.append(
            {
                "track_id": f"t{number}",
                "name": f"Song {number}",
                "year": rng.choice([1969, 1975, 1984]),
                "duration_ms": rng.randint(120_000, 400_000),
                "popularity": float(rng.randint(0, 100)),
                "genres": rng.sample(["pop", "rap", "rock"], rng.randint(1, 2)),
                **features,
            }
        )
    return pd.DataFrame(tracks)


class Shown:
    """The tables that the notebook was run on, and everything that it displayed."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        rng = random.Random(5)
        self.tracks = made_up_tracks(rng)
        self.recordings = pd.DataFrame(
            [(f"r{n}", f"Song {n}", f"Artist {n % 8}", f"a{n % 8}", 1) for n in range(40)],
            columns=["recording_id", "title", "artist_name", "artist_id", "plays"],
        )
        rows = []
        for number in range(300):
            recording = min(int(rng.expovariate(0.12)), 39)
            at = START + timedelta(minutes=rng.randint(0, 7 * 24 * 60 - 1))
            user = rng.randint(0, 9)
            ids = (f"u{user}", at, f"m{number}", f"r{recording}", f"a{recording % 8}")
            rows.append((*ids, user, recording, recording % 8))
        columns = ["user_id", "listened_at", "recording_msid", "recording_id", "artist_id"]
        self.listens = pd.DataFrame(rows, columns=[*columns, "user_idx", "recording_idx", "artist_idx"])
        methods = [(f"r{n}", f"t{n}", "exact" if n % 2 else "fuzzy", 1.0) for n in range(30)]
        self.links = pd.DataFrame(methods, columns=list(TABLES["silver.links"].columns))
        lakehouse = Lakehouse(spark, str(root))
        for name in ("listens", "recordings", "tracks", "links"):
            write_table(lakehouse, f"silver.{name}", getattr(self, name))
        self.figures: dict[str, Figure] = {}
        self.tables: list[pd.DataFrame] = []
        with pytest.MonkeyPatch.context() as patch, mpl.rc_context():
            plt.switch_backend("Agg")
            patch.setenv("MUSICREC_LAKEHOUSE_ROOT", str(root))
            cells.run_cells(NOTEBOOK, {"spark": spark, "display": self.display})

    def display(self, shown: Any) -> None:
        if isinstance(shown, Figure):
            shown.draw_without_rendering()  # a label or a scale that cannot be drawn fails here
            assert shown.get_label() not in self.figures
            self.figures[shown.get_label()] = shown
        else:
            self.tables.append(shown.toPandas())

    def axes(self, name: str) -> list[Axes]:
        return [axis for axis in self.figures[name].axes if axis.get_visible() and axis.get_label() != "<colorbar>"]


@pytest.fixture(scope="module")
def shown(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return Shown(spark, tmp_path_factory.mktemp("notebook") / "lakehouse")


def bars(axis: Axes) -> dict[str, float]:
    """Name of a horizontal bar → its length."""
    names = [label.get_text() for label in axis.get_yticklabels()]
    return dict(zip(names, [bar.get_width() for bar in axis.patches], strict=True))


def heights(axis: Axes) -> list[float]:
    return [bar.get_height() for bar in axis.patches]


def test_every_axis_says_what_it_shows(shown: Shown) -> None:
    counts = {name: len(shown.axes(name)) for name in shown.figures}
    assert counts == {
        "missing values": 4,
        "audio features": 11,
        "correlation of audio features": 1,
        "top artists": 1,
        "long tail": 2,
        "by year": 2,
        "by genre": 2,
        "plays by hour": 2,
        "played against catalogue": 2,
    }
    for name in shown.figures:
        assert any(axis.get_xlabel() for axis in shown.axes(name)), name
        assert all(axis.get_title() or axis.get_title(loc="left") for axis in shown.axes(name)), name
    assert not plt.get_fignums()


def test_the_tables_hold_counts_and_quartiles(shown: Shown) -> None:
    size, of_tracks, of_plays = shown.tables
    listens = shown.listens
    assert size.loc[0, ["listens", "listeners", "recordings", "artists"]].tolist() == [
        300,
        listens["user_id"].nunique(),
        listens["recording_id"].nunique(),
        listens["artist_id"].nunique(),
    ]
    described = of_tracks.set_index("column")
    assert described.index.tolist() == ["popularity", "minutes", "year", *AUDIO_FEATURES]
    assert described.loc["valence", ["count", "missing"]].tolist() == [54, 6]
    expected = shown.tracks["valence"].astype(float).describe()[["mean", "std", "min", "25%", "50%", "75%", "max"]]
    assert described.loc["valence", "mean":"max"].tolist() == pytest.approx(expected.tolist(), abs=5e-4)
    assert of_plays.set_index("column")["median"].tolist() == [
        listens.groupby("user_id").size().median(),
        listens.groupby("recording_id").size().median(),
    ]


def test_missing_values_are_shares_of_rows(shown: Shown) -> None:
    listens, recordings, tracks, _ = shown.axes("missing values")
    assert bars(listens) == {}
    assert bars(tracks)["valence"] == 0.1
    assert bars(recordings)["release_name"] == 1
    assert "title" not in bars(recordings)


def test_histograms_equal_numpys(shown: Shown) -> None:
    axes = dict(zip(AUDIO_FEATURES, shown.axes("audio features"), strict=True))
    for name, low, high, bins in (("energy", 0, 1, 25), ("key", -1.5, 11.5, 13), ("loudness", -40, 5, 30)):
        expected, _ = np.histogram(shown.tracks[name].astype(float), bins, (low, high))
        assert heights(axes[name]) == expected.tolist(), name
    assert sum(heights(axes["valence"])) == 54


def test_the_heatmap_is_numpys_correlation(shown: Shown) -> None:
    (axis,) = shown.axes("correlation of audio features")
    drawn = np.asarray(axis.images[0].get_array())
    features = shown.tracks[list(AUDIO_FEATURES)].astype(float)
    complete = features.drop(columns="valence")
    keep = [AUDIO_FEATURES.index(name) for name in complete]
    assert drawn[np.ix_(keep, keep)] == pytest.approx(np.corrcoef(complete.to_numpy().T), abs=1e-9)
    assert drawn == pytest.approx(features.corr().to_numpy(), abs=1e-9)
    written = [float(text.get_text()) for text in axis.texts]
    assert written == pytest.approx(drawn.ravel(), abs=0.0051)


def test_top_artists_are_the_most_played(shown: Shown) -> None:
    (axis,) = shown.axes("top artists")
    plays = shown.listens.groupby("artist_id").size().rename("plays").reset_index()
    plays["artist"] = "Artist " + plays["artist_id"].str[1:]
    expected = plays.sort_values(["plays", "artist"], ascending=[False, True])
    assert list(bars(axis).items()) == list(zip(expected["artist"], expected["plays"], strict=True))


def test_the_long_tail_starts_with_the_most_played(shown: Shown) -> None:
    line = shown.axes("long tail")[0].lines[0]
    plays = np.sort(shown.listens.groupby("recording_id").size().to_numpy())[::-1]
    at = np.arange(1, len(plays) + 1) / len(plays)
    drawn = np.interp(at, *map(np.asarray, line.get_data()))
    assert drawn == pytest.approx(np.cumsum(plays) / plays.sum(), abs=1e-9)


def test_years_and_genres_show_medians(shown: Shown) -> None:
    tracks = shown.tracks.assign(minutes=shown.tracks["duration_ms"] / 60_000)
    for axis, column in zip(shown.axes("by year"), ("minutes", "popularity"), strict=True):
        expected = tracks.groupby("year")[column].median()
        years, medians = axis.lines[0].get_data()
        assert list(years) == expected.index.tolist()
        assert medians == pytest.approx(expected.to_numpy())
    by_genre = tracks.explode("genres").groupby("genres")
    labels = [label.get_text() for label in shown.axes("by genre")[0].get_yticklabels()]  # the axes share them
    for axis, column in zip(shown.axes("by genre"), ("minutes", "popularity"), strict=True):
        drawn = {label.split()[0]: value for label, value in zip(labels, axis.lines[0].get_xdata(), strict=True)}
        assert drawn == pytest.approx(by_genre[column].median().to_dict())
        ranges = {
            label.split()[0]: path[:, 0] for label, path in zip(labels, axis.collections[0].get_segments(), strict=True)
        }
        for genre, column_values in by_genre[column]:
            assert ranges[genre] == pytest.approx(column_values.quantile([0.25, 0.75]).to_numpy())


def test_hours_and_days_count_plays(shown: Shown, spark: SparkSession) -> None:
    by_hour, by_day = shown.axes("plays by hour")
    at = shown.listens["listened_at"].dt.tz_convert(spark.conf.get("spark.sql.session.timeZone"))
    counted = pd.crosstab(at.dt.dayofweek, at.dt.hour).reindex(index=range(7), columns=range(24), fill_value=0)
    assert heights(by_hour) == counted.sum().tolist()
    assert np.array_equal(np.asarray(by_day.images[0].get_array()), counted.to_numpy())


def test_linked_plays_are_compared_with_the_catalogue(shown: Shown) -> None:
    by_method, shifts = shown.axes("played against catalogue")
    plays = shown.listens.merge(shown.links, on="recording_id", how="left")
    expected = plays["method"].fillna("not linked").value_counts(normalize=True)
    assert bars(by_method) == pytest.approx(expected.to_dict())
    played = plays.merge(shown.tracks, on="track_id")
    for name in ("energy", "valence", "popularity"):
        catalogue = shown.tracks[name].astype(float)
        expected_shift = (played[name].astype(float).mean() - catalogue.mean()) / catalogue.std()
        assert bars(shifts)[name] == pytest.approx(expected_shift)
