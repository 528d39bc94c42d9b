"""The picture of the clusters: tracks in the plane in which they spread most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

# More dots than these only hide each other.
_DOTS = 4000


def plot_clusters(
    places: NDArray[np.float64],
    labels: NDArray[np.int64],
    names: Sequence[str],
    centres: NDArray[np.float64],
    explained: tuple[float, float],
    path: Path,
) -> None:
    """A dot a track in the colour of its cluster, as an image at `path`.

    Parameters
    ----------
    places : in the plane [n × 2]; of more than 4,000, evenly spaced ones are drawn.
    labels : cluster of each [n].
    names : of the clusters [k].
    centres : of the clusters in the plane [k × 2].
    explained : share of the variance along each axis.
    """
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    axes = figure.subplots()
    step = max(1, -(-len(places) // _DOTS))
    drawn, own = places[::step], labels[::step]
    for cluster, name in enumerate(names):
        dots = drawn[own == cluster]
        colour = f"C{cluster}" if len(names) <= 10 else None
        axes.scatter(dots[:, 0], dots[:, 1], s=6, alpha=0.45, linewidths=0, label=f"{cluster}: {name}", color=colour)
    for cluster, (x, y) in enumerate(centres):
        box = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "alpha": 0.85}
        axes.text(x, y, str(cluster), ha="center", va="center", fontsize=9, bbox=box)
    titles = [f"principal component {place} ({share:.0%} of the variance)" for place, share in enumerate(explained, 1)]
    # A few tracks far out must not squeeze the others together.
    limits = np.quantile(places, [0.002, 0.998], axis=0) + np.array([[-0.3], [0.3]])
    axes.set(xlabel=titles[0], ylabel=titles[1], title="Tracks by sound", xlim=limits[:, 0], ylim=limits[:, 1])
    figure.legend(loc="outside right upper", markerscale=2.5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
