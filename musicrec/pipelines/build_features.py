"""silver.tracks to silver.track_features: what each track sounds like, as columns and as a vector."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import functions as F

from musicrec.errors import TooLittleError
from musicrec.io.runs import Run, Stage
from musicrec.io.scalers import save_scaler
from musicrec.schemas import AUDIO_FEATURES
from musicrec.transforms.feature_fills import FeatureFills, collect_audio, feature_counts
from musicrec.transforms.feature_scaler import FeatureScaler, GroupWeights
from musicrec.transforms.features import FeatureParams, track_features
from musicrec.transforms.indexing import new_entries


def build_features(run: Run, params: FeatureParams, weights: GroupWeights, files: Path) -> Stage:
    """Replace silver.track_features, number its tracks in silver.item_index and keep the scaler in `files`.

    A track without audio features stays out and is counted; so is each value that is out of its range, and each column
    that is the same everywhere and so can tell nothing apart. Without a track that stays the table is empty, and the
    step counts as skipped.
    """
    lake = run.lakehouse
    tracks = lake.read_or_empty("silver.tracks")
    audio = collect_audio(tracks)
    counts = feature_counts(audio)
    _report(run, counts)
    rows = track_features(tracks, FeatureFills.fit(audio, params.genre_tracks)).persist()
    try:
        index = lake.read_or_empty("silver.item_index")
        ids = rows.select(F.lit("track").alias("item_kind"), F.col("track_id").alias("item_id"))
        lake.append_if_any("silver.item_index", new_entries(ids, index, "item_id", "item_idx", group="item_kind"))
        scaler = FeatureScaler.fit(rows, params, weights)
        if scaler.excluded and not rows.isEmpty():
            run.log.warning("features: constant or unknown columns take no part", columns=list(scaler.excluded))
            for name in scaler.excluded:
                run.metric("feature_excluded", 1, feature=name)
        numbered = lake.read("silver.item_index").where("item_kind = 'track'")
        numbered = numbered.select(F.col("item_id").alias("track_id"), F.col("item_idx").alias("track_idx"))
        made = scaler.transform(rows).join(numbered, "track_id", "inner").withColumn("run_id", F.lit(run.run_id))
        lake.overwrite("silver.track_features", made)
    finally:
        rows.unpersist()
    save_scaler(scaler_folder(files), scaler)
    written = lake.read("silver.track_features")
    kept, imputed = written.agg(F.count("*"), F.count_if(F.size("imputed") > 0)).collect()[0]
    run.metric("tracks_imputed", imputed)
    if not kept:
        why = TooLittleError("table silver.tracks", "a track with audio features", f"{counts['tracks']:,} without")
        return Stage(counts["tracks"], 0, str(why), is_skipped=True)
    left_out = counts["without_features"]
    return Stage(
        counts["tracks"], kept, f"{kept:,} tracks, {imputed:,} with imputed values, {left_out:,} without features"
    )


def _report(run: Run, counts: dict[str, int]) -> None:
    run.metric("tracks_without_features", counts["without_features"])
    for name in AUDIO_FEATURES:
        run.metric("values_missing", counts[f"missing_{name}"], feature=name)
        run.metric("values_out_of_range", counts[f"out_of_range_{name}"], feature=name)
    wrong = {name: counts[f"out_of_range_{name}"] for name in AUDIO_FEATURES if counts[f"out_of_range_{name}"]}
    if wrong:
        run.log.warning("features: values out of their range count as missing", **wrong)


def scaler_folder(files: Path) -> Path:
    """Where the scaler of silver.track_features is kept."""
    return files / "content" / "scaler"
