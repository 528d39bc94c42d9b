"""How smooth a playlist's order is, beside chance, the greedy path alone and the best of all orders.

    python -m benchmarks.smooth_order [--lists 100] [--lakehouse FOLDER]

Each list is drawn from the songs of a lakehouse (silver.track_features), without one from even distributions. A row a
length: `seconds` of one search, its roughness as a share of the mean of random orders (`of_random`), that of the greedy
path from the first song (`greedy_of_random`), and how far above the best order it is on average and at worst
(`over_best`, `worst_over_best`; up to 8 songs, by trying all). Ends with 1 if a random order was smoother.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from musicrec.ranking.smooth_order import OrderParams, Sound, roughness, smooth_order, transitions

_SIZES = (7, 25, 50, 100)
_RANDOM_ORDERS = 200
_ALL_ORDERS = 8


@click.command()
@click.option("--lists", default=100, show_default=True, help="Of each length.")
@click.option("--lakehouse", type=click.Path(path_type=Path), help="Draw songs from its tracks.")
@click.option("--seed", default=1, show_default=True)
def main(lists: int, lakehouse: Path | None, seed: int) -> None:
    """Measure orders."""
    rng = np.random.default_rng(seed)
    songs = _made_up(rng) if lakehouse is None else _of_tracks(lakehouse)
    smooth_order(np.zeros((2, 2)))
    is_smoothest = True
    for n in _SIZES:
        rows = [_judge(songs, n, rng) for _ in range(lists)]
        seconds, share, greedy, best_random, over = (np.array(column) for column in zip(*rows, strict=True))
        is_smoothest &= bool((best_random >= share - 1e-9).all())
        line = f"{n:4d} songs: seconds {seconds.mean():.4f}  of_random {share.mean():.3f}"
        line += f"  greedy_of_random {greedy.mean():.3f}"
        if n <= _ALL_ORDERS:
            line += f"  over_best {over.mean():.2%}  worst_over_best {over.max():.2%}"
        click.echo(line)
    if not is_smoothest:
        click.echo("a random order was smoother", err=True)
        sys.exit(1)


def _judge(songs: Sound, n: int, rng: np.random.Generator) -> tuple[float, float, float, float, float]:
    """Seconds; roughness, the greedy path's and the smoothest random one's over the random mean; and over the best."""
    rows = rng.choice(len(songs.tempo), n, replace=False)
    own = Sound(songs.tempo[rows], songs.key[rows], songs.mode[rows], songs.energy[rows], songs.artist[rows])
    costs = transitions(own, OrderParams())
    began = time.perf_counter()
    found = roughness(costs, smooth_order(costs))
    seconds = time.perf_counter() - began
    random = [roughness(costs, rng.permutation(n)) for _ in range(_RANDOM_ORDERS)]
    greedy = roughness(costs, smooth_order(costs, first=0, seconds=-1.0))
    over = 0.0
    if n <= _ALL_ORDERS:
        orders = np.array([order for order in itertools.permutations(range(n)) if order[0] < order[-1]])
        over = found / float(costs[orders[:, :-1], orders[:, 1:]].sum(axis=1).min()) - 1
    mean = float(np.mean(random))
    return seconds, found / mean, greedy / mean, min(random) / mean, over


def _made_up(rng: np.random.Generator, n: int = 20_000) -> Sound:
    key, mode = rng.integers(0, 12, n).astype(float), rng.integers(0, 2, n).astype(float)
    return Sound(rng.uniform(60, 200, n), key, mode, rng.uniform(0, 1, n), rng.integers(0, n // 3, n))


def _of_tracks(lakehouse: Path) -> Sound:
    names = ["tempo", "key", "mode", "energy", "artist_key"]
    table = DeltaTable(f"{lakehouse}/silver/track_features").to_pyarrow_table(columns=["track_id", *names])
    table = table.sort_by("track_id")
    columns = [np.asarray(table[name].cast(pa.float64()).to_numpy(), np.float64) for name in names[:4]]
    artist = np.unique(table["artist_key"].fill_null("").to_numpy(), return_inverse=True)[1]
    return Sound(*columns, artist=artist)


if __name__ == "__main__":
    main()
