"""Catalogues as the frames that models of popularity read, without Spark: a row a CSV row, as published."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from musicrec.errors import InputError
from musicrec.evaluation.popularity_keys import artist_keys
from musicrec.schemas import AUDIO_FEATURES
from musicrec.transforms.features import LEAST_DANCEABILITY, folded_tempo
from musicrec.transforms.text import artist_key, title_key

_DECADES = {"60s": 1960, "70s": 1970, "80s": 1980, "90s": 1990, "00s": 2000, "10s": 2010}


def read_spotify_songs(path: Path) -> pd.DataFrame:
    """spotify_songs.csv: a row for each playlist that a track is on; rows without a name are left out.

    Raises
    ------
    InputError : the file is not there or has other columns.
    """
    raw = _read(path, ("track_id", "track_name", "track_artist", "track_popularity", "playlist_subgenre"))
    genres = [
        sorted({str(g).lower(), str(s).lower()})
        for g, s in zip(raw["playlist_genre"], raw["playlist_subgenre"], strict=True)
    ]
    year = pd.to_numeric(raw["track_album_release_date"].astype(str).str[:4])
    return _frame(raw, "track_id", "track_name", "track_artist").assign(
        genres=genres, year=year, popularity=raw["track_popularity"].to_numpy()
    )


def united_genres(rows: pd.DataFrame) -> pd.DataFrame:
    """Each row with the genres of all rows of its track, as silver.tracks has them."""
    united = rows.groupby("track_id")["genres"].agg(lambda lists: sorted({g for own in lists for g in own}))
    return rows.assign(genres=rows["track_id"].map(united))


def read_hits(folder: Path) -> dict[str, pd.DataFrame]:
    """The hit predictor's six files, by decade; the popularity is 100 where its target says hit, else 0.

    Raises
    ------
    InputError : a file is not there or has other columns.
    """
    found = {}
    for decade in _DECADES:
        raw = _read(folder / f"dataset-of-{decade}.csv", ("uri", "track", "artist", "target", "sections"))
        frame = _frame(raw, "uri", "track", "artist").assign(
            genres=[[] for _ in range(len(raw))],
            popularity=raw["target"].to_numpy() * 100.0,
            year=_DECADES[decade],
            time_signature=raw["time_signature"].to_numpy(),
            chorus_hit=raw["chorus_hit"].to_numpy(),
            sections=raw["sections"].to_numpy(),
        )
        found[decade] = frame
    return found


def _read(path: Path, wanted: tuple[str, ...]) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except OSError as error:
        raise InputError(path, "a CSV file", error.strerror or str(error)) from error
    missing = [name for name in (*wanted, *AUDIO_FEATURES) if name not in raw]
    if missing:
        raise InputError(path, f"a column {missing[0]}", "none")
    # Five rows of spotify_songs.csv have neither name nor artist.
    return raw[raw[list(wanted)].notna().all(axis=1)].reset_index(drop=True)


def _frame(raw: pd.DataFrame, track: str, title: str, artist: str) -> pd.DataFrame:
    """What both layouts have, in the columns of silver.track_features."""
    audio = raw[list(AUDIO_FEATURES)].astype(float)
    return pd.DataFrame(
        {
            "track_id": raw[track].to_numpy(),
            "name": raw[title].to_numpy(),
            "artist_key": raw[artist].map(artist_key).to_numpy(),
            "title_key": raw[title].map(title_key).to_numpy(),
            "artist_keys": [artist_keys([a], t) for a, t in zip(raw[artist], raw[title], strict=True)],
            "duration_ms": raw["duration_ms"].to_numpy(dtype=float),
            **{name: audio[name].to_numpy() for name in AUDIO_FEATURES},
            "energy_per_danceability": (
                audio["energy"] / audio["danceability"].clip(lower=LEAST_DANCEABILITY)
            ).to_numpy(),
            "valence_energy": (audio["valence"] * audio["energy"]).to_numpy(),
            "loudness_percentile": audio["loudness"].rank(pct=True).to_numpy(),
            "tempo_folded": folded_tempo(audio["tempo"].to_numpy()),
        }
    )
