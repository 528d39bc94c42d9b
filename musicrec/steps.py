"""The nightly's steps in order: which part of the configuration each pipeline is given."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from musicrec.config import AttentionConfig, Config, LstmConfig
from musicrec.io.feedback import FeedbackSource, find_feedback
from musicrec.io.listenbrainz import Dump, check_dumps, find_dumps
from musicrec.io.runs import Run, Stage
from musicrec.io.spotify import Catalogue, find_catalogues
from musicrec.pipelines.analyse import analyse
from musicrec.pipelines.build_features import build_features
from musicrec.pipelines.build_silver import build_silver
from musicrec.pipelines.cluster_tracks import cluster_tracks
from musicrec.pipelines.content import train_content
from musicrec.pipelines.evaluate import evaluate
from musicrec.pipelines.ingest_feedback import ingest_feedback
from musicrec.pipelines.ingest_listens import ingest_listens
from musicrec.pipelines.ingest_tracks import ingest_tracks
from musicrec.pipelines.model_fits import ModelFits, PairFit, SequenceFit
from musicrec.pipelines.playlists import build_playlists
from musicrec.pipelines.ranking import RankerJob
from musicrec.pipelines.recommend import recommend
from musicrec.pipelines.similar import train_knn
from musicrec.pipelines.train import train_als, train_pca
from musicrec.pipelines.train_cold_start import train_cold_start
from musicrec.pipelines.train_neural import train_neural, train_sequence
from musicrec.pipelines.train_popularity import train_popularity
from musicrec.pipelines.train_ranker import train_ranker


@dataclass
class Sources:
    """What is to be taken in, found and checked once, before any table is touched."""

    config: Config
    staging: Path

    @cached_property
    def dumps(self) -> list[Dump]:
        """The dumps of listens, in order of time."""
        found = find_dumps(self.config.sources.listens, self.staging)
        check_dumps(found)
        return found

    @cached_property
    def catalogues(self) -> list[Catalogue]:
        """The catalogue files."""
        return find_catalogues(self.config.sources.tracks)

    @cached_property
    def feedback(self) -> list[FeedbackSource]:
        """What listeners said, in order of time."""
        return find_feedback(self.config.sources.feedback, self.staging)

    def close(self) -> None:
        """Remove what was unpacked, and the folders above it that hold nothing else."""
        shutil.rmtree(self.staging, ignore_errors=True)
        files = self.config.lakehouse.files_folder
        for folder in (self.staging.parent, files, Path(self.config.lakehouse.root)):
            try:
                folder.rmdir()
            except OSError:  # it is not there, or in use
                continue


Step = Callable[[Run, Config, Sources], Stage]


def _ingest_listens(run: Run, config: Config, sources: Sources) -> Stage:
    return ingest_listens(run, sources.dumps, config.listens)


def _ingest_tracks(run: Run, config: Config, sources: Sources) -> Stage:
    return ingest_tracks(run, sources.catalogues)


def _ingest_feedback(run: Run, config: Config, sources: Sources) -> Stage:
    return ingest_feedback(run, sources.feedback)


def _build_silver(run: Run, config: Config, sources: Sources) -> Stage:
    return build_silver(run, config.interactions, config.sequences, config.recommend.item)


def _build_features(run: Run, config: Config, sources: Sources) -> Stage:
    return build_features(run, config.content.features, config.content.weights, config.lakehouse.files_folder)


def _cluster_tracks(run: Run, config: Config, sources: Sources) -> Stage:
    return cluster_tracks(run, config.clusters, config.lakehouse.files_folder)


def _train_als(run: Run, config: Config, sources: Sources) -> Stage:
    return train_als(run, config.recommend.item, config.interactions, config.als)


def _train_cold_start(run: Run, config: Config, sources: Sources) -> Stage:
    return train_cold_start(run, config.recommend.item, config.cold_start)


def _train_pca(run: Run, config: Config, sources: Sources) -> Stage:
    return train_pca(run, config.recommend.item, config.interactions, config.pca)


def _train_sequence(run: Run, config: Config, sources: Sources) -> Stage:
    files = config.lakehouse.files_folder
    return train_sequence(run, config.recommend.item, config.interactions, model_fits(config).lstm, files)


def _train_neural(run: Run, config: Config, sources: Sources) -> Stage:
    files = config.lakehouse.files_folder
    return train_neural(run, config.recommend.item, config.interactions, model_fits(config).others, files)


def _train_knn(run: Run, config: Config, sources: Sources) -> Stage:
    return train_knn(run, config.recommend.item, config.interactions, config.knn, config.similar)


def _train_ranker(run: Run, config: Config, sources: Sources) -> Stage:
    return train_ranker(run, ranker_job(config), config.lakehouse.files_folder)


def _train_popularity(run: Run, config: Config, sources: Sources) -> Stage:
    return train_popularity(run, config.popularity, config.lakehouse.files_folder)


def _train_content(run: Run, config: Config, sources: Sources) -> Stage:
    item, days = config.recommend.item, config.similar.refit_days
    return train_content(run, item, config.interactions, config.content, days, config.lakehouse.files_folder)


def _recommend(run: Run, config: Config, sources: Sources) -> Stage:
    files, ranker = config.lakehouse.files_folder, ranker_job(config)
    return recommend(run, config.interactions, config.recommend, config.hybrid, config.neural, files, ranker)


def _build_playlists(run: Run, config: Config, sources: Sources) -> Stage:
    return build_playlists(run, config.recommend.item, config.interactions, config.playlists)


def _evaluate(run: Run, config: Config, sources: Sources) -> Stage:
    return evaluate(
        run,
        config.interactions,
        model_fits(config),
        config.hybrid,
        config.recommend,
        config.evaluate,
        config.lakehouse.files_folder,
        config.ranker,
    )


def ranker_job(config: Config) -> RankerJob:
    """What the ranker is made with."""
    files, own = config.lakehouse.files_folder, config.recommend
    fits, retrievers = model_fits(config), files / "ranker" / "retrievers"
    return RankerJob(own.item, config.interactions, fits, config.ranker, own.depth, retrievers, files)


def _analyse(run: Run, config: Config, sources: Sources) -> Stage:
    has_sessions = config.sequences.session_gap_minutes > 0
    return analyse(run, config.recommend.item, has_sessions, config.analyses)


def model_fits(config: Config) -> ModelFits:
    """What each model of a nightly with this configuration is fitted with."""
    others: list[SequenceFit | PairFit] = []
    for name in config.neural.models:
        if name == "attention":
            others.append(_sequence_fit("attention", config.attention, config))
        elif name == "dot_bias":
            own = config.dot_bias
            others.append(PairFit("dot_bias", own.model, own.training, own.valid_days))
        else:
            others.append(PairFit("ncf", config.ncf.model, config.ncf.training, config.ncf.valid_days))
    lstm, refit_days = _sequence_fit("lstm", config.lstm, config), config.similar.refit_days
    return ModelFits(config.als, config.pca, lstm, tuple(others), config.knn, refit_days, config.content)


def _sequence_fit(kind: Literal["lstm", "attention"], own: LstmConfig | AttentionConfig, config: Config) -> SequenceFit:
    return SequenceFit(kind, own.model, own.training, config.sequences, own.valid_days, own.trainers)


STEPS: Mapping[str, Step] = {
    "ingest_listens": _ingest_listens,
    "ingest_tracks": _ingest_tracks,
    "ingest_feedback": _ingest_feedback,
    "build_silver": _build_silver,
    "build_features": _build_features,
    "cluster_tracks": _cluster_tracks,
    "train_als": _train_als,
    "train_pca": _train_pca,
    "train_sequence": _train_sequence,
    "train_neural": _train_neural,
    "train_knn": _train_knn,
    "train_content": _train_content,
    # After all that write vectors: what it reads then stays as it was until the next night.
    "train_cold_start": _train_cold_start,
    "train_ranker": _train_ranker,
    "train_popularity": _train_popularity,
    "recommend": _recommend,
    "build_playlists": _build_playlists,
    "evaluate": _evaluate,
    "analyse": _analyse,
}

# Jobs of their own, which the nightly does not run.
ALONE: tuple[str, ...] = ("train_popularity",)
NIGHTLY = tuple(step for step in STEPS if step not in ALONE)

# These know by themselves what is new, and come before there is an as_of.
INGEST = ("ingest_listens", "ingest_tracks", "ingest_feedback")
