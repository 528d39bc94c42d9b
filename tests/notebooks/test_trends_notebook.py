"""The job analyse on small silver tables, and the notebook over what it wrote: beside networkx, pandas and scipy."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pyspark.sql import SparkSession
from scipy.stats import spearmanr

from musicrec.io.runs import Run
from musicrec.io.tables import Lakehouse
from musicrec.logs import make_logger
from musicrec.pipelines.analyse import AnalysesParams, analyse
from musicrec.schemas import AUDIO_FEATURES
from musicrec.schemas.content import ENGINEERED_FEATURES
from musicrec.transforms.artist_network import NetworkParams
from tests.conftest import ROOT
from tests.notebooks.cells import run_cells
from tests.tables import write_table

NOTEBOOK = ROOT / "notebooks" / "02_catalogue_trends.py"
START = datetime(2014, 6, 16, tzinfo=UTC)
AS_OF = date(2014, 6, 23)
ARTISTS, LISTENERS, LEAST = 16, 24, 12
NETWORK = NetworkParams(support=3, shrinkage=1.0, artists=9)
WRITTEN = ("artist_edges", "artist_nodes", "trends", "genre_shares", "top_artists", "feature_correlations")


def made_up_silver(rng: random.Random) -> dict[str, pd.DataFrame]:
    """Two camps of listeners, of artists and of genres; three songs an artist, some with a guest."""
    tracks, features = [], []
    for number in range(ARTISTS * 6):
        artist, energy = number % ARTISTS, rng.random()
        guest = f" (feat. Artist {(artist + 2) % ARTISTS})" if number % 5 == 0 else ""
        track = {"track_id": f"t{number}", "name": f"Song {number}{guest}", "artists": [f"Artist {artist}"]}
        track |= {"year": rng.choice([1969, 1975, 1984]), "duration_ms": rng.randint(120_000, 400_000)}
        track |= {"genres": ["rock"] if artist % 2 else rng.sample(["pop", "rap"], 1)}
        track |= {"popularity": float(round(100 * (0.5 * energy + 0.5 * rng.random()))), "energy": energy, "valence": rng.random()}
        tracks.append(track)
        made = {name: rng.random() for name in (*AUDIO_FEATURES, *ENGINEERED_FEATURES)} | {"energy": energy}
        features.append({"track_id": f"t{number}", "imputed": ["valence"] if number % 4 == 0 else [], **made})
    recordings = [(f"r{n}", f"Song {n}", f"Artist {n}", f"a{n}", f"artist {n}", 1) for n in range(ARTISTS)]
    listens, windows = [], []
    for user in range(LISTENERS):
        for session in range(3):
            own = [n for n in range(ARTISTS) if rng.random() < (0.5 if n % 2 == user % 2 else 0.1)]
            times = [START + timedelta(days=session, minutes=5 * place) for place in range(len(own))]
            listens += [
                (f"u{user}", at, f"m{user}-{session}-{n}", f"r{n}", f"a{n}", user, n, n)
                for n, at in zip(own, times, strict=True)
            ]
            padded = [-1] * (ARTISTS - len(own))
            seconds = [int(at.timestamp()) for at in times]
            windows.append((f"u{user}", session, user, session, padded + own, padded + seconds, len(own)))
    ids = ["user_id", "listened_at", "recording_msid", "recording_id", "artist_id", "user_idx", "recording_idx"]
    names = ["recording_id", "title", "artist_name", "artist_id", "artist_key", "plays"]
    parts = ["user_id", "window", "user_idx", "session", "items", "times", "length"]
    return {
        "tracks": pd.DataFrame(tracks),
        "track_features": pd.DataFrame(features),
        "recordings": pd.DataFrame(recordings, columns=names),
        "listens": pd.DataFrame(listens, columns=[*ids, "artist_idx"]),
        "sequences": pd.DataFrame(windows, columns=parts),
        "item_index": pd.DataFrame(
            [("recording", f"r{n}", n) for n in range(ARTISTS)], columns=["item_kind", "item_id", "item_idx"]
        ),
        "links": pd.DataFrame(
            [(f"r{n}", f"t{n}", "exact", 1.0) for n in range(ARTISTS)],
            columns=["recording_id", "track_id", "method", "confidence"],
        ),
    }


def made_up_gold() -> dict[str, pd.DataFrame]:
    offers = [
        (AS_OF, "discover", f"u{user}", rank, f"r{rank}", f"Artist {rank // (1 + user % 5)}")
        for user in range(LISTENERS)
        for rank in range(10)
    ]
    judged = [
        (AS_OF, "discover", model, metric, 10, value + place / 20)
        for place, model in enumerate(("als", "pca", "hybrid"))
        for metric, value in (("ndcg", 0.2), ("diversity", 0.7))
    ]
    return {
        "recommendations": pd.DataFrame(offers, columns=["as_of", "shelf", "user_id", "rank", "item", "artist"]),
        "evaluation": pd.DataFrame(judged, columns=["as_of", "shelf", "model", "metric", "k", "value"]),
    }


class Analysed:
    """The silver rows, the gold rows that the job made of them, and what the notebook displayed."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.silver = made_up_silver(random.Random(5))
        lakehouse = Lakehouse(spark, str(root))
        for layer, tables in (("silver", self.silver), ("gold", made_up_gold())):
            for name, rows in tables.items():
                write_table(lakehouse, f"{layer}.{name}", rows)
        run = Run(lakehouse, "test-run", "analyse", datetime(2026, 1, 2, tzinfo=UTC), 7, make_logger("test"), AS_OF)
        params = AnalysesParams(network=NETWORK, least_songs=LEAST, top_artists=5)
        self.stage = analyse(run, "recording", True, params)
        self.gold = {name: lakehouse.read(f"gold.{name}").toPandas() for name in WRITTEN}
        self.figures: dict[str, Figure] = {}
        with pytest.MonkeyPatch.context() as patch, mpl.rc_context():
            plt.switch_backend("Agg")
            patch.setenv("MUSICREC_LAKEHOUSE_ROOT", str(root))
            run_cells(NOTEBOOK, {"spark": spark, "display": self.display})

    def display(self, shown: Any) -> None:
        assert isinstance(shown, Figure)
        shown.draw_without_rendering()  # a label or a scale that cannot be drawn fails here
        assert shown.get_label() not in self.figures
        self.figures[shown.get_label()] = shown

    def axes(self, name: str) -> list[Axes]:
        return [axis for axis in self.figures[name].axes if axis.get_visible()]


