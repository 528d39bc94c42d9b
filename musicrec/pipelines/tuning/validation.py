"""What trials are judged on: the days before the nightly's test, and models of what lies before those days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.errors import InputError
from musicrec.evaluation.judged import Judged
from musicrec.evaluation.leaks import check_no_leak
from musicrec.evaluation.metrics import ItemFacts
from musicrec.evaluation.one_pass import evaluate_lists
from musicrec.evaluation.splits import relevant_items, split_at, with_candidates
from musicrec.io.runs import Run
from musicrec.io.study_log import Scores
from musicrec.models.embedding import EmbeddingModel
from musicrec.pipelines.evaluate import played_catalogue, sample_listeners
from musicrec.pipelines.lists import candidate_lists, filled_list
from musicrec.pipelines.settings import EvaluateParams
from musicrec.pipelines.training_data import TrainingData, midnight, training_data
from musicrec.pipelines.tuning.settings import TuneParams
from musicrec.ranking.fusion import HybridParams
from musicrec.transforms.interactions import InteractionParams, ItemKind, heard_items, indexed_plays


@dataclass(frozen=True)
class Validation:
    """One period.

    Attributes
    ----------
    since, until : what was played from `since` to before `until` is relevant.
    data : what was played before `since`, to be learnt from.
    pairs, listeners : how many interactions that is, and of how many listeners.
    own : the same, `heard` of the judged listeners only.
    plays : the period's plays (user_id, user_idx, item_idx, listened_at, recording_msid) of those listeners.
    relevant : DataFrame (user_idx, relevant, candidates) of the judged listeners.
    judged : the same on the driver.
    facts : of the items.
    """

    since: datetime
    until: datetime
    data: TrainingData
    pairs: int
    listeners: int
    own: TrainingData
    plays: DataFrame
    relevant: DataFrame
    judged: Judged
    facts: ItemFacts

    def score_model(self, model: EmbeddingModel, params: TuneParams) -> Scores:
        """NDCG of the lists that the model's vectors give, by the code that makes the published ones."""
        vectors = model.user_vectors.join(self.relevant.select("user_idx"), "user_idx", "left_semi")
        judged = EmbeddingModel(model.name, vectors, model.item_vectors)
        alone = HybridParams(weights={model.name: 1.0})
        lists = candidate_lists({model.name: judged}, self.own, alone, params.shelf, params.k, wanted=model.name)
        return self.score(lists[model.name], params)

    def score(self, lists: DataFrame, params: TuneParams) -> Scores:
        """NDCG of each judged listener's list, filled as published lists are.

        Parameters
        ----------
        lists : DataFrame (user_idx, items, scores), best first, at least `params.k` long where there is as much.
        """
        return self.score_all({"trial": lists}, params)["trial"]

    def score_all(self, lists: Mapping[str, DataFrame], params: TuneParams) -> dict[str, Scores]:
        """The same of several, by name, in one pass."""
        session = self.relevant.sparkSession
        names = session.createDataFrame([(name,) for name in sorted(lists)], "model string")
        rows = [own.select(F.lit(name).alias("model"), "user_idx", "items", "scores") for name, own in lists.items()]
        everyone = self.relevant.select("user_idx").crossJoin(F.broadcast(names))
        filled = filled_list(reduce(DataFrame.unionByName, rows), self.own, everyone, params.shelf, params.k)
        filled = filled.select("model", "user_idx", "items")
        column = f"ndcg_{params.k}"
        found = evaluate_lists(filled, self.relevant, self.facts, [params.k], [column], sorted(lists))
        return {name: Scores(self.judged.user_idx, found.kept[:, place, 0]) for place, name in enumerate(found.models)}


def validations(
    run: Run, item: ItemKind, interaction: InteractionParams, evaluate: EvaluateParams, params: TuneParams
) -> list[Validation]:
    """The validation periods, the newest first; none reaches into the nightly's test.

    Raises
    ------
    InputError : a period has no one to judge, or nothing was played before it.
    LeakError : a play of the period is among the training rows.
    """
    test_from = midnight(run.day) - timedelta(days=evaluate.test_days)
    length = timedelta(days=params.valid_days)
    return [
        _validation(run, item, interaction, evaluate.max_listeners, params, test_from - place * length)
        for place in range(params.periods)
    ]


def _validation(
    run: Run, item: ItemKind, interaction: InteractionParams, most: int, params: TuneParams, until: datetime
) -> Validation:
    since = until - timedelta(days=params.valid_days)
    listens = run.lakehouse.read("silver.listens").where(F.col("listened_at") < F.lit(until))
    played = split_at(listens, since)[1]
    data = training_data(run, item, interaction, until=since)
    check_no_leak(data.plays, played)
    plays = sample_listeners(run, indexed_plays(played, item), most).persist()
    catalogue = played_catalogue(data).persist()
    relevant = relevant_items(plays, data.heard, params.shelf)
    relevant = with_candidates(relevant, data.heard, catalogue, params.shelf).persist()
    judged = Judged.collect(relevant)
    if not len(judged.user_idx):
        found = f"no listener with anything to find on the shelf {params.shelf}"
        raise InputError("table silver.listens", f"listens from {since} to before {until}, to validate with", found)
    users = relevant.select("user_idx")
    own = replace(data, heard=heard_items(data.interactions.join(users, "user_idx", "left_semi")).persist())
    facts = ItemFacts.collect(catalogue)
    catalogue.unpersist()
    size = data.interactions.agg(F.count("*"), F.count_distinct("user_idx")).collect()[0]
    return Validation(since, until, data, size[0], size[1], own, plays, relevant, judged, facts)


def together(parts: Sequence[Scores]) -> Scores:
    """One figure a listener from those of several periods: the mean over the periods in which they were judged."""
    users, place = np.unique(np.concatenate([part.users for part in parts]), return_inverse=True)
    values = np.concatenate([part.values for part in parts])
    return Scores(users, np.bincount(place, values, len(users)) / np.bincount(place, minlength=len(users)))
