"""Every model as it was, or would have been, published at a time: to be judged, or learnt from, on what came after."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

from pyspark.sql import DataFrame

from musicrec.errors import TooLittleError
from musicrec.io.runs import Run
from musicrec.models.content import CONTENT
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.knn.fit import fit_knn
from musicrec.models.neural.dot_bias import dot_bias_vectors
from musicrec.models.neural.ncf import NcfParams
from musicrec.pipelines.content import fit_content_model
from musicrec.pipelines.earlier_models import neighbours_version, published_on, settings_of
from musicrec.pipelines.fit_pairs import fit_pair_model
from musicrec.pipelines.fit_sequence import fit_sequence_model, held_out_model
from musicrec.pipelines.fitting import fit_als_model, fit_pca_model
from musicrec.pipelines.lists import Rerank, ncf_order
from musicrec.pipelines.model_fits import ModelFits, PairFit, SequenceFit
from musicrec.pipelines.publish import load_neighbours
from musicrec.pipelines.settings import KNN, RERANKER, USER_KNN
from musicrec.pipelines.training_data import TrainingData, midnight
from musicrec.transforms.interactions import InteractionParams, ItemKind

T = TypeVar("T")


@dataclass(frozen=True)
class ModelsAt:
    """The models of one time.

    Attributes
    ----------
    vectors : the embedding models, by name.
    neighbours : of items, as `fit_knn` gives them; None where they were not wanted, or there was too little.
    rerank : NCF; None where the configuration does not name it.
    user_neighbours : of listeners, likewise; None where they were not wanted by name.
    """

    vectors: dict[str, EmbeddingModel]
    neighbours: DataFrame | None
    rerank: Rerank | None
    user_neighbours: DataFrame | None = None

    @property
    def listed(self) -> frozenset[str]:
        """Whose lists can be made: the models', and the popular ones."""
        beside = {KNN: self.neighbours, USER_KNN: self.user_neighbours, RERANKER: self.rerank}
        names = {
            "popular",
            "artist_popular",
            *self.vectors,
            *(name for name, made in beside.items() if made is not None),
        }
        return frozenset(names if "als" in self.vectors else names - {RERANKER})

    def of(self, listeners: DataFrame) -> ModelsAt:
        """With the vectors of these listeners only, all of it persisted; `listeners` is DataFrame (user_idx)."""
        vectors = {}
        for name, model in self.vectors.items():
            users = model.user_vectors.join(listeners, "user_idx", "left_semi").persist()
            vectors[name] = EmbeddingModel(name, users, model.item_vectors.persist())
        alike = self.user_neighbours
        if alike is not None:
            alike = alike.join(listeners, "user_idx", "left_semi").persist()
        return ModelsAt(vectors, self.neighbours.persist() if self.neighbours is not None else None, self.rerank, alike)

    def release(self) -> None:
        """Let Spark forget what `of` has persisted."""
        for model in self.vectors.values():
            model.user_vectors.unpersist()
            model.item_vectors.unpersist()
        for lists in (self.neighbours, self.user_neighbours):
            if lists is not None:
                lists.unpersist()


