"""Groups of tracks that sound alike."""

from __future__ import annotations

from musicrec.schemas.table import DOUBLE, FIGURES, INT, LONG, STRING, STRINGS, Table

TABLES = (
    Table(
        "gold.clusters",
        ("cluster",),
        "a group of tracks that sound alike, the largest first, named by what sets it apart; "
        "centre in the features' own units, deviations in standard deviations, x and y in the plane of the picture",
        "cluster_tracks",
        {
            "cluster": INT,
            "name": STRING,
            "tracks": LONG,
            "share": DOUBLE,
            "silhouette": DOUBLE,
            "centre": FIGURES,
            "deviations": FIGURES,
            "examples": STRINGS,
            "top_genres": STRINGS,
            "x": DOUBLE,
            "y": DOUBLE,
            "run_id": STRING,
        },
    ),
    Table(
        "gold.track_clusters",
        ("track_id",),
        "the cluster of a track, its distance to the centre in standard deviations, and its place in the picture",
        "cluster_tracks",
        {"track_id": STRING, "cluster": INT, "distance": DOUBLE, "x": DOUBLE, "y": DOUBLE, "run_id": STRING},
    ),
)
