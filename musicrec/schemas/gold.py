"""What apps read: lists, similar items, how good the models are."""

from __future__ import annotations

from musicrec.schemas.table import DATE, DOUBLE, INT, LONG, STRING, TIMESTAMP, Table

TABLES = (
    Table(
        "gold.recommendations",
        ("as_of", "shelf", "user_id", "rank"),
        "what to offer a listener, best first",
        "recommend",
        {
            "as_of": DATE,
            "shelf": STRING,
            "user_id": STRING,
            "rank": INT,
            "item": STRING,
            "title": STRING,
            "artist": STRING,
            "score": DOUBLE,
            "model": STRING,
            "reason": STRING,
            "run_id": STRING,
        },
    ),
    Table(
        "gold.similar_tracks",
        ("model", "item", "rank"),
        "an item that is like another, best first; title and artist are its own, model says by what",
        "train_knn, train_content",
        {
            "model": STRING,
            "item": STRING,
            "rank": INT,
            "similar": STRING,
            "title": STRING,
            "artist": STRING,
            "score": DOUBLE,
            "as_of": DATE,
            "run_id": STRING,
        },
    ),
    Table(
        "gold.loved_items",
        ("item",),
        "an item that is liked most, or least, whoever listens: by its bias in EmbeddingDotBias, best first",
        "train_neural",
        {
            "item": STRING,
            "rank": INT,
            "title": STRING,
            "artist": STRING,
            "bias": DOUBLE,
            "plays": LONG,
            "as_of": DATE,
            "run_id": STRING,
        },
    ),
    Table(
        "gold.evaluation",
        ("as_of", "shelf", "model", "metric", "k"),
        "how good each model's lists were on listens it had not seen; k = 0 where a metric has no cut-off",
        "evaluate",
        {
            "as_of": DATE,
            "shelf": STRING,
            "model": STRING,
            "metric": STRING,
            "k": INT,
            "value": DOUBLE,
            "low": DOUBLE,
            "high": DOUBLE,
            "listeners": LONG,
            "split_at": TIMESTAMP,
            "run_id": STRING,
        },
    ),
)
