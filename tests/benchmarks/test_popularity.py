"""The popularity benchmarks on files whose rule is known: the louder, the more popular."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks.hits import main as hits
from benchmarks.popularity import main as popularity
from benchmarks.popularity_data import read_hits, read_spotify_songs, united_genres
from musicrec.errors import InputError
from musicrec.schemas import AUDIO_FEATURES

_DECADES = ("60s", "70s", "80s", "90s", "00s", "10s")


def audio(rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random(rows) for name in AUDIO_FEATURES} | {"duration_ms": rng.integers(1000, 9000, rows)}


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    rows = 300
    made = pd.DataFrame(
        {
            "track_id": [f"t{row}" for row in range(rows)],
            "track_name": [f"song {row}" for row in range(rows)],
            "track_artist": [f"artist {row // 2}" for row in range(rows)],
            "track_album_release_date": [f"{1990 + row % 20}-01-02" for row in range(rows)],
            "playlist_genre": "Rock",
            "playlist_subgenre": "hard rock",
            **audio(rows, 1),
        }
    )
    made["track_popularity"] = (100 * made["loudness"]).round()
    again = made.sample(150, random_state=1).assign(playlist_subgenre="classic rock")
    nameless = made[:1].assign(track_name=None, track_artist=None)
    pd.concat([made, again, nameless]).to_csv(tmp_path / "spotify_songs.csv", index=False)
    return tmp_path / "spotify_songs.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place, decade in enumerate(_DECADES):
        made = pd.DataFrame(
            {
                "track": [f"song {row}" for row in range(120)],
                "artist": [f"artist {decade} {row // 2}" for row in range(120)],
                "uri": [f"spotify:track:{decade}{row}" for row in range(120)],
                **audio(120, place),
                "time_signature": 4,
                "chorus_hit": 30.5,
                "sections": 9,
            }
        )
        made["target"] = (made["loudness"] > 0.5).astype(int)
        made.to_csv(tmp_path / f"dataset-of-{decade}.csv", index=False)
    return tmp_path


def test_files_are_read_as_published(songs: Path, folder: Path) -> None:
    rows = united_genres(read_spotify_songs(songs))
    assert (len(rows), rows["track_id"].nunique()) == (450, 300)
    assert set(map(tuple, rows["genres"])) == {("hard rock", "rock"), ("classic rock", "hard rock", "rock")}
    assert rows["tempo_folded"].between(80, 160).all()
    assert set(read_hits(folder)) == set(_DECADES)
    assert set(read_hits(folder)["80s"]["popularity"]) == {0.0, 100.0}
    songs.write_text("track_id\na\n")
    with pytest.raises(InputError, match="a column track_name"):
        read_spotify_songs(songs)


def test_each_model_is_judged_on_each_split(songs: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    arguments = [str(songs), "--models", "mean,ridge", "--set", "features.min_count=2", "--json", str(out)]
    done = CliRunner().invoke(popularity, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    r2 = {(row["split"], row["model"]): row["value"] for row in json.loads(out.read_text()) if row["metric"] == "r2"}
    assert set(r2) == {(split, model) for split in ("grouped", "year", "naive") for model in ("mean", "ridge")}
    assert all(r2[split, "ridge"] > 0.95 for split in ("grouped", "year", "naive"))
    assert "0 tracks, 0 songs and 0 rows by artist cross" in done.output


def test_hits_are_told_within_and_across_decades(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    arguments = [str(folder), "--models", "ridge", "--trials", "60s,not 10s", "--json", str(out)]
    assert CliRunner().invoke(hits, arguments, catch_exceptions=False).exit_code == 0
    auc = {row["split"]: row["value"] for row in json.loads(out.read_text()) if row["metric"] == "roc_auc"}
    assert set(auc) == {"60s", "not 10s"}
    assert min(auc.values()) > 0.8