def models_at(
    run: Run,
    data: TrainingData,
    item: ItemKind,
    interaction: InteractionParams,
    fits: ModelFits,
    files: Path,
    wanted: Collection[str] | None = None,
    *,
    with_users: bool = False,
    tonight: Path | None = None,
) -> ModelsAt:
    """Each model as of `data.until`.

    Where a night ended then, with the same settings, it is the one that night published: what it says was said before
    anything later was played. Of a next-track model it is, where there is none, what tonight's training learnt from
    `data` to choose its number of epochs, if the days that were held out then begin with `data.until`. Others are
    fitted on `data` by the code that fits the published ones; those for which there is too little are not there.

    Parameters
    ----------
    files : folder for what fitting a neural model leaves behind.
    wanted : names of the models; None for all.
    tonight : folder of the models that tonight published; None to use nothing of them.
    with_users : find the neighbours of listeners too.
    """
    makers: dict[str, Callable[[], EmbeddingModel | None]] = {
        "als": lambda: fit_als_model(run, data, fits.als),
        "pca": lambda: fit_pca_model(run, data, fits.pca).embedding,
        CONTENT: lambda: fit_content_model(run, data),
    }
    for fit in fits.neural:
        if fit.kind != RERANKER:
            makers[fit.kind] = partial(_neural_vectors, run, data, fit, files / fit.kind)
    makers = {name: make for name, make in makers.items() if wanted is None or name in wanted}
    day = data.until.date() if data.until == midnight(data.until.date()) else None
    settings = settings_of(item, interaction, fits)
    settings = {name: own for name, own in settings.items() if name in makers}
    standing = published_on(run, day, settings) if day and settings else {}
    held_out = _held_out(run, data, fits, makers.keys() - standing.keys(), tonight) if tonight else {}
    found = {**held_out, **standing}
    fitted = sorted(makers.keys() - found.keys())
    which = {"of_the_night_before": sorted(standing), "of_tonight": sorted(held_out), "fitted": fitted}
    run.log.info("models", until=str(data.until), **which)
    made = {name: found[name] if name in found else _or_left_out(run, name, make) for name, make in makers.items()}
    # Where no item is linked to a track, nothing is known of how the items sound; others may lack what they need.
    vectors = {name: model for name, model in made.items() if model is not None}
    neighbours = None
    if wanted is None or KNN in wanted:
        neighbours = _neighbours(run, data, day, item, interaction, fits)
    rerank = _reranker(run, data, fits, files) if wanted is None or RERANKER in wanted else None
    alike = fit_knn(data.interactions, fits.knn, "user") if with_users else None
    return ModelsAt(vectors, neighbours, rerank, alike)


def _or_left_out(run: Run, name: str, make: Callable[[], T]) -> T | None:
    """What is made; None, and a line in the log, where there was too little."""
    try:
        return make()
    except TooLittleError as error:
        run.log.warning("models: left out", model=name, reason=str(error))
        return None


def _held_out(
    run: Run, data: TrainingData, fits: ModelFits, wanted: Collection[str], tonight: Path
) -> dict[str, EmbeddingModel]:
    """Next-track models that tonight's training made of `data`, before it held the days from `data.until` on out."""
    found: dict[str, EmbeddingModel] = {}
    for fit in fits.neural:
        if isinstance(fit, SequenceFit) and fit.kind in wanted:
            model = held_out_model(run, data, fit, tonight / fit.kind)
            if model is not None:
                found[fit.kind] = model
                run.metric("judged_as_it_chose_its_epochs", 1.0, model=fit.kind)
    return found


def _neural_vectors(run: Run, data: TrainingData, fit: SequenceFit | PairFit, folder: Path) -> EmbeddingModel:
    if isinstance(fit, SequenceFit):
        return fit_sequence_model(run, data, fit, folder)[0]
    return dot_bias_vectors(run.lakehouse.spark, fit_pair_model(run, data, fit, folder).weights)


def _neighbours(
    run: Run, data: TrainingData, day: date | None, item: ItemKind, interaction: InteractionParams, fits: ModelFits
) -> DataFrame | None:
    settings = {
        "recommend.item": item,
        "interactions": interaction.model_dump(mode="json"),
        "knn": fits.knn.model_dump(mode="json"),
    }
    version = neighbours_version(run, day, fits.knn_refit_days, settings) if day else None
    if version is None:
        return fit_knn(data.interactions, fits.knn)
    run.log.info("neighbours as they stood", on=str(day), version=version)
    return load_neighbours(run, data.items, version)


def _reranker(run: Run, data: TrainingData, fits: ModelFits, files: Path) -> Rerank | None:
    """NCF as it would have been published then."""
    for fit in fits.others:
        if fit.kind == RERANKER and isinstance(fit.model, NcfParams):
            fitted = _or_left_out(run, RERANKER, partial(fit_pair_model, run, data, fit, files / RERANKER))
            return None if fitted is None else ncf_order(run, fitted.weights, fit.model)
    return None
