"""The training jobs of the matrix models: fit on all of silver, publish."""

from __future__ import annotations

from musicrec.io.runs import Run, Stage
from musicrec.models.als.fit import AlsParams
from musicrec.models.pca.fit import PcaParams
from musicrec.pipelines.earlier_models import als_items_before
from musicrec.pipelines.fitting import fit_als_model, fit_pca_model
from musicrec.pipelines.fold_in import fold_in_als
from musicrec.pipelines.publish import publish, published_or_left_out
from musicrec.pipelines.training_data import TrainingData, training_data
from musicrec.transforms.interactions import InteractionParams, ItemKind


def train_als(run: Run, item: ItemKind, interaction: InteractionParams, params: AlsParams, places: int = 20) -> Stage:
    """Fit and publish ALS, from an earlier night's item vectors where there are some.

    On nights between fits (`params.refit_days`) the listeners are folded in instead. `places` are those of a list.

    Raises
    ------
    DegenerateModelError : its scores cannot tell so many items apart, though the plays can.
    """
    data = training_data(run, item, interaction, read_often=False)

    def made() -> Stage:
        model = fold_in_als(run, data, params) or fit_als_model(run, data, params, als_items_before(run, params))
        return publish(run, model, params, data.interactions.count(), "", pairs=data.interactions, places=places)

    return published_or_left_out(run, "als", made)


def train_pca(run: Run, item: ItemKind, interaction: InteractionParams, params: PcaParams, places: int = 20) -> Stage:
    """Fit and publish PCA; its explained variance ratios go to ops.metrics, one step a component.

    Raises
    ------
    DegenerateModelError : its scores cannot tell `places` items apart, though the plays can.
    """
    data = training_data(run, item, interaction, read_often=False)
    return published_or_left_out(run, "pca", lambda: _train_pca(run, data, params, places))


def _train_pca(run: Run, data: TrainingData, params: PcaParams, places: int) -> Stage:
    model = fit_pca_model(run, data, params)
    cumulative = 0.0
    for component, ratio in enumerate(model.explained_variance_ratio):
        cumulative += float(ratio)
        run.metric("explained_variance_ratio", float(ratio), step=component, model="pca")
        run.metric("explained_variance_cumulative", cumulative, step=component, model="pca")
    found = len(model.explained_variance_ratio)
    run.log.info("pca: explained variance", components=found, cumulative=round(cumulative, 4))
    pairs = data.interactions
    return publish(run, model.embedding, params, pairs.count(), "", pairs=pairs, places=places)
