"""Fit each matrix model on training data, wherever that ends. Publishing and evaluation both call these."""

from __future__ import annotations

from pyspark.sql import functions as F

from musicrec.io.runs import Run
from musicrec.models.als.fit import AlsParams, fit_als
from musicrec.models.embedding import EmbeddingModel, ItemMatrix
from musicrec.models.pca.fit import PcaModel, PcaParams, fit_pca
from musicrec.pipelines.training_data import TrainingData


def fit_als_model(run: Run, data: TrainingData, params: AlsParams, start: ItemMatrix | None = None) -> EmbeddingModel:
    """ALS on the interactions, from the item vectors `start` where there are some."""
    return fit_als(data.interactions, params, run.seed, start=start, log=run.log)


def fit_pca_model(run: Run, data: TrainingData, params: PcaParams) -> PcaModel:
    """PCA of the listener × item matrix, with no more components than it has listeners or items: a night with few
    listeners still has its lists."""
    counts = [F.count_distinct("user_idx"), F.count_distinct("item_idx")]
    most = min(data.interactions.agg(*counts).collect()[0])
    if params.components > most:
        run.log.warning("pca: fewer components than configured", components=most, configured=params.components)
        params = params.model_copy(update={"components": most})
    return fit_pca(data.interactions, params, run.seed, log=run.log)
