"""The nightly's steps in order: which part of the configuration each pipeline is given."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from musicrec.config import AttentionConfig, Config, LstmConfig
from musicrec.io.listenbrainz import Dump, check_dumps, find_dumps
from musicrec.io.runs import Run, Stage
from musicrec.io.spotify import Catalogue, find_catalogues
from musicrec.pipelines.build_silver import build_silver
from musicrec.pipelines.evaluate import evaluate
from musicrec.pipelines.ingest_listens import ingest_listens
from musicrec.pipelines.ingest_tracks import ingest_tracks
from musicrec.pipelines.model_fits import ModelFits, PairFit, SequenceFit
from musicrec.pipelines.playlists import build_playlists
from musicrec.pipelines.recommend import recommend
from musicrec.pipelines.similar import train_knn
from musicrec.pipelines.train import train_als, train_pca
from musicrec.pipelines.train_neural import train_neural, train_sequence


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


def _build_silver(run: Run, config: Config, sources: Sources) -> Stage:
    return build_silver(run, config.interactions, config.sequences, config.recommend.item)


def _train_als(run: Run, config: Config, sources: Sources) -> Stage:
    return train_als(run, config.recommend.item, config.interactions, config.als)


def _train_pca(run: Run, config: Config, sources: Sources) -> Stage:
    return train_pca(run, config.recommend.item, config.interactions, config.pca)


def _train_sequence(run: Run, config: Config, sources: Sources) -> Stage:
    files = config.lakehouse.files_folder
    return train_sequence(run, config.recommend.item, config.interactions, _fits(config).lstm, files)


def _train_neural(run: Run, config: Config, sources: Sources) -> Stage:
    files = config.lakehouse.files_folder
    return train_neural(run, config.recommend.item, config.interactions, _fits(config).others, files)


def _train_knn(run: Run, config: Config, sources: Sources) -> Stage:
    return train_knn(run, config.recommend.item, config.interactions, config.knn, config.similar)


def _recommend(run: Run, config: Config, sources: Sources) -> Stage:
    files = config.lakehouse.files_folder
    return recommend(run, config.interactions, config.recommend, config.hybrid, config.neural, files)


def _build_playlists(run: Run, config: Config, sources: Sources) -> Stage:
    return build_playlists(run, config.recommend.item, config.interactions, config.playlists)


def _evaluate(run: Run, config: Config, sources: Sources) -> Stage:
    return evaluate(
        run,
        config.recommend.item,
        config.interactions,
        _fits(config),
        config.hybrid,
        config.recommend.depth,
        config.evaluate,
        config.lakehouse.files_folder,
    )


def _fits(config: Config) -> ModelFits:
    others: list[SequenceFit | PairFit] = []
    for name in config.neural.models:
        if name == "attention":
            others.append(_sequence_fit("attention", config.attention, config))
        elif name == "dot_bias":
            own = config.dot_bias
            others.append(PairFit("dot_bias", own.model, own.training, own.valid_days))
        else:
            others.append(PairFit("ncf", config.ncf.model, config.ncf.training, config.ncf.valid_days))
    return ModelFits(config.als, config.pca, _sequence_fit("lstm", config.lstm, config), tuple(others))


def _sequence_fit(kind: Literal["lstm", "attention"], own: LstmConfig | AttentionConfig, config: Config) -> SequenceFit:
    return SequenceFit(kind, own.model, own.training, config.sequences, own.valid_days, own.trainers)


STEPS: Mapping[str, Step] = {
    "ingest_listens": _ingest_listens,
    "ingest_tracks": _ingest_tracks,
    "build_silver": _build_silver,
    "train_als": _train_als,
    "train_pca": _train_pca,
    "train_sequence": _train_sequence,
    "train_neural": _train_neural,
    "train_knn": _train_knn,
    "recommend": _recommend,
    "build_playlists": _build_playlists,
    "evaluate": _evaluate,
}

# Jobs of their own, which the nightly does not run.
ALONE: tuple[str, ...] = ()
NIGHTLY = tuple(step for step in STEPS if step not in ALONE)

# These know by themselves what is new, and come before there is an as_of.
INGEST = ("ingest_listens", "ingest_tracks")
