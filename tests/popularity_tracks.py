"""Tracks whose popularity follows a rule that is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from musicrec.models.popularity.params import BoostedParams, FeatureParams, NetworkParams, PopularityTrainingParams
from musicrec.schemas import AUDIO_FEATURES

FEATURES = FeatureParams(numbers=("energy", "valence", "tempo"), min_count=2)
NETWORK = NetworkParams(dim=8, hidden=12, bins=8, dense=(16,), dropout=0.0, word_dropout=0.0)
TRAINING = PopularityTrainingParams(epochs=8, batch_size=64, learning_rate=0.02, patience=8)
BOOSTED = BoostedParams(rounds=60, min_rows=10, patience=10)

_WORDS = ("red", "blue", "night", "river", "stone")


def planted(rows: int, rule: str, seed: int = 1) -> pd.DataFrame:
    """Tracks in the columns of silver.track_features, two of each artist.

    rule : `text`: 40 points more where "remix" stands in the title and "love" comes before it; `numbers`: a peak at a
        valence of one half; `energy`: a line. Noise of one point is added.
    """
    rng = np.random.default_rng(seed)
    audio = {name: np.round(rng.random(rows), 4) for name in AUDIO_FEATURES}
    titles = [list(rng.choice(_WORDS, 2)) for _ in range(rows)]
    kind = rng.integers(0, 4, rows)
    for words, own in zip(titles, kind, strict=True):
        words += [["love", "remix"], ["remix", "love"], ["love"], ["remix"]][own]
    value = {
        "text": 30 + 40.0 * (kind == 0),
        "numbers": 80 - 240 * np.abs(audio["valence"] - 0.5),
        "energy": 20 + 60 * audio["energy"],
    }[rule]
    artists = [f"artist {row // 2}" for row in range(rows)]
    return pd.DataFrame(
        {
            "track_id": [f"t{row:05d}" for row in range(rows)],
            "name": [" ".join(words) + f" {row}" for row, words in enumerate(titles)],
            "artists": [[name] for name in artists],
            "artist_key": artists,
            "title_key": [f"{' '.join(words)} {row}" for row, words in enumerate(titles)],
            "artist_keys": [[name] for name in artists],
            "year": 1990 + np.arange(rows) % 30,
            "genres": [["rock"] if row % 3 else ["pop", "dance pop"] for row in range(rows)],
            "tags": [[] for _ in range(rows)],
            "popularity": np.clip(value + rng.normal(0, 1, rows), 0, 100),
            "duration_ms": rng.integers(100_000, 300_000, rows),
            **audio,
        }
    )