@pytest.fixture(scope="module")
def analysed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    return Analysed(spark, tmp_path_factory.mktemp("analysed") / "lakehouse")


def test_edges_are_of_songs_listeners_and_sessions(analysed: Analysed) -> None:
    edges = analysed.gold["artist_edges"]
    assert (edges["lift"] > 1).all()
    assert (edges["artist_key"] < edges["other_key"]).all()
    listens = analysed.silver["listens"].assign(key=lambda rows: "artist " + rows["artist_id"].str[1:])
    days = listens["listened_at"].dt.date
    for kind, basket in (("listener", listens["user_id"]), ("session", listens["user_id"] + days.astype(str))):
        contents = listens.groupby(basket)["key"].agg(set)
        expected = {}
        for a, b in itertools.combinations(sorted(listens["key"].unique()), 2):
            together = sum({a, b} <= one for one in contents)
            by_chance = sum(a in one for one in contents) * sum(b in one for one in contents) / len(contents)
            if together >= 3 and together > by_chance:
                expected[a, b] = (together + 1) / (by_chance + 1)
        own = edges[edges["kind"] == kind]
        found = dict(zip(zip(own["artist_key"], own["other_key"], strict=True), own["lift"], strict=True))
        assert found == pytest.approx(expected, abs=1e-6), kind
        assert len(found) > 10, kind
    songs = edges[edges["kind"] == "song"]
    assert len(songs) >= 8
    for row in songs.itertuples():
        assert abs(int(row.artist_key.split()[1]) - int(row.other_key.split()[1])) in (2, ARTISTS - 2)
        assert row.artist == row.artist_key.replace("artist", "Artist")


