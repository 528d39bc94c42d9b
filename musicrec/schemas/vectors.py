"""Models' vectors."""

from __future__ import annotations

from musicrec.schemas.table import FLOAT, INT, STRING, VECTOR, Table

TABLES = (
    Table(
        "models.user_vectors",
        ("model", "user_idx"),
        "a listener's vector in a model's space",
        "train_als, train_pca, train_sequence, train_neural, train_content",
        {"model": STRING, "user_idx": INT, "vector": VECTOR, "run_id": STRING},
    ),
    Table(
        "models.item_vectors",
        ("model", "item_idx"),
        "an item's vector and bias in a model's space; of als_content the item is a track (track_idx)",
        "train_als, train_pca, train_sequence, train_neural, train_content, train_cold_start",
        {"model": STRING, "item_idx": INT, "vector": VECTOR, "bias": FLOAT, "run_id": STRING},
    ),
)
