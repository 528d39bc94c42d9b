"""The nightly's steps in order: which part of the configuration each pipeline is given, and what hangs on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from musicrec.config import AttentionConfig, Config, LstmConfig
from musicrec.io.feedback import FeedbackSource, find_feedback
from musicrec.io.listenbrainz import Dump, check_dumps, find_dumps
from musicrec.io.runs import Run, Stage
from musicrec.io.spotify import Catalogue, find_catalogues
from musicrec.logs import Logger
from musicrec.models.content import CONTENT
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
from musicrec.pipelines.settings import KNN, RANKER, NeuralModel, models_of_lists
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


def _find_nothing(sources: Sources, log: Logger) -> None:
    """Most steps take nothing in."""


@dataclass(frozen=True)
class Step:
    """A step of a night, or a job of its own.

    Attributes
    ----------
    work : what it does.
    makes : the models that lists may be made of which are its work: a night whose lists are made of one fails with it.
    is_base : lists are made of its work whatever the models.
    is_alone : the nightly does not run it.
    find : finds and checks what it will take in.
    """

    work: Callable[[Run, Config, Sources], Stage]
    makes: tuple[str, ...] = ()
    is_base: bool = False
    is_alone: bool = False
    find: Callable[[Sources, Logger], None] = _find_nothing


def _find_listens(sources: Sources, log: Logger) -> None:
    log.info("dumps found", dumps=[dump.name for dump in sources.dumps])


def _find_tracks(sources: Sources, log: Logger) -> None:
    log.info("catalogues found", files=[catalogue.name for catalogue in sources.catalogues])


def _find_feedback(sources: Sources, log: Logger) -> None:
    log.info("feedback found", sources=[source.name for source in sources.feedback])


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
    return train_als(run, config.recommend.item, config.interactions, config.als, config.recommend.n)


def _train_cold_start(run: Run, config: Config, sources: Sources) -> Stage:
    return train_cold_start(run, config.recommend.item, config.cold_start, config.recommend.fresh)


def _train_pca(run: Run, config: Config, sources: Sources) -> Stage:
    return train_pca(run, config.recommend.item, config.interactions, config.pca, config.recommend.n)


def _train_sequence(run: Run, config: Config, sources: Sources) -> Stage:
    files = config.lakehouse.files_folder
    return train_sequence(
        run, config.recommend.item, config.interactions, model_fits(config).lstm, files, config.recommend.n
    )


def _train_neural(run: Run, config: Config, sources: Sources) -> Stage:
    files = config.lakehouse.files_folder
    return train_neural(
        run, config.recommend.item, config.interactions, model_fits(config).others, files, config.recommend.n
    )


def _train_knn(run: Run, config: Config, sources: Sources) -> Stage:
    return train_knn(run, config.recommend.item, config.interactions, config.knn, config.similar)


def _train_ranker(run: Run, config: Config, sources: Sources) -> Stage:
    return train_ranker(run, ranker_job(config), config.lakehouse.files_folder)


def _train_popularity(run: Run, config: Config, sources: Sources) -> Stage:
    return train_popularity(run, config.popularity, config.lakehouse.files_folder)


def _train_content(run: Run, config: Config, sources: Sources) -> Stage:
    item, days, files = config.recommend.item, config.similar.refit_days, config.lakehouse.files_folder
    return train_content(run, item, config.interactions, config.content, days, files, config.recommend.n)


def _recommend(run: Run, config: Config, sources: Sources) -> Stage:
    files, ranker = config.lakehouse.files_folder, ranker_job(config)
    return recommend(run, config.interactions, config.recommend, config.hybrid, files, ranker)


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
    "ingest_listens": Step(_ingest_listens, is_base=True, find=_find_listens),
    "ingest_tracks": Step(_ingest_tracks, is_base=True, find=_find_tracks),
    "ingest_feedback": Step(_ingest_feedback, is_base=True, find=_find_feedback),
    "build_silver": Step(_build_silver, is_base=True),
    "build_features": Step(_build_features, makes=(CONTENT,)),
    "cluster_tracks": Step(_cluster_tracks),
    "train_als": Step(_train_als, makes=("als",)),
    "train_pca": Step(_train_pca, makes=("pca",)),
    "train_sequence": Step(_train_sequence, makes=("lstm",)),
    "train_neural": Step(_train_neural, makes=get_args(NeuralModel)),
    "train_knn": Step(_train_knn, makes=(KNN,)),
    "train_content": Step(_train_content, makes=(CONTENT,)),
    # After all that write vectors: what it reads then stays as it was until the next night.
    "train_cold_start": Step(_train_cold_start),
    "train_ranker": Step(_train_ranker, makes=(RANKER,)),
    "train_popularity": Step(_train_popularity, is_alone=True),
    "recommend": Step(_recommend, is_base=True),
    "build_playlists": Step(_build_playlists),
    "evaluate": Step(_evaluate),
    "analyse": Step(_analyse),
}
NIGHTLY = tuple(name for name, step in STEPS.items() if not step.is_alone)

# These know by themselves what is new, and come before there is an as_of.
INGEST = tuple(name for name, step in STEPS.items() if step.find is not _find_nothing)


def needed_steps(config: Config) -> frozenset[str]:
    """The steps without which the lists of `discover` and `again` would not be what the configuration says."""
    models = models_of_lists(config.recommend, config.hybrid, config.ranker)
    return frozenset(name for name, step in STEPS.items() if step.is_base or models & set(step.makes))