def test_nodes_have_networkxs_figures(analysed: Analysed) -> None:
    edges, nodes = analysed.gold["artist_edges"], analysed.gold["artist_nodes"].set_index("artist_key")
    edges = edges.assign(weight=np.log2(edges["lift"]))
    pairs = edges.groupby(["artist_key", "other_key"], as_index=False)["weight"].sum()
    graph = nx.from_pandas_edgelist(pairs, "artist_key", "other_key", "weight")
    assert nodes["degree"].to_dict() == dict(graph.degree)
    assert nodes["weighted_degree"].to_dict() == pytest.approx(dict(graph.degree(weight="weight")), abs=1e-4)
    plays = analysed.silver["listens"].groupby("artist_id").size()
    assert nodes["plays"].to_dict() == {f"artist {key[1:]}": n for key, n in plays.items()}
    first = nodes.reset_index().sort_values(["plays", "artist_key"], ascending=[False, True]).head(NETWORK.artists)
    ranked = nodes["pagerank"].dropna()
    assert set(ranked.index) <= set(first["artist_key"])
    inside = graph.subgraph(ranked.index)
    assert ranked.to_dict() == pytest.approx(nx.pagerank(inside, tol=1e-10), abs=1e-6)
    assert nodes["community"].notna().sum() == len(ranked) >= 8
    # The two camps of listeners hear the odd and the even artists.
    camps = nodes.dropna(subset=["community"]).groupby("community").apply(
        lambda own: {int(key.split()[1]) % 2 for key in own.index}, include_groups=False
    )  # fmt: skip
    assert all(len(camp) == 1 for camp in camps)


def test_correlations_are_scipys_without_what_was_imputed(analysed: Analysed) -> None:
    found = analysed.gold["feature_correlations"].set_index("feature")
    assert set(ENGINEERED_FEATURES) <= set(found.index)
    rows = analysed.silver["track_features"].drop(columns="energy").merge(analysed.silver["tracks"], on="track_id")
    assert found.loc["energy", "rho"] == pytest.approx(spearmanr(rows["energy"], rows["popularity"]).statistic, abs=1e-5)
    assert found.loc["energy", "low"] > 0.2
    known = rows[rows["imputed"].map(len) == 0]
    valence = known["valence_x"]
    assert found.loc["valence", "n"] == len(known) < len(rows)
    assert found.loc["valence", "rho"] == pytest.approx(spearmanr(valence, known["popularity"]).statistic, abs=1e-5)


def test_every_axis_says_what_it_shows(analysed: Analysed) -> None:
    counts = {name: len(analysed.axes(name)) for name in analysed.figures}
    assert counts == {
        "artist network": 1,
        "network of played artists": 1,
        "strongest pairs": 3,
        "by year": 2,
        "by genre": 2,
        "genre shares": 3,
        "sound by decade": 2,
        "top artists": 2,
        "correlation with popularity": 1,
        "variety of lists": 2,
    }
    for name in analysed.figures:
        assert all(axis.get_title() or axis.get_title(loc="left") for axis in analysed.axes(name)), name
    assert not plt.get_fignums()


def test_the_figures_show_the_tables(analysed: Analysed) -> None:
    tracks = analysed.silver["tracks"].assign(minutes=lambda rows: rows["duration_ms"] / 60_000)
    for axis, column in zip(analysed.axes("by year"), ("minutes", "popularity"), strict=True):
        years, medians = axis.lines[0].get_data()
        expected = tracks.groupby("year")[column].median()
        drawn = {year: median for year, median in zip(years, medians, strict=True) if not np.isnan(median)}
        assert drawn == pytest.approx(expected.to_dict(), abs=1e-5)
    of_artist = analysed.axes("top artists")[0]
    plays = analysed.silver["listens"].groupby("artist_id").size().sort_values(ascending=False)
    assert [bar.get_width() for bar in of_artist.patches] == plays.head(5).tolist()
    network = analysed.axes("artist network")[0]
    ranked = analysed.gold["artist_nodes"].dropna(subset=["pagerank"])
    assert {text.get_text() for text in network.texts} >= set(ranked["artist"])
    variety = analysed.axes("variety of lists")[0]
    shares = pd.DataFrame(made_up_gold()["recommendations"]).groupby("user_id")["artist"].value_counts(normalize=True)
    over = (shares.groupby("user_id").max() > 0.3).mean()
    assert variety.get_title(loc="left").startswith(f"{over:.0%} of the lists")
