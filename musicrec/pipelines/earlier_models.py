"""The models that earlier nights published: to go on from, and to be judged on what was played since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from musicrec.io.runs import Run
from musicrec.models.als.params import AlsParams
from musicrec.models.embedding import EmbeddingModel, ItemMatrix, collect_items
from musicrec.pipelines.model_fits import ModelFits, SequenceFit
from musicrec.transforms.interactions import InteractionParams, ItemKind

_JOBS = {
    "als": "train_als",
    "pca": "train_pca",
    "lstm": "train_sequence",
    "content": "train_content",
    "knn": "train_knn",
    "ranker": "train_ranker",
}
_OTHER_JOB = "train_neural"


def job_of(model: str) -> str:
    """The job that trains a model."""
    return _JOBS.get(model, _OTHER_JOB)


def settings_of(item: ItemKind, interaction: InteractionParams, fits: ModelFits) -> dict[str, dict[str, Any]]:
    """What decides each model, as ops.runs keeps it: by model, dotted key of the configuration → value."""
    shared = {"recommend.item": item, "interactions": interaction.model_dump(mode="json")}
    settings: dict[str, dict[str, Any]] = {
        "als": shared | {"als": fits.als.model_dump(mode="json")},
        "pca": shared | {"pca": fits.pca.model_dump(mode="json")},
    }
    settings["content"] = shared | {"content": fits.content.model_dump(mode="json")}
    for fit in fits.neural:
        own = {
            f"{fit.kind}.model": fit.model.model_dump(mode="json"),
            f"{fit.kind}.training": fit.training.model_dump(mode="json"),
            f"{fit.kind}.valid_days": fit.valid_days,
        }
        if isinstance(fit, SequenceFit):
            own["sequences"] = fit.windows.model_dump(mode="json")
        settings[fit.kind] = shared | own
    return settings


def published_on(run: Run, day: date, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, EmbeddingModel]:
    """The models that were trained on everything before `day`'s midnight with these settings; others are not there."""
    lake = run.lakehouse
    if not lake.exists("ops.models"):
        return {}
    rows = lake.read("ops.models").where((F.col("as_of") == F.lit(day)) & (F.col("seed") == run.seed)).collect()
    found: dict[str, EmbeddingModel] = {}
    for row in sorted(rows, key=lambda row: (row.trained_at, row.run_id)):
        name = row.model
        if name not in settings or row.user_vectors_version is None:
            continue
        if not has_settings(run, row.run_id, job_of(name), settings[name]):
            continue
        users = vectors_of(run, name, "models.user_vectors", row.user_vectors_version)
        items = vectors_of(run, name, "models.item_vectors", row.item_vectors_version)
        found[name] = EmbeddingModel(name, users, items)
    return found


def als_items_before(run: Run, params: AlsParams) -> ItemMatrix | None:
    """The item vectors of the newest ALS of an earlier night, to start from; None where there is none of this rank.

    Only of an earlier night: a night that is run again starts from the same vectors.
    """
    earlier = newest_als_before(run) if params.warm_iterations else None
    if earlier is None or json.loads(earlier.params).get("rank") != params.rank:
        return None
    items = collect_items(vectors_of(run, "als", "models.item_vectors", earlier.item_vectors_version))
    run.log.info("als: starting from an earlier night", as_of=str(earlier.as_of), items=len(items.item_idx))
    return items


def newest_als_before(run: Run) -> Row | None:
    """The row of ops.models of the newest ALS of an earlier night."""
    lake = run.lakehouse
    if not lake.exists("ops.models"):
        return None
    earlier = lake.read("ops.models").where((F.col("model") == "als") & (F.col("as_of") < F.lit(run.day)))
    rows = earlier.orderBy(F.col("as_of").desc(), F.col("trained_at").desc(), "run_id").limit(1).collect()
    return rows[0] if rows else None


def has_settings(run: Run, run_id: str, job: str, settings: Mapping[str, Any]) -> bool:
    """Whether a job of an earlier run had these settings, by dotted key of the configuration."""
    rows = run.lakehouse.read("ops.runs").where((F.col("run_id") == run_id) & (F.col("job") == job)).collect()
    if not rows:
        return False
    config = json.loads(rows[0].config)
    return all(_at(config, key) == value for key, value in settings.items())


def _at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config


def vectors_of(run: Run, name: str, table: str, version: int) -> DataFrame:
    """A model's vectors as one run left them."""
    table_then = run.lakehouse.read(table, version, is_input=False)
    return table_then.where(F.col("model") == name).drop("model", "run_id")


def neighbours_version(run: Run, day: date, refit_days: int, settings: Mapping[str, Any]) -> int | None:
    """The Delta version of gold.similar_tracks that the night of `day` published with these settings, or left to stand;
    None where there is none."""
    lake, table = run.lakehouse, "gold.similar_tracks"
    if not lake.exists(table) or not lake.exists("ops.runs"):
        return None
    first = day - timedelta(days=refit_days - 1)
    jobs = lake.read("ops.runs").where((F.col("job") == "train_knn") & (F.col("status") == "ok"))
    rows = jobs.where(F.col("as_of").between(F.lit(first), F.lit(day))).collect()
    found = None
    for row in sorted(rows, key=lambda row: (row.as_of, row.started_at, row.run_id)):
        config = json.loads(row.config)
        if table in row.tables_written and all(_at(config, key) == value for key, value in settings.items()):
            found = row.tables_written[table]
    return found
