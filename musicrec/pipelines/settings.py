"""Settings of the pipelines that bring several components together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from musicrec.evaluation.bootstrap import BootstrapParams
from musicrec.models.ranker.params import RankerParams
from musicrec.params import Params
from musicrec.ranking.context import ContextParams
from musicrec.ranking.diversity import DiversityParams
from musicrec.ranking.fusion import HybridParams
from musicrec.transforms.interactions import ItemKind

Shelf = Literal["discover", "again"]
SHELVES: tuple[Shelf, ...] = ("discover", "again")

# Trained by every nightly; NeuralParams names those that are trained besides.
EMBEDDING_MODELS = ("als", "pca", "lstm")
NeuralModel = Literal["attention", "dot_bias", "ncf"]
# What may be published on any shelf.
Listed = NeuralModel | Literal["als", "pca", "lstm", "content", "knn", "popular", "hybrid"]
RERANKER = "ncf"
KNN = "knn"
USER_KNN = "user_knn"
RANKER = "ranker"
BASELINES = ("popular", "own_top", "artist_popular")
HYBRID = "hybrid"
# What the evaluation calls the lists that are published.
PUBLISHED = "published"


class RecommendParams(Params):
    """What is offered.

    Attributes
    ----------
    n : items per listener and shelf.
    item : what an item is.
    depth : length of each model's list, from which the hybrid is fused; judged lists are as deep, and what lies
        further down counts as tied.
    fresh : tracks that no one has played, per listener, on a shelf of their own; 0 for no such shelf.
    discover, again : the list that is published on each shelf: a model, a baseline or `hybrid`.
    diversity : how published lists are spread over artists.
    context : lists of `discover` for parts of the day, each a shelf of its own.
    """

    n: int = Field(default=20, ge=1, le=1000)
    item: ItemKind = "recording"
    depth: int = Field(default=500, ge=1)
    fresh: int = Field(default=10, ge=0, le=1000)
    discover: Listed | Literal["ranker", "artist_popular"] = "hybrid"
    again: Listed | Literal["own_top"] = "hybrid"
    diversity: DiversityParams = DiversityParams()
    context: ContextParams = ContextParams()

    def of(self, shelf: Shelf) -> str:
        """The list that is published on a shelf."""
        return self.discover if shelf == "discover" else self.again


class NeuralParams(Params):
    """Which neural models are trained, judged and may be published beside the LSTM.

    Attributes
    ----------
    models : some of `attention` (self-attention over the plays), `dot_bias` (EmbeddingDotBias) and `ncf` (NeuMF, which
        reranks ALS's list); none by default.
    """

    models: tuple[NeuralModel, ...] = ()

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Those that end as vectors."""
        return tuple(name for name in self.models if name != RERANKER)


class ShelfHybrids(Params):
    """The weights of each shelf's hybrid."""

    discover: HybridParams
    again: HybridParams

    def of(self, shelf: Shelf) -> HybridParams:
        """The hybrid of a shelf."""
        return self.discover if shelf == "discover" else self.again


def models_of_list(name: str, hybrid: HybridParams, ranker: RankerParams) -> frozenset[str]:
    """The models that a published list is made of: those of `hybrid`, those that the ranker asks, or the one named."""
    if name == HYBRID:
        members = [member for member, weight in hybrid.weights.items() if weight > 0]
        parts = [models_of_list(member, hybrid, ranker) for member in members if member != HYBRID]
        return frozenset().union(*parts)
    if name == RANKER:
        return frozenset({RANKER, KNN, *ranker.retrievers})
    return frozenset({name, "als"} if name == RERANKER else {name})


def models_of_lists(params: RecommendParams, hybrids: ShelfHybrids, ranker: RankerParams) -> frozenset[str]:
    """The models, and baselines, that the lists of all shelves but `fresh` are made of."""
    parts = [models_of_list(params.of(shelf), hybrids.of(shelf), ranker) for shelf in SHELVES]
    own = params.diversity
    alike = {own.similarity} if own.mmr_lambda < 1 and own.similarity != "artist" else set()
    return frozenset(alike).union(*parts)


class EvaluateParams(Params):
    """How the lists are judged.

    Attributes
    ----------
    test_days : the last days before as_of are the test; everything before them trains.
    ks : cut-offs.
    max_listeners : where more were active in the test, so many of them are judged, drawn by hash; 0 for all.
    bootstrap : how the intervals are drawn.
    """

    test_days: float = Field(default=1.0, gt=0)
    ks: tuple[int, ...] = (10, 50)
    max_listeners: int = Field(default=0, ge=0)
    bootstrap: BootstrapParams = BootstrapParams()
